//! Active Job's envelope, `serialized_params`: read tolerantly, rewritten without losing a key.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::options::{Due, NewJob};
use crate::clock::Timestamp;

/// A job as Active Job serializes it. Keys that this crate does not know are kept as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload(Map<String, Value>);

impl Payload {
    /// The envelope of a job that is enqueued at `now`, with Active Job's keys (wire contract 2.2).
    /// Locale and time zone stay null: the reader's defaults apply.
    #[must_use]
    pub fn of(job: &NewJob, now: Timestamp) -> Self {
        let scheduled_at = match job.due {
            Due::Now => None,
            Due::In(wait) => {
                chrono::TimeDelta::from_std(wait).ok().and_then(|w| now.checked_add_signed(w))
            }
            Due::At(at) => Some(at),
        };
        let mut payload = Self::from_value(json!({
            "job_class": job.class,
            "job_id": job.id,
            "provider_job_id": null,
            "queue_name": job.queue,
            "priority": job.priority,
            "arguments": job.arguments.as_stored(),
            "executions": 0,
            "exception_executions": {},
            "locale": null,
            "timezone": null,
            "enqueued_at": iso8601(now),
            "scheduled_at": scheduled_at.map(iso8601),
        }));
        // The gem writes it only where it was set, and heeds a missing one as true.
        if !job.notify {
            payload.set("good_job_notify", false.into());
        }
        job.trace.write_to(&mut payload);
        payload
    }

    /// Takes a stored value. Anything but an object is read as an empty envelope, whose arguments
    /// are then missing: the attempt fails with that, and the row is not lost.
    #[must_use]
    pub fn from_value(value: Value) -> Self {
        match value {
            Value::Object(map) => Self(map),
            _ => Self::default(),
        }
    }

    /// The envelope as JSON.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The arguments; `None` when `arguments` is missing or no array.
    #[must_use]
    pub fn arguments(&self) -> Option<Arguments> {
        self.0.get("arguments")?.as_array().map(|values| Arguments::from_stored(values.clone()))
    }

    /// How many attempts have ended and were written back. 0 when the key is missing or no count; at
    /// most 2,147,483,647, since the gem's dashboard casts it to Postgres' `integer`, and fails beyond.
    #[must_use]
    pub fn executions(&self) -> u32 {
        count(self.0.get("executions"))
    }

    /// How often the rule named `key` has been applied, e.g. `[Net::OpenTimeout]`.
    #[must_use]
    pub fn exception_executions(&self, key: &str) -> u32 {
        count(self.0.get("exception_executions").and_then(|counts| counts.get(key)))
    }

    /// Records one more attempt that ended in a retry, and under which rule, as `retry_on` does: the
    /// counts, and the provider's id, which Active Job knows from the first retry on.
    pub fn count_retry(&mut self, rule: Option<&str>) {
        self.requeue();
        let executions = (self.executions() + 1).min(MAX_COUNT);
        self.0.insert("executions".to_owned(), executions.into());
        if let Some(rule) = rule {
            let times = (self.exception_executions(rule) + 1).min(MAX_COUNT);
            let counts = self.0.entry("exception_executions").or_insert_with(|| json!({}));
            if !counts.is_object() {
                *counts = json!({});
            }
            counts[rule] = times.into();
        }
    }

    /// Makes it fit to wait again: with the provider's id, and with a count that is one. The gem's
    /// dashboard fails on a waiting row whose `executions` is no integer (wire contract 0, 12).
    pub fn requeue(&mut self) {
        self.0.insert("executions".to_owned(), self.executions().into());
        if let Some(id) = self.0.get("job_id").cloned() {
            self.0.insert("provider_job_id".to_owned(), id);
        }
    }

    /// Whether workers are told when it becomes due again; a job that was enqueued quietly stays quiet.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.0.get("good_job_notify") != Some(&Value::Bool(false))
    }

    /// Any key of the envelope.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Sets any key of the envelope.
    pub fn set(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }
}

/// ISO 8601 with nine fractional digits, as Active Job 7.1 and later write and strictly parse it.
pub(super) fn iso8601(at: Timestamp) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

/// The largest count that is read or written: that of Postgres' `integer`.
const MAX_COUNT: u32 = i32::MAX.unsigned_abs();

fn count(value: Option<&Value>) -> u32 {
    let count = value.and_then(Value::as_u64).unwrap_or(0);
    u32::try_from(count).map_or(MAX_COUNT, |count| count.min(MAX_COUNT))
}

#[cfg(test)]
mod tests {
    use super::super::options::Options;
    use super::*;

    #[test]
    fn a_retry_counts_and_keeps_every_key() {
        let mut payload = Payload::from_value(json!({
            "executions": 1, "exception_executions": {"[A]": 1}, "continuation": {"step": 2}, "x": null,
        }));
        payload.count_retry(Some("[A]"));
        payload.count_retry(Some("[B, C]"));
        payload.count_retry(None);
        assert_eq!(
            payload.into_value(),
            json!({
                "executions": 4, "exception_executions": {"[A]": 2, "[B, C]": 1},
                "continuation": {"step": 2}, "x": null,
            })
        );
    }

    #[test]
    fn only_a_quiet_job_says_whether_workers_are_told() {
        let envelope = |options| {
            let job = NewJob::of_class("A", Arguments::default(), options).unwrap();
            Payload::of(&job, Timestamp::default())
        };
        let loud = envelope(Options::new().notify(true).label("a").priority(3));
        assert_eq!((loud.get("good_job_notify"), loud.get("good_job_labels")), (None, None));
        let mut quiet = envelope(Options::new().notify(false));
        quiet.count_retry(Some("[A]"));
        assert_eq!(
            quiet.get("good_job_notify"),
            Some(&json!(false)),
            "the gem heeds it at a retry"
        );
    }

    #[test]
    fn keys_of_others_survive_all_that_happens_to_an_envelope() {
        let others = json!({
            "continuation": {"completed": ["load"], "current": ["write", 40]}, "resumptions": 2,
            "good_job_notify": true, "tenant": {"id": [1, null, "ä"]}, "": 1.5, "_aj_x": {},
        });
        let mut payload = Payload::from_value(others.clone());
        payload.count_retry(Some("[A]"));
        payload.set("enqueued_at", json!("2026-11-24T00:00:00Z"));
        payload.set("scheduled_at", json!(null));
        let text = serde_json::to_string(&payload).unwrap();
        let again: Payload = serde_json::from_str(&text).unwrap();
        for (key, value) in others.as_object().unwrap() {
            assert_eq!(again.get(key), Some(value), "{key}");
        }
        assert_eq!(again, payload);
    }

    #[test]
    fn a_malformed_envelope_is_read_as_far_as_it_goes() {
        for bad in [json!(null), json!([1]), json!({"executions": "x", "exception_executions": 3})]
        {
            let mut payload = Payload::from_value(bad);
            assert_eq!((payload.executions(), payload.exception_executions("[A]")), (0, 0));
            assert_eq!(payload.arguments(), None);
            payload.count_retry(Some("[A]"));
            assert_eq!((payload.executions(), payload.exception_executions("[A]")), (1, 1));
        }
        assert_eq!(Payload::from_value(json!({"executions": -1})).executions(), 0);
        for large in [2_147_483_647_u64, 3_000_000_000, u64::MAX] {
            let mut payload = Payload::from_value(json!({"executions": large}));
            payload.count_retry(Some("[A]"));
            assert_eq!(payload.get("executions"), Some(&json!(i32::MAX)), "{large}");
        }
    }
}
