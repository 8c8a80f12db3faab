//! Decimal numbers of any length.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::ValueError;
use super::stored::{read, text};

pub(super) const SERIALIZER: &str = "ActiveJob::Serializers::BigDecimalSerializer";
/// From this many zeros on a number is written with an exponent: `1e999999999` is a short text, but
/// a gigabyte in full.
const MAX_ZEROS: i64 = 400;
/// The largest exponent, far beyond Ruby's own, that adding a text's length cannot overflow.
const MAX_EXPONENT: i64 = 1 << 60;

/// A `BigDecimal`: a decimal number of any length, or one of Ruby's `NaN` and `Infinity`.
///
/// Rails 6.1 to 7.1 store its text, 7.2 and later an object; both are read, and so is a number
/// (which has passed through an `f64`, unless `serde_json` keeps its digits). What is written is the
/// text: Rails 6.1 and 7.0 cannot read the object. A text reaches Ruby as a `String`, to be turned
/// into a number by `to_d`; where every worker has Rails 7.1 or later, a field of type
/// [`Serialized`](super::Serialized), made by `decimal.into()`, reaches it as a `BigDecimal`.
/// Rails 6.1 to 7.1 store `NaN` and `Infinity` as null: read an `Option` where that may be.
///
/// It carries the digits and does no arithmetic, so that an application's decimal library is its own
/// choice and no dependency of every job's: it is handed over as text, `to_string().parse()`. None of
/// those libraries has all of Ruby's values, either. Zeros at the ends and the sign of zero mean
/// nothing: `1.0`, `1` and `0.1e1` are equal and written `1.0`, as Rails does. `NaN` is equal to
/// itself and greater than any number, as in Postgres.
///
/// ```
/// use goodjob_core::ruby::Decimal;
/// let price: Decimal = "19.90".parse()?;
/// assert_eq!(serde_json::to_value(&price).unwrap(), "19.9");
/// assert!(price > Decimal::from(19) && price.to_f64() == 19.9);
/// # Ok::<(), goodjob_core::ruby::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    NegativeInfinity,
    /// `0.digits` times ten to the `exponent`. The digits have no zeros at their ends; zero has none
    /// at all, the exponent 0 and no sign. So equal numbers have equal fields.
    Finite {
        negative: bool,
        digits: String,
        exponent: i64,
    },
    Infinity,
    NotANumber,
}

impl Decimal {
    /// Whether it is a number: not `NaN` and not infinite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        matches!(self.0, Kind::Finite { .. })
    }

    /// Whether it is Ruby's `NaN`.
    #[must_use]
    pub fn is_nan(&self) -> bool {
        self.0 == Kind::NotANumber
    }

    /// The nearest `f64`; infinite for a number beyond its range.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Kind::NegativeInfinity => f64::NEG_INFINITY,
            Kind::Infinity => f64::INFINITY,
            Kind::NotANumber => f64::NAN,
            Kind::Finite { negative, digits, exponent } => {
                let sign = if *negative { "-" } else { "" };
                format!("{sign}0.{digits}e{exponent}").parse().unwrap_or(f64::NAN)
            }
        }
    }

    /// The number if it is a whole one that fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        match &self.0 {
            Kind::Finite { exponent, .. } if *exponent <= 19 => {
                self.to_string().strip_suffix(".0")?.parse().ok()
            }
            _ => None,
        }
    }

    fn finite(negative: bool, whole: &str, fraction: &str, exponent: i64) -> Self {
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let before_point = length(whole) - (length(&all) - length(digits));
        let digits = digits.trim_end_matches('0').to_owned();
        Self(match digits.is_empty() {
            true => Kind::Finite { negative: false, digits, exponent: 0 },
            false => Kind::Finite { negative, digits, exponent: exponent + before_point },
        })
    }

    /// Any stored form.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => parse(&number.to_string()),
            Value::String(plain) => parse(plain),
            object => parse(text(object, SERIALIZER)?),
        }
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn parse(text: &str) -> Option<Decimal> {
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match (size, negative) {
        ("Infinity", true) => return Some(Decimal(Kind::NegativeInfinity)),
        ("Infinity", false) => return Some(Decimal(Kind::Infinity)),
        ("NaN", false) => return Some(Decimal(Kind::NotANumber)),
        _ => {}
    }
    let (mantissa, exponent) = match size.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (size, 0_i64),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = whole.bytes().chain(fraction.bytes()).all(|c| c.is_ascii_digit())
        && !(whole.is_empty() && fraction.is_empty())
        && (-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent);
    is_number.then(|| Decimal::finite(negative, whole, fraction, exponent))
}

impl fmt::Display for Decimal {
    /// The text that Rails stores; with an exponent only when there would be hundreds of zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (negative, digits, exponent) = match &self.0 {
            Kind::NegativeInfinity => return f.write_str("-Infinity"),
            Kind::Infinity => return f.write_str("Infinity"),
            Kind::NotANumber => return f.write_str("NaN"),
            Kind::Finite { negative, digits, exponent } => (negative, digits, *exponent),
        };
        if *negative {
            f.write_str("-")?;
        }
        let zeros_after = exponent - length(digits);
        if -exponent > MAX_ZEROS || zeros_after > MAX_ZEROS {
            return write!(f, "0.{digits}e{exponent}");
        }
        let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
        match usize::try_from(exponent) {
            Ok(point) if 0 < point && point < digits.len() => {
                write!(f, "{}.{}", &digits[..point], &digits[point..])
            }
            Ok(point) if 0 < point => write!(f, "{digits}{}.0", zeros(zeros_after)),
            _ if digits.is_empty() => f.write_str("0.0"),
            _ => write!(f, "0.{}{digits}", zeros(-exponent)),
        }
    }
}

