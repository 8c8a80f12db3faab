//! Lengths of time.

use std::ops::Add;
use std::time;

use chrono::TimeDelta;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};

use super::name::SYMBOL;
use super::stored::{made_by, read, text};
use super::{Decimal, Symbol, ValueError};
use crate::job::arguments::SERIALIZED;

const SERIALIZER: &str = "ActiveJob::Serializers::DurationSerializer";

/// An `ActiveSupport::Duration` such as `5.minutes` or `1.month + 2.days`: a length in seconds, and
/// the parts that Ruby counts a calendar by. Every Rails from 6.1 reads it.
///
/// One made from a length of Rust's has seconds for its only part. One that is read keeps the parts
/// that it has, so that Ruby is given the same again; without any, they are taken to be seconds.
/// Equal are two with the same length *and* parts.
///
/// ```
/// use std::time::Duration as Length;
/// use goodjob_core::ruby::{Duration, Unit};
/// let notice = Duration::of(1, Unit::Months) + Duration::of(2, Unit::Days);
/// assert_eq!(notice.as_secs_f64(), 2_802_546.0);
/// assert_eq!(Duration::from(Length::from_secs(90)), Duration::of(90, Unit::Seconds));
/// assert_eq!(Length::try_from(Duration::of(2, Unit::Minutes))?, Length::from_secs(120));
/// # Ok::<(), goodjob_core::ruby::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Duration {
    value: Number,
    parts: Vec<(Unit, Number)>,
}

/// What a part of a [`Duration`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// 60 seconds are a minute.
    Seconds,
    /// 60 seconds.
    Minutes,
    /// 3600 seconds.
    Hours,
    /// 86,400 seconds.
    Days,
    /// 604,800 seconds.
    Weeks,
    /// 2,629,746 seconds, a twelfth of a year.
    Months,
    /// 31,556,952 seconds, the mean of the Gregorian calendar.
    Years,
}

impl Unit {
    const ALL: [(Self, &'static str, i64); 7] = [
        (Self::Seconds, "seconds", 1),
        (Self::Minutes, "minutes", 60),
        (Self::Hours, "hours", 3600),
        (Self::Days, "days", 86_400),
        (Self::Weeks, "weeks", 604_800),
        (Self::Months, "months", 2_629_746),
        (Self::Years, "years", 31_556_952),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|unit| unit.1 == name).map(|unit| unit.0)
    }

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Its length in seconds, as Active Support counts it.
    fn seconds(self) -> i64 {
        Self::ALL[self as usize].2
    }
}

impl Duration {
    /// So many of a unit, as Ruby's `5.minutes`.
    #[must_use]
    pub fn of(count: i32, unit: Unit) -> Self {
        let parts = (count != 0).then(|| (unit, Number::from(count))).into_iter().collect();
        Self { value: (i64::from(count) * unit.seconds()).into(), parts }
    }

    /// Its length in seconds.
    #[must_use]
    pub fn as_secs_f64(&self) -> f64 {
        self.value.as_f64().unwrap_or(f64::NAN)
    }

    /// Its parts in the order in which Ruby stores them. Zero has none.
    pub fn parts(&self) -> impl Iterator<Item = (Unit, f64)> {
        self.parts.iter().map(|(unit, count)| (*unit, count.as_f64().unwrap_or(f64::NAN)))
    }

    fn in_seconds(value: Number) -> Self {
        let is_zero = value.as_f64() == Some(0.0);
        let parts = if is_zero { Vec::new() } else { vec![(Unit::Seconds, value.clone())] };
        Self { value, parts }
    }

    /// An `f64` carries a fraction as Ruby does: exact to the nanosecond for some three months.
    fn in_fractions(seconds: f64) -> Self {
        Self::in_seconds(Number::from_f64(seconds).unwrap_or_else(|| 0.into()))
    }

    fn misfit(&self, expected: &'static str) -> ValueError {
        ValueError { found: format!("{} seconds", self.value), expected }
    }
}

