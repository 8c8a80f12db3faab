//! The JSON object that every handler is given: Active Job's envelope in plain words.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use goodjob_core::{Arguments, Context, JobError, JobId};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

/// The version of the object. It changes only when a key changes its meaning or goes away.
const VERSION: u32 = 1;

/// What a handler is told about its job.
#[derive(Debug)]
pub(super) struct Input {
    /// The object, in bytes: what is sent is what is signed.
    pub(super) json: Vec<u8>,
    /// When the time limit is reached, as RFC 3339.
    pub(super) deadline: Option<String>,
}

#[derive(Serialize)]
struct Facts<'a> {
    v: u32,
    id: JobId,
    class: &'a str,
    queue: Option<&'a str>,
    priority: Option<i32>,
    attempt: u32,
    max_attempts: Option<u32>,
    args: Vec<Value>,
    kwargs: Map<String, Value>,
    labels: &'a [String],
    cron_key: Option<&'a str>,
    scheduled_at: String,
    deadline: Option<&'a str>,
}

impl Input {
    pub(super) fn of(arguments: Option<Arguments>, cx: &Context) -> Result<Self, JobError> {
        let unfit = || JobError::discard("arguments: found none, expected an array");
        let (args, kwargs) = arguments.ok_or_else(|| unfit().with_class("ArgumentsError"))?.split();
        let deadline = cx.deadline().and_then(time_of_day);
        let facts = Facts {
            v: VERSION,
            id: cx.job_id(),
            class: cx.class(),
            queue: cx.queue(),
            priority: cx.priority(),
            attempt: cx.attempt(),
            max_attempts: cx.max_attempts(),
            args,
            kwargs,
            labels: cx.labels(),
            cron_key: cx.tick().map(|tick| tick.key.as_str()),
            scheduled_at: rfc3339(cx.scheduled_at()),
            deadline: deadline.as_deref(),
        };
        let json = serde_json::to_vec(&facts)?;
        Ok(Self { json, deadline })
    }
}

fn time_of_day(deadline: Instant) -> Option<String> {
    let left = TimeDelta::from_std(deadline.saturating_duration_since(Instant::now())).ok()?;
    Utc::now().checked_add_signed(left).map(rfc3339)
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