impl FromStr for Decimal {
    type Err = ValueError;

    /// Reads what Ruby's `BigDecimal` writes: `12.5`, `0.125e2`, `-Infinity`, `NaN`.
    ///
    /// # Errors
    /// When the text is no such number; the error shows it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unfit = || ValueError {
            found: format!("{text:?}"),
            expected: "a decimal number such as \"12.5\"",
        };
        parse(text).ok_or_else(unfit)
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Decimal {
            fn from(number: $integer) -> Self {
                let text = number.to_string();
                let digits = text.trim_start_matches('-');
                Self::finite(digits.len() < text.len(), digits, "", 0)
            }
        }
    )*};
}

from_integers! { i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 }

impl From<f64> for Decimal {
    /// The shortest decimal number that is nearest to this `f64`.
    fn from(number: f64) -> Self {
        if number.is_nan() {
            return Self(Kind::NotANumber);
        }
        if number.is_infinite() {
            return Self(if number < 0.0 { Kind::NegativeInfinity } else { Kind::Infinity });
        }
        let size = number.abs().to_string();
        let (whole, fraction) = size.split_once('.').unwrap_or((&size, ""));
        Self::finite(number < 0.0, whole, fraction, 0)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        /// Without digits it is zero, and smaller than any other.
        fn size(digits: &str, exponent: i64) -> (bool, i64, &str) {
            (!digits.is_empty(), exponent, digits)
        }
        let rank = |decimal: &Self| match &decimal.0 {
            Kind::NegativeInfinity => 0,
            Kind::Finite { negative: true, .. } => 1,
            Kind::Finite { negative: false, .. } => 2,
            Kind::Infinity => 3,
            Kind::NotANumber => 4,
        };
        match (&self.0, &other.0) {
            (
                Kind::Finite { negative, digits, exponent },
                Kind::Finite { negative: its_negative, digits: its_digits, exponent: its_exponent },
            ) if negative == its_negative => {
                let order = size(digits, *exponent).cmp(&size(its_digits, *its_exponent));
                if *negative { order.reverse() } else { order }
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from, "a decimal number: its text, or BigDecimalSerializer's object", Self::of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn one_number_has_one_text() {
        for (written, stored) in [
            ("0", "0.0"),
            ("-0.000", "0.0"),
            ("007", "7.0"),
            ("10.00", "10.0"),
            ("+.5", "0.5"),
            ("5.", "5.0"),
            ("0.125e2", "12.5"),
            ("-1.5E-3", "-0.0015"),
            ("1e3", "1000.0"),
            ("1e500", "0.1e501"),
            ("1e-500", "0.1e-499"),
            ("-Infinity", "-Infinity"),
            ("+Infinity", "Infinity"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(decimal(written).to_string(), stored, "{written}");
            assert_eq!(decimal(stored), decimal(written), "{written}");
        }
    }

    #[test]
    fn what_is_no_number_is_shown() {
        for bad in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1 ",
            "1,5",
            "--1",
            "0x1",
            "-NaN",
            "inf",
            "1e99999999999999999999",
            "1e9223372036854775807",
            "١",
        ] {
            let error = bad.parse::<Decimal>().unwrap_err().to_string();
            assert_eq!(error, format!("found {bad:?}, expected a decimal number such as \"12.5\""));
        }
    }

    #[test]
    fn every_stored_form_is_read() {
        let read = |stored| serde_json::from_value::<Decimal>(stored).unwrap();
        let object = |text: &str| json!({"_aj_serialized": SERIALIZER, "value": text});
        for stored in [json!("12.5"), json!(12.5), object("0.125e2"), object("12.5")] {
            assert_eq!(read(stored), decimal("12.5"));
        }
        assert_eq!(read(json!(12)), Decimal::from(12));
        assert!(read(object("NaN")).is_nan() && !read(json!("-Infinity")).is_finite());
        assert_eq!(serde_json::from_value::<Option<Decimal>>(json!(null)).unwrap(), None);
        for bad in [json!(null), json!(true), json!("x"), json!({"value": "1"}), json!(["1"])] {
            let error = serde_json::from_value::<Decimal>(bad.clone()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("found {bad}, expected a decimal number")),
                "{error}"
            );
        }
    }

    #[test]
    fn numbers_come_before_infinity_and_nan_comes_last() {
        let sorted = [
            "-Infinity",
            "-20",
            "-3",
            "-0.1",
            "0",
            "0.01",
            "0.1",
            "0.12",
            "3",
            "20",
            "Infinity",
            "NaN",
        ];
        for (n, smaller) in sorted.iter().enumerate() {
            for larger in &sorted[n + 1..] {
                assert!(decimal(smaller) < decimal(larger), "{smaller} < {larger}");
            }
        }
    }

    proptest! {
        #[test]
        fn machine_numbers_survive(whole in any::<i64>(), other in any::<i64>(), float in any::<f64>()) {
            prop_assert_eq!(Decimal::from(whole).to_i64(), Some(whole));
            prop_assert_eq!(Decimal::from(whole).cmp(&Decimal::from(other)), whole.cmp(&other));
            prop_assert_eq!(Decimal::from(float).to_f64(), if float == 0.0 { 0.0 } else { float });
        }

        #[test]
        fn printing_and_parsing_again_changes_nothing(text in "[-+]?[0-9]{0,12}(\\.[0-9]{0,12})?(e-?[0-9]{1,4})?") {
            if let Ok(number) = text.parse::<Decimal>() {
                prop_assert_eq!(number.to_string().parse::<Decimal>().unwrap(), number);
            }
        }
    }
}