impl Add for Duration {
    type Output = Self;

    /// As in Ruby, counts of the same unit become one part.
    fn add(mut self, other: Self) -> Self {
        self.value = sum(&self.value, &other.value);
        for (unit, count) in other.parts {
            match self.parts.iter_mut().find(|part| part.0 == unit) {
                Some(part) => part.1 = sum(&part.1, &count),
                None => self.parts.push((unit, count)),
            }
        }
        self.parts.retain(|(_, count)| count.as_f64() != Some(0.0));
        self
    }
}

fn sum(a: &Number, b: &Number) -> Number {
    let whole = a.as_i64().zip(b.as_i64()).and_then(|(a, b)| a.checked_add(b));
    let float = || a.as_f64().zip(b.as_f64()).map(|(a, b)| (a + b).clamp(f64::MIN, f64::MAX));
    whole.map(Number::from).or_else(|| Number::from_f64(float()?)).unwrap_or_else(|| a.clone())
}

impl From<time::Duration> for Duration {
    fn from(length: time::Duration) -> Self {
        match length.subsec_nanos() {
            0 => Self::in_seconds(length.as_secs().into()),
            _ => Self::in_fractions(length.as_secs_f64()),
        }
    }
}

impl From<TimeDelta> for Duration {
    fn from(length: TimeDelta) -> Self {
        match length.subsec_nanos() {
            0 => Self::in_seconds(length.num_seconds().into()),
            _ => Self::in_fractions(length.as_seconds_f64()),
        }
    }
}

impl TryFrom<Duration> for time::Duration {
    type Error = ValueError;

    /// # Errors
    /// When it is negative or too long.
    fn try_from(duration: Duration) -> Result<Self, ValueError> {
        let seconds = duration.value.as_u64().map(Self::from_secs);
        seconds
            .or_else(|| Self::try_from_secs_f64(duration.value.as_f64()?).ok())
            .ok_or_else(|| duration.misfit("a length of time that is not negative"))
    }
}

impl TryFrom<Duration> for TimeDelta {
    type Error = ValueError;

    /// # Errors
    /// When it is too long.
    fn try_from(duration: Duration) -> Result<Self, ValueError> {
        let whole = duration.value.as_i64().and_then(Self::try_seconds);
        let fraction = || {
            let seconds = duration.value.as_f64()?;
            let length =
                Self::from_std(time::Duration::try_from_secs_f64(seconds.abs()).ok()?).ok()?;
            Some(if seconds < 0.0 { -length } else { length })
        };
        whole.or_else(fraction).ok_or_else(|| duration.misfit("less than 300 million years"))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let parts: Vec<(Symbol, &Number)> =
            self.parts.iter().map(|(unit, count)| (unit.name().into(), count)).collect();
        let mut object = to.serialize_map(Some(3))?;
        object.serialize_entry(SERIALIZED, SERIALIZER)?;
        object.serialize_entry("value", &self.value)?;
        object.serialize_entry("parts", &parts)?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from, "a duration, as ActiveJob::Serializers::DurationSerializer stores it", |value| {
            let keys = made_by(value, SERIALIZER)?;
            let value = number(keys.get("value")?)?;
            match keys.get("parts") {
                None | Some(Value::Null) => Some(Self::in_seconds(value)),
                Some(parts) => {
                    let parts = parts.as_array()?.iter().map(part).collect::<Option<_>>()?;
                    Some(Self { value, parts })
                }
            }
        })
    }
}

fn part(pair: &Value) -> Option<(Unit, Number)> {
    match pair.as_array()?.as_slice() {
        [unit, count] => Some((Unit::named(text(unit, SYMBOL)?)?, number(count)?)),
        _ => None,
    }
}

