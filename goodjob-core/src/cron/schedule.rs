//! When the jobs of an entry are due: a line of cron, or a function of the last run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::line::Line;
use super::zone::Zone;
use crate::clock::Timestamp;

type Function = dyn Fn(Option<Timestamp>) -> Option<Timestamp> + Send + Sync;

/// The ticks of an entry, in whole seconds.
///
/// A text is a line of cron with five or six fields (the first of six is the second), a word such as
/// `@daily`, or a sentence such as `every weekday at 9:30`; each may end in a time zone:
///
/// ```
/// use goodjob_core::{Schedule, Zone};
/// let schedule: Schedule = "0 9 * * mon Europe/Paris".parse()?;
/// let next = schedule.next("2026-11-27T12:00:00Z".parse()?, None, Zone::UTC);
/// assert_eq!(next, Some("2026-11-30T08:00:00Z".parse()?));
///
/// let noon: Schedule = "every day at noon".parse()?;
/// assert_eq!(noon.line().as_deref(), Some("0 12 * * *"));
///
/// let wrong = "0 25 * * *".parse::<Schedule>().unwrap_err();
/// assert_eq!(wrong.to_string(), "found \"0 25 * * *\": the hour is \"25\", expected 0 to 23");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Schedule(Kind);

#[derive(Clone)]
enum Kind {
    Line { text: Arc<str>, line: Arc<Line> },
    Function(Arc<Function>),
}

impl Schedule {
    /// A schedule that is asked for the next tick after each one: given the last tick that was stored, by
    /// whichever process, or `None` if there is none. A time that is past is due at once; fractions of a
    /// second are cut off; `None` is "not now", and asked again within moments.
    ///
    /// Every process that shares the key has to come to the same time, or each enqueues its own. So reckon
    /// from the last tick, not from the present. A time that is not after the last tick is ignored.
    ///
    /// ```
    /// use chrono::TimeDelta;
    /// use goodjob_core::Schedule;
    /// // What no line of cron can say.
    /// let start = "2026-01-01T00:00:00Z".parse()?;
    /// let every_90_minutes = Schedule::function(move |last| {
    ///     Some(last.map_or(start, |last| last + TimeDelta::minutes(90)))
    /// });
    /// # drop(every_90_minutes);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn function(
        next: impl Fn(Option<Timestamp>) -> Option<Timestamp> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Function(Arc::new(next)))
    }

    /// The next tick: of a line the first one strictly after `now`, in `zone` if it names none; of a
    /// function what it says, which may be past, if that is after `last`. A function that panics says
    /// nothing.
    #[must_use]
    pub fn next(&self, now: Timestamp, last: Option<Timestamp>, zone: Zone) -> Option<Timestamp> {
        match &self.0 {
            Kind::Line { line, .. } => line.next_after(now, zone),
            Kind::Function(function) => {
                let ask = || function(last);
                let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(ask));
                let at = said.ok().flatten()?;
                let at = Timestamp::from_timestamp(at.timestamp(), 0)?;
                (last.is_none_or(|last| at > last)).then_some(at)
            }
        }
    }

    /// The zone that it names itself.
    #[must_use]
    pub fn zone(&self) -> Option<Zone> {
        match &self.0 {
            Kind::Line { line, .. } => line.zone,
            Kind::Function(_) => None,
        }
    }

    /// The fields that are counted by, without the zone; `None` for a function.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        match &self.0 {
            Kind::Line { line, .. } => Some(line.written()),
            Kind::Function(_) => None,
        }
    }

    /// Whether it names no zone, and another one would move its ticks.
    #[must_use]
    pub fn depends_on_zone(&self) -> bool {
        match &self.0 {
            Kind::Line { line, .. } => line.depends_on_zone(),
            Kind::Function(_) => false,
        }
    }

    /// Whether it is a function.
    pub(super) fn is_function(&self) -> bool {
        matches!(self.0, Kind::Function(_))
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Line::parse(text) {
            Ok(line) => Ok(Self(Kind::Line { text: text.trim().into(), line: Arc::new(line) })),
            Err(problem) => Err(ScheduleError { text: text.to_owned(), problem }),
        }
    }
}

