//! The messages on the gem's channel.

use chrono::DateTime;
use goodjob_core::Timestamp;
use serde_json::{Value, json};

use super::job::iso;

/// A message as the gem reads and writes it (wire contract 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GemNotice {
    /// Its queue; without one every process is meant.
    pub queue_name: Option<String>,
    /// When the job is due; without a time, now.
    pub scheduled_at: Option<Timestamp>,
    /// How many jobs there are.
    pub count: u64,
}

impl GemNotice {
    /// Reads a message. Unknown keys are ignored.
    ///
    /// # Errors
    /// What makes the gem's listener raise, drop its connection and miss what is sent meanwhile: no
    /// JSON, no object, a count that is no integer, a time that is none.
    pub fn parse(payload: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(payload).map_err(|error| format!("{payload:?}: {error}"))?;
        let message = value.as_object().ok_or_else(|| format!("{payload:?} is no object"))?;
        let count = match message.get("count") {
            None | Some(Value::Null) => 1,
            Some(count) => count.as_u64().ok_or_else(|| format!("count: found {count}"))?,
        };
        let scheduled_at = match message.get("scheduled_at") {
            None | Some(Value::Null) => None,
            Some(at) => Some(time(at).ok_or_else(|| format!("scheduled_at: found {at}"))?),
        };
        let queue_name = message.get("queue_name").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { queue_name, scheduled_at, count })
    }

    /// The message about one job.
    #[must_use]
    pub fn payload(&self) -> String {
        let at = self.scheduled_at.map(|at| iso(at, 3));
        json!({ "queue_name": self.queue_name, "scheduled_at": at }).to_string()
    }
}

/// ISO 8601 with any offset, or seconds since the epoch.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()),
        Value::Number(seconds) => {
            DateTime::from_timestamp_micros((seconds.as_f64()? * 1e6).round() as i64)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        DateTime::from_timestamp_micros(micros).expect("a time")
    }

    #[test]
    fn what_the_gem_understands_is_understood() {
        let notice = |queue: Option<&str>, scheduled_at, count| GemNotice {
            queue_name: queue.map(str::to_owned),
            scheduled_at,
            count,
        };
        let half_past = Some(at(1_795_457_837_591_000));
        for (payload, expected) in [
            ("{}", notice(None, None, 1)),
            (
                r#"{"queue_name":"a","scheduled_at":"2026-11-23T18:17:17.591Z","x":1}"#,
                notice(Some("a"), half_past, 1),
            ),
            (
                r#"{"scheduled_at":"2026-11-23T20:17:17.591+02:00","count":3}"#,
                notice(None, half_past, 3),
            ),
            (r#"{"scheduled_at":1795457837.591}"#, notice(None, half_past, 1)),
        ] {
            assert_eq!(GemNotice::parse(payload), Ok(expected), "{payload}");
        }
    }

    #[test]
    fn what_makes_its_listener_raise_is_an_error() {
        for payload in [
            "",
            "a",
            "[]",
            "7",
            r#"{"count":"2"}"#,
            r#"{"count":1.5}"#,
            r#"{"scheduled_at":"soon"}"#,
        ] {
            assert!(GemNotice::parse(payload).is_err(), "{payload}");
        }
    }

    #[test]
    fn a_message_has_milliseconds() {
        let notice = GemNotice {
            queue_name: Some("a".into()),
            scheduled_at: Some(at(1_795_457_837_591_999)),
            count: 1,
        };
        let expected = r#"{"queue_name":"a","scheduled_at":"2026-11-23T18:17:17.591Z"}"#;
        assert_eq!(notice.payload(), expected);
    }
}
