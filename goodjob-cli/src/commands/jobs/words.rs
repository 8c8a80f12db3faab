//! Jobs, counts and times in words.

use goodjob_core::{JobState, Timestamp};
use goodjob_postgres::jobs::{Action, Tally};
use indicatif::HumanCount;

/// `1 job`, `1,204 jobs`.
pub(in crate::commands) fn jobs(count: u64, kind: &str) -> String {
    let noun = if count == 1 { "job" } else { "jobs" };
    let number = if count == 0 { "no".to_owned() } else { HumanCount(count).to_string() };
    [number.as_str(), kind, noun]
        .into_iter()
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What has been done to a job.
pub(super) fn done(action: &Action) -> &'static str {
    match action {
        Action::Retry => "retried",
        Action::Discard { .. } => "discarded",
        Action::Reschedule(_) => "rescheduled",
        Action::Delete => "deleted",
    }
}

/// The jobs that an action is for.
pub(super) fn fitting(action: &Action) -> &'static str {
    match action {
        Action::Retry => "discarded",
        Action::Delete => "finished",
        Action::Discard { .. } | Action::Reschedule(_) => "unfinished",
    }
}

/// States in front of the word "jobs".
pub(super) fn states(states: &[JobState]) -> String {
    states.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// How an action went.
pub(super) fn outcome(action: &Action, tally: &Tally) -> String {
    let skipped = [
        (tally.busy, "running or locked"),
        (tally.wrong_state, "in another state"),
        (tally.gone, "not there"),
    ];
    let skipped = skipped.iter().filter(|(count, _)| *count > 0).map(|(count, why)| {
        let verb = if *count == 1 { "is" } else { "are" };
        format!("{} {verb} {why}", HumanCount(*count))
    });
    let skipped = skipped.collect::<Vec<_>>().join(", ");
    let done = done(action);
    match (tally.done, tally.total(), skipped.as_str()) {
        (some, total, "") if some == total => format!("{done} {}", jobs(some, "")),
        (some, total, skipped) => {
            format!("{done} {} of {}; {skipped}", HumanCount(some), jobs(total, ""))
        }
    }
}

/// `5m ago`, `in 3h`: one unit, which is as fine as a person wants it.
pub(in crate::commands) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = (at - now).num_seconds();
    let span = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        s @ ..120 => format!("{s}s"),
        s @ ..7_200 => format!("{}m", s / 60),
        s @ ..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    };
    if seconds < 0 { format!("{span} ago") } else { format!("in {span}") }
}

/// `2030-01-31 09:00:00 UTC (in 3h)`.
pub(in crate::commands) fn moment(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", at.format("%Y-%m-%d %H:%M:%S UTC"), relative(at, now))
}

/// The text as a terminal may see it: what came with a job must not move the cursor.
pub(in crate::commands) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' => harmless.push(letter),
            letter if letter.is_control() => harmless.extend(letter.escape_default()),
            letter => harmless.push(letter),
        }
    }
    harmless
}

/// The first line, cut to so many characters.
pub(in crate::commands) fn short(text: &str, most: usize) -> String {
    let mut lines = text.lines();
    let line = harmless(lines.next().unwrap_or_default());
    let cut = line.chars().count() > most || lines.next().is_some();
    let mut short: String = line.chars().take(most).collect();
    if cut {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_tells_what_was_left_alone_and_why() {
        let tally = |done, busy, wrong_state, gone| Tally { done, busy, wrong_state, gone };
        for (tally, expected) in [
            (tally(1, 0, 0, 0), "retried 1 job"),
            (tally(1_204, 0, 0, 0), "retried 1,204 jobs"),
            (tally(0, 0, 0, 0), "retried no jobs"),
            (tally(1, 1, 0, 0), "retried 1 of 2 jobs; 1 is running or locked"),
            (
                tally(1_000, 3, 1, 2),
                "retried 1,000 of 1,006 jobs; 3 are running or locked, 1 is in another state, 2 are not there",
            ),
        ] {
            assert_eq!(outcome(&Action::Retry, &tally), expected);
        }
    }

    #[test]
    fn times_are_as_near_as_they_are() {
        let now: Timestamp = "2030-01-31T09:00:00Z".parse().unwrap();
        for (seconds, expected) in [
            (0, "now"),
            (-1, "1s ago"),
            (119, "in 119s"),
            (120, "in 2m"),
            (-7_200, "2h ago"),
            (172_800, "in 2d"),
            (-86_400 * 400, "400d ago"),
        ] {
            let at = now + chrono::TimeDelta::seconds(seconds);
            assert_eq!(relative(at, now), expected);
        }
        assert_eq!(moment(now, now), "2030-01-31 09:00:00 UTC (now)");
    }

    #[test]
    fn what_came_with_a_job_cannot_draw_on_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\n"), "a\\u{1b}[2Jb\\r\n");
        assert_eq!(short("one\ntwo", 10), "one…");
        assert_eq!(short("abcdef", 3), "abc…");
        assert_eq!(short("äöü", 3), "äöü");
    }
}