impl TryFrom<&str> for Schedule {
    type Error = ScheduleError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<std::convert::Infallible> for ScheduleError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Line { text, .. } => f.write_str(text),
            Kind::Function(_) => f.write_str("(a function)"),
        }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

/// Lines by their text, functions by being the same one.
impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Line { text: one, .. }, Kind::Line { text: other, .. }) => one == other,
            (Kind::Function(one), Kind::Function(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {text:?}: {problem}")]
pub struct ScheduleError {
    text: String,
    problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(text: &str, from: &str, count: usize) -> Vec<String> {
        let schedule: Schedule = text.parse().unwrap_or_else(|error| panic!("{error}"));
        let mut at: Timestamp = from.parse().unwrap();
        let next = || {
            at = schedule.next(at, None, Zone::UTC).expect("a tick");
            at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn ticks_are_whole_seconds_strictly_after_now() {
        assert_eq!(ticks("* * * * *", "2026-11-27T12:00:00Z", 1), ["2026-11-27T12:01:00Z"]);
        assert_eq!(ticks("* * * * *", "2026-11-27T11:59:59.999Z", 1), ["2026-11-27T12:00:00Z"]);
        assert_eq!(ticks("* * * * * *", "2026-11-27T12:00:00.25Z", 1), ["2026-11-27T12:00:01Z"]);
    }

    #[test]
    fn what_fugit_reads_is_read_alike() {
        for (text, ticks_of) in [
            ("@hourly", ["2026-11-27T13:00:00Z", "2026-11-27T14:00:00Z"]),
            ("@midnight", ["2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"]),
            ("@noon Europe/Paris", ["2026-11-28T11:00:00Z", "2026-11-29T11:00:00Z"]),
            ("@weekly", ["2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"]),
            ("@annually", ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]),
            ("*/20 * * * * *", ["2026-11-27T12:00:20Z", "2026-11-27T12:00:40Z"]),
            ("7/20 * * * *", ["2026-11-27T12:07:00Z", "2026-11-27T12:27:00Z"]),
            ("0 0 L * *", ["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z"]),
            ("0 0 -1 * *", ["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z"]),
            ("0 0 last * *", ["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z"]),
            ("0 9 * * mon#2", ["2026-12-14T09:00:00Z", "2027-01-11T09:00:00Z"]),
            ("0 9 * * fri#-1", ["2026-12-25T09:00:00Z", "2027-01-29T09:00:00Z"]),
            ("0 9 * * Sunday", ["2026-11-29T09:00:00Z", "2026-12-06T09:00:00Z"]),
            ("0 9 * * 7", ["2026-11-29T09:00:00Z", "2026-12-06T09:00:00Z"]),
            // Either day is enough, unless both are asked for.
            ("0 0 13 * 5", ["2026-12-04T00:00:00Z", "2026-12-11T00:00:00Z"]),
            ("0 0 13 * fri&", ["2027-08-13T00:00:00Z", "2028-10-13T00:00:00Z"]),
            (
                "every day at noon America/New_York",
                ["2026-11-27T17:00:00Z", "2026-11-28T17:00:00Z"],
            ),
            ("every day at noon in Asia/Tokyo", ["2026-11-28T03:00:00Z", "2026-11-29T03:00:00Z"]),
            // A leap day, also where a century has none.
            ("0 0 29 feb *", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ] {
            assert_eq!(ticks(text, "2026-11-27T12:00:00Z", 2), ticks_of, "{text}");
        }
        assert_eq!(
            ticks("0 0 29 2 *", "2096-02-29T12:00:00Z", 1),
            ["2104-02-29T00:00:00Z"],
            "2100 is no leap year"
        );
    }

    /// Spring forward in New York on 2026-03-08 (02:00 is 03:00), back on 2026-11-01 (02:00 is 01:00).
    #[test]
    fn on_nights_that_change_the_clock_a_day_has_its_tick_and_an_interval_goes_on() {
        let spring =
            |text: &str| ticks(&format!("{text} America/New_York"), "2026-03-08T06:10:00Z", 2);
        // 02:30 does not exist: the first moment after the gap, 03:00, stands in.
        assert_eq!(spring("30 2 * * *"), ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]);
        assert_eq!(spring("0 3 * * *"), ["2026-03-08T07:00:00Z", "2026-03-09T07:00:00Z"]);
        assert_eq!(spring("*/30 * * * *"), ["2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z"]);
        assert_eq!(spring("0 * * * *"), ["2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"]);
        let autumn =
            |text: &str| ticks(&format!("{text} America/New_York"), "2026-11-01T05:10:00Z", 2);
        // 01:30 comes twice, and the first one counts.
        assert_eq!(autumn("30 1 * * *"), ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
        let second = ticks("30 1 * * * America/New_York", "2026-11-01T05:45:00Z", 1);
        assert_eq!(second, ["2026-11-02T06:30:00Z"], "a start between the two makes no second one");
        assert_eq!(autumn("0 * * * *"), ["2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"]);
        assert_eq!(autumn("*/30 * * * *"), ["2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z"]);
        // Southern, by half an hour, and at midnight.
        let howe = ticks("15 2 * * * Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2);
        assert_eq!(howe, ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
        let cairo = ticks("0 0 * * * Africa/Cairo", "2026-04-23T12:00:00Z", 2);
        assert_eq!(cairo, ["2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"]);
    }

    #[test]
    fn a_wrong_line_names_the_field() {
        let wrong = |text: &str| text.parse::<Schedule>().unwrap_err().problem;
        for (text, problem) in [
            ("61 * * * *", "the minute is \"61\", expected 0 to 59"),
            ("* 24 * * *", "the hour is \"24\", expected 0 to 23"),
            ("60 * * * * *", "the second is \"60\", expected 0 to 59"),
            (
                "0 0 32 * *",
                "the day of the month is \"32\", expected 1 to 31, or L for the last one",
            ),
            ("0 0 1 janner *", "the month is \"janner\", expected 1 to 12, or jan to dec"),
            ("0 0 30 2 *", "expected a time that comes at least once"),
            ("0 0 31 4 *", "expected a time that comes at least once"),
            (
                "0 0 * * * Europe/Pariss",
                "found \"Europe/Pariss\", expected a time zone such as Europe/Paris or UTC",
            ),
            (
                "0 0 * * * Paris",
                "found \"Paris\", expected a time zone such as Europe/Paris or UTC; did you mean Europe/Paris?",
            ),
            (
                "0 0 * * mon%2",
                "a modulo such as mon%2 is not understood; use a function of the last run",
            ),
        ] {
            assert_eq!(wrong(text), problem, "{text}");
        }
        for text in ["", "* * * *", "* * * * * * *", "5m", "2030-01-01", "nightly", "@dayly"] {
            assert!(wrong(text).starts_with("expected 5 or 6 fields"), "{text}: {}", wrong(text));
        }
        assert!(wrong("@reboot").contains("no ticks"));
        assert!(wrong("every blue moon").contains("every weekday at 9:30"));
        assert!(wrong("0 0 * * * +09:00").contains("a time zone such as"));
    }

    #[test]
    fn only_what_names_hours_or_days_depends_on_the_zone() {
        let depends = |text: &str| text.parse::<Schedule>().unwrap().depends_on_zone();
        assert!(depends("0 3 * * *") && depends("0 0 1 * *") && depends("@daily"));
        assert!(!depends("*/5 * * * *") && !depends("0 3 * * * UTC") && !depends("@hourly"));
    }

    #[test]
    fn a_function_goes_forwards_in_whole_seconds() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (last, now) = (at("2026-11-27T12:00:00Z"), at("2026-11-27T13:00:00Z"));
        let next = |said: &'static str| {
            let schedule = Schedule::function(move |_| Some(said.parse().unwrap()));
            schedule.next(now, Some(last), Zone::UTC)
        };
        assert_eq!(next("2026-11-27T12:30:00.5Z"), Some(at("2026-11-27T12:30:00Z")));
        assert_eq!(next("2026-11-27T12:00:00.5Z"), None);
        let silent = Schedule::function(|_| panic!("on purpose"));
        assert_eq!(silent.next(now, None, Zone::UTC), None);
        assert_ne!(silent, Schedule::function(|_| None));
        assert_eq!(silent, silent.clone());
    }
}
