//! A claimed job, a run of it, and how the run ends.

use std::time::Duration;

use goodjob_core::{JobId, Timestamp};
use serde_json::{Map, Value, json};
use sqlx::FromRow;
use tokio::time::Instant;
use uuid::Uuid;

use super::now;

/// A job as it was loaded: what Ruby has of it in memory.
#[derive(Clone, Debug, FromRow)]
#[non_exhaustive]
pub struct GemJob {
    #[sqlx(try_from = "Uuid")]
    /// `good_jobs.id`.
    pub id: JobId,
    /// The Ruby class.
    pub job_class: Option<String>,
    /// Its queue.
    pub queue_name: Option<String>,
    /// Smaller runs first.
    pub priority: Option<i32>,
    /// Active Job's hash.
    pub serialized_params: Option<Value>,
    /// How often it was started before.
    pub executions_count: Option<i32>,
    /// The last error.
    pub error: Option<String>,
    /// Set for a job that a cron entry enqueued, which is always kept.
    pub cron_key: Option<String>,
    /// When it is due.
    pub scheduled_at: Option<Timestamp>,
    /// The start of a run that has vanished: such a job is started as interrupted.
    pub performed_at: Option<Timestamp>,
    /// The end of its life.
    pub finished_at: Option<Timestamp>,
    /// When it was enqueued, or last retried.
    pub created_at: Timestamp,
    /// When its claim was begun, by the clock of this process.
    #[sqlx(skip)]
    pub claimed_at: Option<Instant>,
}

impl GemJob {
    /// What the first argument says under this key, if it is an object.
    #[must_use]
    pub fn argument(&self, key: &str) -> Option<&Value> {
        self.serialized_params.as_ref()?.get("arguments")?.get(0)?.get(key)
    }

    /// The error of a start that finds a vanished run (wire contract 4.5).
    pub(super) fn interruption(&self) -> Option<String> {
        let begun = self.performed_at?.format("%Y-%m-%d %H:%M:%S UTC");
        Some(format!("GoodJob::InterruptedError: Interrupted after starting perform at '{begun}'"))
    }

    /// The hash that a retry stores: serialised afresh, with raised counts (wire contract 4.3).
    pub(super) fn retried(&self, class: &str, at: Timestamp) -> Value {
        let stored = self.serialized_params.as_ref().and_then(Value::as_object);
        let mut params: Map<String, Value> = stored.cloned().unwrap_or_default();
        let count = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or(0);
        let executions = count(params.get("executions")) + 1;
        let by_class = format!("[{class}]");
        let counted = params.get("exception_executions").and_then(Value::as_object);
        let mut counted = counted.cloned().unwrap_or_default();
        counted.insert(by_class.clone(), json!(count(counted.get(&by_class)) + 1));
        params.insert("executions".into(), json!(executions));
        params.insert("exception_executions".into(), Value::Object(counted));
        params.insert("provider_job_id".into(), json!(self.id));
        params.insert("enqueued_at".into(), json!(iso(now(), 9)));
        params.insert("scheduled_at".into(), json!(iso(at, 9)));
        Value::Object(params)
    }
}

/// ISO 8601 in UTC with this many fractional digits, of which the clock knows six.
pub(super) fn iso(at: Timestamp, digits: usize) -> String {
    let nanos = format!("{:09}", at.timestamp_subsec_nanos());
    format!("{}.{}Z", at.format("%Y-%m-%dT%H:%M:%S"), &nanos[..digits])
}

/// A run that has been started and not ended.
#[derive(Debug)]
pub struct GemRun {
    /// The job as it was claimed.
    pub job: GemJob,
    /// The row of this run.
    pub execution: Uuid,
    /// The job's `performed_at`.
    pub started_at: Timestamp,
    pub(super) begun: Instant,
    /// The error that the row carries since the start.
    pub(super) loaded_error: Option<String>,
}

/// An exception: its class and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RubyError {
    /// For example `Net::OpenTimeout`.
    pub class: String,
    /// What it says.
    pub message: String,
}

impl RubyError {
    /// An exception of this class.
    #[must_use]
    pub fn new(class: &str, message: &str) -> Self {
        Self { class: class.to_owned(), message: message.to_owned() }
    }

    /// As the gem stores it: `Class: message`.
    pub(super) fn text(&self) -> String {
        format!("{}: {}", self.class, self.message)
    }
}

/// How the body of a job ended (wire contract 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed {
    /// Without an exception.
    Done,
    /// `retry_on` has enqueued it again.
    Retry {
        /// What was raised.
        error: RubyError,
        /// Until it is due.
        wait: Duration,
    },
    /// `discard_on` has ended it.
    Discard(RubyError),
    /// Nobody rescued the exception.
    Raise(RubyError),
    /// The exception is none of `handled_exceptions`, so nothing is written: the run stays open, and
    /// the next worker records an interruption.
    Abandon,
}
