//! Times as they are typed: `30`, `2.5`, `30s`, `5m`, and the values that mean none at all.

use std::time::Duration;

/// Longer than this is a typo, and far below where adding it to the present could overflow.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// A time as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seconds {
    /// `-1`, `false`, `off` or nothing.
    Off,
    /// A time, perhaps zero.
    Of(Duration),
}

/// Reads a time; a bare number is seconds, as the gem's flags have it.
pub(super) fn parse(text: &str) -> Option<Seconds> {
    let text = text.trim();
    if matches!(text, "" | "false" | "off") {
        return Some(Seconds::Off);
    }
    let span = match text.parse::<f64>() {
        Ok(-1.0) => return Some(Seconds::Off),
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => humantime::parse_duration(text).ok()?,
    };
    (span <= LONGEST).then_some(Seconds::Of(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_numbers_are_seconds_and_units_are_understood() {
        let seconds = |n| Some(Seconds::Of(Duration::from_millis(n)));
        assert_eq!(parse("30"), seconds(30_000));
        assert_eq!(parse(" 2.5 "), seconds(2_500));
        assert_eq!(parse("30s"), seconds(30_000));
        assert_eq!(parse("1m 30s"), seconds(90_000));
        assert_eq!(parse("0"), seconds(0));
    }

    #[test]
    fn sentinels_mean_none_and_nonsense_is_refused() {
        for off in ["-1", "-1.0", "", "false", "off"] {
            assert_eq!(parse(off), Some(Seconds::Off), "{off:?}");
        }
        for bad in ["-2", "inf", "NaN", "1e300", "10 parsecs", "999999999999", "30x"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
