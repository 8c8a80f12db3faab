//! Points in time, and days.

use std::fmt;
use std::str::FromStr;

use chrono::{FixedOffset, NaiveDate, Utc};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::ValueError;
use super::stored::{made_by, read, text, write};
use crate::clock::Timestamp;
use crate::job::arguments::SERIALIZED;
use crate::job::payload::iso8601;

const TIME: &str = "ActiveJob::Serializers::TimeSerializer";
const DATE_TIME: &str = "ActiveJob::Serializers::DateTimeSerializer";
const TIME_WITH_ZONE: &str = "ActiveJob::Serializers::TimeWithZoneSerializer";
const DATE: &str = "ActiveJob::Serializers::DateSerializer";

const EXPECTED: &str =
    "a time, as Active Job's serializer of Time, DateTime or TimeWithZone stores it";

fn parse(text: &str) -> Option<Timestamp> {
    // The second reads what Ruby writes of years beyond 9999.
    let at = chrono::DateTime::<FixedOffset>::parse_from_rfc3339(text).or_else(|_| text.parse());
    Some(at.ok()?.with_timezone(&Utc))
}

/// The instant and the other keys, whichever of Ruby's three classes it was.
fn instant(value: &Value) -> Option<(Timestamp, &Map<String, Value>)> {
    let keys = [TIME, DATE_TIME, TIME_WITH_ZONE].iter().find_map(|name| made_by(value, name))?;
    Some((parse(keys.get("value")?.as_str()?)?, keys))
}