/// A number, or one that Ruby multiplied by a `BigDecimal`.
fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        other => Number::from_f64(Decimal::of(other)?.to_f64()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_units_stand_in_their_own_order() {
        for (n, (unit, name, _)) in Unit::ALL.into_iter().enumerate() {
            assert_eq!((unit as usize, Unit::named(name)), (n, Some(unit)));
        }
    }

    #[test]
    fn parts_are_kept_and_missing_ones_are_seconds() {
        let symbol = |name: &str| json!({"_aj_serialized": SYMBOL, "value": name});
        let stored = json!({
            "_aj_serialized": SERIALIZER, "value": 2_716_146,
            "parts": [[symbol("months"), 1], [symbol("days"), 1]],
        });
        let month: Duration = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(month.as_secs_f64(), 2_716_146.0);
        assert_eq!(month.parts().collect::<Vec<_>>(), [(Unit::Months, 1.0), (Unit::Days, 1.0)]);
        assert_eq!(serde_json::to_value(&month).unwrap(), stored);

        let bare = json!({"_aj_serialized": SERIALIZER, "value": 300});
        let bare: Duration = serde_json::from_value(bare).unwrap();
        assert_eq!(bare, Duration::of(300, Unit::Seconds));
        assert_eq!(
            serde_json::to_value(&bare).unwrap()["parts"],
            json!([[symbol("seconds"), 300]])
        );
        let zero = Duration::from(time::Duration::ZERO);
        assert_eq!((zero.parts().count(), zero), (0, Duration::of(0, Unit::Days)));
    }

    #[test]
    fn a_sum_has_one_part_for_each_unit() {
        let day = || Duration::of(1, Unit::Days);
        let both = day() + Duration::of(-3, Unit::Hours) + day();
        assert_eq!(both.parts().collect::<Vec<_>>(), [(Unit::Days, 2.0), (Unit::Hours, -3.0)]);
        assert_eq!(both.as_secs_f64(), 162_000.0);
        assert_eq!(day() + Duration::of(-1, Unit::Days), Duration::of(0, Unit::Days));
        let half = Duration::from(TimeDelta::milliseconds(500));
        assert_eq!((half.clone() + half + day()).as_secs_f64(), 86_401.0);
        let longest = || Duration::from(time::Duration::MAX);
        assert!((longest() + longest()).as_secs_f64() > 3e19);
    }

    #[test]
    fn lengths_go_to_rust_and_back() {
        for length in [time::Duration::from_millis(1500), time::Duration::from_secs(u64::MAX)] {
            assert_eq!(time::Duration::try_from(Duration::from(length)).unwrap(), length);
        }
        for delta in [TimeDelta::milliseconds(-1500), TimeDelta::seconds(-5), TimeDelta::zero()] {
            assert_eq!(TimeDelta::try_from(Duration::from(delta)).unwrap(), delta);
        }
        let negative = time::Duration::try_from(Duration::of(-1, Unit::Minutes)).unwrap_err();
        assert_eq!(
            negative.to_string(),
            "found -60 seconds, expected a length of time that is not negative"
        );
        assert!(TimeDelta::try_from(Duration::from(time::Duration::MAX)).is_err());
        let decimal = json!({"_aj_serialized": SERIALIZER, "value": "5400.0"});
        let decimal: Duration = serde_json::from_value(decimal).unwrap();
        assert_eq!(time::Duration::try_from(decimal).unwrap(), time::Duration::from_secs(5400));
    }

    #[test]
    fn what_is_no_duration_is_shown() {
        for bad in [
            json!(300),
            json!({"_aj_serialized": SERIALIZER}),
            json!({"_aj_serialized": SERIALIZER, "value": "NaN"}),
            json!({"_aj_serialized": SERIALIZER, "value": 1, "parts": 1}),
            json!({"_aj_serialized": SERIALIZER, "value": 1, "parts": [["seconds"]]}),
            json!({"_aj_serialized": SERIALIZER, "value": 1, "parts": [["fortnights", 1]]}),
        ] {
            let error = serde_json::from_value::<Duration>(bad.clone()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("found {bad}, expected a duration")), "{error}");
        }
    }
}
