//! Versions as Postgres prints them.

use std::fmt;

/// A server's version, such as `15.18` or `18beta1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    major: u32,
    minor: u32,
    text: String,
}

impl Version {
    /// The leading number: 15 for `15.18`.
    pub fn major(&self) -> u32 {
        self.major
    }

    pub(super) fn order(&self) -> (u32, u32) {
        (self.major, self.minor)
    }

    /// From `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; a beta counts as its `.0`.
    pub(super) fn parse(answer: &str) -> Option<Self> {
        let text = answer.split_whitespace().nth(2)?;
        let digits = |part: &str| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        };
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Some(Self { major: digits(major)?, minor: digits(minor)?, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_not_by_text() {
        let order = |text: &str| {
            Version::parse(&format!("postgres (PostgreSQL) {text}")).map(|version| version.order())
        };
        assert_eq!(order("15.18 (Debian 15.18-0+deb12u1)"), Some((15, 18)));
        assert_eq!(order("18beta1"), Some((18, 0)));
        assert_eq!(order("9.6.24"), Some((9, 6)));
        assert_eq!(order("devel"), None);
        assert!(order("9.6.24") < order("15.2") && order("15.2") < order("15.18"));
    }
}
