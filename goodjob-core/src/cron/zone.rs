//! Time zones by their names in the IANA database, which is compiled in.

use std::fmt;
use std::str::FromStr;

use chrono_tz::{TZ_VARIANTS, Tz};

/// A time zone of the IANA database, such as `Europe/Paris`. UTC by default.
///
/// ```
/// use goodjob_core::Zone;
/// let paris: Zone = "Europe/Paris".parse()?;
/// assert_eq!(paris.to_string(), "Europe/Paris");
/// assert_eq!(
///     "Europe/Pariss".parse::<Zone>().unwrap_err().to_string(),
///     "found \"Europe/Pariss\", expected a time zone such as Europe/Paris or UTC",
/// );
/// # Ok::<(), goodjob_core::ZoneError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(Tz::UTC);

    pub(super) fn tz(self) -> Tz {
        self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let name = name.trim();
        name.parse()
            .map(Self)
            .map_err(|_| ZoneError { name: name.to_owned(), nearest: nearest(name).map(Tz::name) })
    }
}

/// A name that is no time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    name: String,
    nearest: Option<&'static str>,
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {:?}, expected a time zone such as Europe/Paris or UTC", self.name)?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ZoneError {}

/// The zone of this name in other letters, or of this city.
fn nearest(name: &str) -> Option<Tz> {
    let city = |name: &str| name.rsplit('/').next().unwrap_or(name).replace(' ', "_");
    let by = |same: &dyn Fn(&str) -> bool| TZ_VARIANTS.into_iter().find(|zone| same(zone.name()));
    by(&|known| known.eq_ignore_ascii_case(name))
        .or_else(|| by(&|known| city(known).eq_ignore_ascii_case(&city(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_told_the_right_one() {
        let hint = |name: &str| name.parse::<Zone>().unwrap_err().nearest;
        assert_eq!(hint("europe/paris"), Some("Europe/Paris"));
        assert_eq!(hint("Eurpoe/Paris"), Some("Europe/Paris"));
        assert_eq!(hint("new york"), Some("America/New_York"));
        assert_eq!(hint("Mars/Olympus_Mons"), None);
        assert!("utc".parse::<Zone>().is_err(), "names are exact, as they are in Ruby");
        assert_eq!("Etc/UTC".parse::<Zone>().unwrap().to_string(), "Etc/UTC");
    }
}
