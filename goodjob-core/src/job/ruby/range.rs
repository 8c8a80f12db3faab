//! Ranges.

use std::ops::{self, Bound, RangeBounds};

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::job::arguments::SERIALIZED;

const SERIALIZER: &str = "ActiveJob::Serializers::RangeSerializer";

/// A range: `1..9` (with its end), `1...9` (without), `1..` or `..9`. Its ends may be any value that
/// has a stored form, such as a [`Date`](super::Date).
///
/// Rails 7.0 and later write and read it; Rails 6.1 has no form for ranges.
///
/// ```
/// use std::ops::RangeBounds;
/// use goodjob_core::ruby::Range;
/// assert_eq!(Range::from(1..9), Range { begin: Some(1), end: Some(9), exclude_end: true });
/// assert!(Range::from(1..=9).contains(&9));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range<T> {
    /// The first value, which is always part of the range. `None`: it has no beginning.
    pub begin: Option<T>,
    /// The last value. `None`: it has no end.
    pub end: Option<T>,
    /// Whether `end` itself is left out, as by Ruby's three dots.
    pub exclude_end: bool,
}

#[derive(serde::Serialize)]
struct Writing<'a, T> {
    #[serde(rename = "_aj_serialized")]
    serializer: &'static str,
    begin: Option<&'a T>,
    end: Option<&'a T>,
    exclude_end: bool,
}

#[derive(serde::Deserialize)]
#[serde(expecting = "a range, as ActiveJob::Serializers::RangeSerializer stores it")]
struct Reading<T> {
    #[serde(rename = "_aj_serialized")]
    serializer: String,
    begin: Option<T>,
    end: Option<T>,
    #[serde(default)]
    exclude_end: bool,
}

impl<T: Serialize> Serialize for Range<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Writing {
            serializer: SERIALIZER,
            begin: self.begin.as_ref(),
            end: self.end.as_ref(),
            exclude_end: self.exclude_end,
        }
        .serialize(to)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Range<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let found = Reading::deserialize(from)?;
        if found.serializer != SERIALIZER {
            let name = found.serializer;
            return Err(D::Error::custom(format!(
                "found {name:?} under {SERIALIZED}, expected {SERIALIZER:?}"
            )));
        }
        Ok(Self { begin: found.begin, end: found.end, exclude_end: found.exclude_end })
    }
}

impl<T> RangeBounds<T> for Range<T> {
    fn start_bound(&self) -> Bound<&T> {
        self.begin.as_ref().map_or(Bound::Unbounded, Bound::Included)
    }

    fn end_bound(&self) -> Bound<&T> {
        match &self.end {
            None => Bound::Unbounded,
            Some(end) if self.exclude_end => Bound::Excluded(end),
            Some(end) => Bound::Included(end),
        }
    }
}

impl<T> From<ops::Range<T>> for Range<T> {
    fn from(range: ops::Range<T>) -> Self {
        Self { begin: Some(range.start), end: Some(range.end), exclude_end: true }
    }
}

impl<T> From<ops::RangeInclusive<T>> for Range<T> {
    fn from(range: ops::RangeInclusive<T>) -> Self {
        let (begin, end) = range.into_inner();
        Self { begin: Some(begin), end: Some(end), exclude_end: false }
    }
}

impl<T> From<ops::RangeFrom<T>> for Range<T> {
    fn from(range: ops::RangeFrom<T>) -> Self {
        Self { begin: Some(range.start), end: None, exclude_end: false }
    }
}

impl<T> From<ops::RangeTo<T>> for Range<T> {
    fn from(range: ops::RangeTo<T>) -> Self {
        Self { begin: None, end: Some(range.end), exclude_end: true }
    }
}

impl<T> From<ops::RangeToInclusive<T>> for Range<T> {
    fn from(range: ops::RangeToInclusive<T>) -> Self {
        Self { begin: None, end: Some(range.end), exclude_end: false }
    }
}

impl<T> From<ops::RangeFull> for Range<T> {
    fn from(_: ops::RangeFull) -> Self {
        Self { begin: None, end: None, exclude_end: false }
    }
}