macro_rules! instant {
    ($(#[$doc:meta])* $name:ident, $serializer:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Timestamp);

        impl From<Timestamp> for $name {
            fn from(at: Timestamp) -> Self {
                Self(at)
            }
        }

        impl From<$name> for Timestamp {
            fn from(time: $name) -> Self {
                time.0
            }
        }

        impl fmt::Display for $name {
            /// In UTC with nine fractional digits, as it is stored.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&iso8601(self.0))
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            /// Reads ISO 8601 with any offset.
            ///
            /// # Errors
            /// When the text is no such time; the error shows it.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse(text).map(Self).ok_or_else(|| ValueError {
                    found: format!("{text:?}"),
                    expected: "a time such as \"2026-11-23T18:17:17.5Z\"",
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                write(to, $serializer, &iso8601(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read(from, EXPECTED, |value| instant(value).map(|(at, _)| Self(at)))
            }
        }
    };
}

instant! {
    /// A `Time`, as an instant: its offset is not kept, and Ruby is given one in UTC.
    ///
    /// Nanoseconds are kept. Every Rails from 6.1 reads it. Ruby code has three classes for this and
    /// mixes them (`Time.now`, `1.hour.from_now`), so each of [`Time`], [`DateTime`] and
    /// [`TimeWithZone`] reads all three and writes its own.
    ///
    /// ```
    /// use goodjob_core::ruby::Time;
    /// let at: Time = "2026-11-23T19:17:17.5+01:00".parse()?;
    /// assert_eq!(at.to_string(), "2026-11-23T18:17:17.500000000Z");
    /// # Ok::<(), goodjob_core::ruby::ValueError>(())
    /// ```
    Time, TIME
}

instant! {
    /// A `DateTime`, as an instant: its offset is not kept, and Ruby is given one in UTC. It reads
    /// what [`Time`] reads. Every Rails from 6.1 reads it.
    DateTime, DATE_TIME
}

/// An `ActiveSupport::TimeWithZone`, such as `Time.current` or `1.hour.from_now`: an instant, and the
/// zone that Ruby is to show it in. It reads what [`Time`] reads.
///
/// Rails 7.1.3 and later write the zone and heed it; earlier ones read the instant and take the
/// job's own zone. Every Rails from 6.1 reads what is written here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeWithZone {
    /// The instant.
    pub at: Timestamp,
    /// The zone's name, `Europe/Paris` or one of Rails' own such as `Paris`. Ruby fails a job whose
    /// zone it does not know. `None`: the job's zone, or the application's.
    pub zone: Option<String>,
}

impl TimeWithZone {
    /// This instant in that zone.
    pub fn new(at: Timestamp, zone: impl Into<String>) -> Self {
        Self { at, zone: Some(zone.into()) }
    }
}

impl From<Timestamp> for TimeWithZone {
    fn from(at: Timestamp) -> Self {
        Self { at, zone: None }
    }
}

impl From<TimeWithZone> for Timestamp {
    fn from(time: TimeWithZone) -> Self {
        time.at
    }
}

impl Serialize for TimeWithZone {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(None)?;
        object.serialize_entry(SERIALIZED, TIME_WITH_ZONE)?;
        object.serialize_entry("value", &iso8601(self.at))?;
        if let Some(zone) = &self.zone {
            object.serialize_entry("time_zone", zone)?;
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for TimeWithZone {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from, EXPECTED, |value| {
            let (at, keys) = instant(value)?;
            let zone = match keys.get("time_zone") {
                None | Some(Value::Null) => None,
                Some(zone) => Some(zone.as_str()?.to_owned()),
            };
            Some(Self { at, zone })
        })
    }
}

/// A `Date`: a day of the calendar. Every Rails from 6.1 reads it.
///
/// ```
/// use goodjob_core::ruby::Date;
/// let day: Date = "2026-11-23".parse()?;
/// assert_eq!(day.0, chrono::NaiveDate::from_ymd_opt(2026, 11, 23).unwrap());
/// # Ok::<(), goodjob_core::ruby::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(pub NaiveDate);

impl From<NaiveDate> for Date {
    fn from(day: NaiveDate) -> Self {
        Self(day)
    }
}

impl From<Date> for NaiveDate {
    fn from(date: Date) -> Self {
        date.0
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Date {
    type Err = ValueError;

    /// # Errors
    /// When the text is no such day; the error shows it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| ValueError {
            found: format!("{text:?}"),
            expected: "a day such as \"2026-11-23\"",
        })
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        write(to, DATE, &self.0.to_string())
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from, "a day, as ActiveJob::Serializers::DateSerializer stores it", |value| {
            text(value, DATE)?.parse().ok().map(Self)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_instant_is_read_from_each_of_rubys_three_classes_and_from_any_offset() {
        let at: Timestamp = "2024-06-01T10:00:00.000000001Z".parse().unwrap();
        for name in [TIME, DATE_TIME, TIME_WITH_ZONE] {
            for text in ["2024-06-01T10:00:00.000000001Z", "2024-06-01T12:00:00.000000001+02:00"] {
                let stored = || json!({"_aj_serialized": name, "value": text});
                assert_eq!(serde_json::from_value::<Time>(stored()).unwrap(), Time(at));
                assert_eq!(serde_json::from_value::<DateTime>(stored()).unwrap(), DateTime(at));
                let read: TimeWithZone = serde_json::from_value(stored()).unwrap();
                assert_eq!(read, TimeWithZone::from(at));
            }
        }
    }

    #[test]
    fn times_and_days_far_away_survive() {
        for text in ["-0044-03-15T12:00:00.000000000Z", "+12026-01-01T00:00:00.000000000Z"] {
            let at: Time = text.parse().unwrap();
            assert_eq!(at.to_string(), text);
        }
        let day: Date = "+12026-01-01".parse().unwrap();
        assert_eq!(day.to_string().parse::<Date>().unwrap(), day);
    }

    #[test]
    fn what_is_no_time_is_shown() {
        let bad = json!({"_aj_serialized": TIME, "value": "tomorrow"});
        let error = serde_json::from_value::<Time>(bad.clone()).unwrap_err().to_string();
        assert_eq!(error, format!("found {bad}, expected {EXPECTED}"));
        let zone = json!({"_aj_serialized": TIME_WITH_ZONE, "value": "2024-06-01T10:00:00Z", "time_zone": 1});
        assert!(serde_json::from_value::<TimeWithZone>(zone).is_err());
        let day = json!({"_aj_serialized": DATE, "value": "2024-02-30"});
        assert!(serde_json::from_value::<Date>(day.clone()).is_err());
        assert!(serde_json::from_value::<Time>(day).is_err(), "a day is no time");
        assert!("2024-02-30".parse::<Date>().is_err() && "now".parse::<Time>().is_err());
    }
}
