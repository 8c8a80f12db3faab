//! `[jobs."ClassName"]` of `goodjob.toml`, as written. What it means is decided in `build.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::limits::LimitSettings;

/// How a class of jobs is done without Rust, as written: nothing is checked before
/// [`build`](Self::build), so that all that is wrong can be told at once.
///
/// ```
/// let settings: goodjob_cli::handlers::HandlerSettings =
///     serde_json::from_value(serde_json::json!({"command": ["./send_mail.sh"], "timeout": "30s"}))?;
/// let handler = settings.build("SendMailJob")?;
/// assert_eq!(handler.policy.max_attempts(), Some(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HandlerSettings {
    pub(super) command: Option<Vec<String>>,
    pub(super) url: Option<Hidden>,
    pub(super) timeout: Option<Span>,
    pub(super) attempts: Option<u32>,
    pub(super) wait: Option<Span>,
    pub(super) preserve: Option<String>,
    pub(super) limits: Vec<LimitSettings>,

    pub(super) cwd: Option<PathBuf>,
    pub(super) env: Option<BTreeMap<String, Hidden>>,
    pub(super) env_allow: Option<Vec<String>>,
    pub(super) kill_after: Option<Span>,
    pub(super) discard_exit_codes: Option<Vec<i64>>,

    pub(super) secret: Option<Secrets>,
    pub(super) secret_env: Option<String>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) allow_metadata_addresses: Option<bool>,
}

/// A text that may hold a password: an address, a variable's value, a key. Never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Hidden(String);

impl Hidden {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// One secret, or several while one replaces another.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub(super) enum Secrets {
    One(Hidden),
    Many(Vec<Hidden>),
}

impl Secrets {
    pub(super) fn as_slice(&self) -> &[Hidden] {
        match self {
            Self::One(secret) => std::slice::from_ref(secret),
            Self::Many(secrets) => secrets,
        }
    }
}

/// A length of time: a number of seconds, or a text such as `"1h 30m"`. Some keys take a word too.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a number of seconds or a text such as \"30s\"")]
pub(super) enum Span {
    Seconds(f64),
    Text(String),
}

impl Span {
    /// The longest span taken, a year: long enough for all, short enough for every calendar.
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    pub(super) fn duration(&self) -> Option<Duration> {
        let span = match self {
            Self::Seconds(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
            // A variable of the environment is always a text.
            Self::Text(text) => match text.trim().parse() {
                Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
                Err(_) => humantime::parse_duration(text).ok(),
            },
        };
        span.filter(|span| *span <= Self::LONGEST)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Text(text) if text.trim() == word)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => seconds.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn span(value: serde_json::Value) -> Option<Duration> {
        serde_json::from_value::<Span>(value).unwrap().duration()
    }

    #[test]
    fn a_span_is_a_number_of_seconds_or_a_text() {
        assert_eq!(span(json!(90)), Some(Duration::from_secs(90)));
        assert_eq!(span(json!(0.5)), Some(Duration::from_millis(500)));
        assert_eq!(span(json!("90")), Some(Duration::from_secs(90)));
        assert_eq!(span(json!("1m 30s")), Some(Duration::from_secs(90)));
        for bad in [json!(-1), json!("soon"), json!("nan"), json!("inf"), json!(1e300)] {
            assert_eq!(span(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let settings: HandlerSettings = serde_json::from_value(json!({
            "url": "https://user:hush@example.com", "secret": ["hush", "hush"], "env": {"KEY": "hush"},
        }))
        .unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let unknown = serde_json::from_value::<HandlerSettings>(json!({"comand": ["x"]}));
        assert!(unknown.unwrap_err().to_string().contains("unknown field `comand`"));
    }
}
