//! Notices that jobs were enqueued. A notice is only a hint: losing one costs at most a poll
//! interval of waiting, never a job.

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, TimeDelta};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;

/// The channel that the gem's processes and ours notify each other on.
pub const CHANNEL: &str = "good_job";

/// Brings notices to the capsule.
#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    /// Forwards what arrives until `stop`. Reconnects by itself. Whenever it begins to hear, the
    /// first time as after a reconnect, it sends [`Signal::Resync`]: what was sent before is lost.
    async fn listen(&self, to: mpsc::Sender<Signal>, stop: CancellationToken);

    /// Whether notices can be heard now, as a probe asks. Waits for nothing. By default they always can.
    fn is_listening(&self) -> bool {
        true
    }
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Jobs were enqueued.
    Notice(Notice),
    /// Some notices may have been missed: look for jobs, and for future ones too.
    Resync,
}

/// Says that jobs were enqueued: on which queue, for when, how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Their queue; `None` concerns every pool.
    pub queue: Option<String>,
    /// When they are due; `None` is now.
    pub at: Option<Timestamp>,
    /// How many there are.
    pub count: u64,
}

/// A message on the channel that is no notice.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoticeError(String);

impl Notice {
    /// Reads the payload that the gem or we sent (wire contract 2.6): a JSON object whose keys may
    /// all be missing, with `scheduled_at` as ISO 8601 or seconds since the epoch. Unknown keys are
    /// ignored.
    ///
    /// # Errors
    /// When it is no object, or a known key has a value of another kind.
    pub fn parse(payload: &str) -> Result<Self, NoticeError> {
        let wrong = |what: &str, value: &Value| NoticeError(format!("{what}: found {value}"));
        let value: Value = serde_json::from_str(payload)
            .map_err(|error| NoticeError(format!("expected a JSON object: {error}")))?;
        let Value::Object(map) = &value else {
            return Err(wrong("expected a JSON object", &value));
        };
        let queue = match map.get("queue_name") {
            None | Some(Value::Null) => None,
            Some(Value::String(queue)) => Some(queue.clone()),
            Some(other) => return Err(wrong("queue_name: expected a string", other)),
        };
        let at = match map.get("scheduled_at") {
            None | Some(Value::Null) => None,
            Some(value) => {
                Some(time(value).ok_or_else(|| wrong("scheduled_at: expected a time", value))?)
            }
        };
        let count = match map.get("count") {
            None | Some(Value::Null) => 1,
            Some(value) => {
                value.as_u64().ok_or_else(|| wrong("count: expected a whole number", value))?
            }
        };
        Ok(Self { queue, at, count })
    }
}

/// The gem sends milliseconds while rows keep microseconds: rounding up by one keeps a timer from
/// firing just before its job is due.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => {
            let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
            let whole_millis = at.trunc_subsecs(3) == at;
            at.checked_add_signed(TimeDelta::milliseconds(i64::from(whole_millis)))
        }
        Value::Number(seconds) => {
            let micros = seconds.as_f64()? * 1e6;
            // The range in which an f64 is a whole number of microseconds.
            (micros.abs() < 9.0e15)
                .then_some(micros as i64)
                .and_then(DateTime::from_timestamp_micros)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_gems_payloads_are_read() {
        let single = r#"{"queue_name":"mice","scheduled_at":"2026-11-23T19:17:17.591+01:00"}"#;
        let notice = Notice::parse(single).unwrap();
        assert_eq!(notice.queue.as_deref(), Some("mice"));
        assert_eq!((notice.at, notice.count), (at("2026-11-23T18:17:17.592Z"), 1));

        let bulk = r#"{"queue_name":"a","count":3,"scheduled_at":1795458000.5,"fanout":true}"#;
        let notice = Notice::parse(bulk).unwrap();
        assert_eq!(notice.count, 3);
        assert_eq!(notice.at, DateTime::from_timestamp_micros(1_795_458_000_500_000));
        assert_eq!(Notice::parse("{}").unwrap(), Notice { queue: None, at: None, count: 1 });
    }

    #[test]
    fn junk_is_an_error_that_says_what_it_is() {
        let error = |payload| Notice::parse(payload).unwrap_err().to_string();
        assert_eq!(error("[1]"), "expected a JSON object: found [1]");
        assert_eq!(error(r#"{"count":"3"}"#), "count: expected a whole number: found \"3\"");
        assert_eq!(error(r#"{"queue_name":1}"#), "queue_name: expected a string: found 1");
        assert_eq!(error(r#"{"scheduled_at":"x"}"#), "scheduled_at: expected a time: found \"x\"");
        assert!(error("").starts_with("expected a JSON object: "));
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload in any::<String>(), number in any::<f64>()) {
            let _ = Notice::parse(&payload);
            let _ = Notice::parse(&format!(r#"{{"scheduled_at":{number}}}"#));
        }
    }
}
