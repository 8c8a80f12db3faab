//! Rows into records. Every time comes as `timestamptz` from a session in UTC.

use std::time::Duration;

use goodjob_core::{
    Claim, ErrorEvent, ExecutionRecord, JobRecord, Payload, ProcessId, Timestamp, Token,
};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

/// A job as `job.sql` and the claims return it.
pub(crate) fn job(row: &PgRow) -> sqlx::Result<JobRecord> {
    let id: Uuid = row.try_get("id")?;
    Ok(JobRecord {
        id: id.into(),
        class: row.try_get::<Option<String>, _>("job_class")?.unwrap_or_default(),
        queue: row.try_get("queue_name")?,
        priority: row.try_get("priority")?,
        payload: Payload::from_value(
            row.try_get::<Option<Value>, _>("serialized_params")?.unwrap_or_default(),
        ),
        labels: row.try_get::<Option<Vec<String>>, _>("labels")?.unwrap_or_default(),
        created_at: row.try_get("created_at")?,
        scheduled_at: row.try_get("scheduled_at")?,
        performed_at: row.try_get("performed_at")?,
        finished_at: row.try_get("finished_at")?,
        error: row.try_get("error")?,
        error_event: event(row)?,
        executions_count: row.try_get::<Option<i32>, _>("executions_count")?.unwrap_or(0),
        locked_by: row.try_get::<Option<Uuid>, _>("locked_by_id")?.map(ProcessId::from),
    })
}

/// One row of a claim; `None` is the row that only carries the contention.
pub(crate) fn claim(row: &PgRow) -> sqlx::Result<Option<Claim>> {
    let Some(execution) = row.try_get::<Option<Uuid>, _>("execution_id")? else {
        return Ok(None);
    };
    let job = job(row)?;
    let performed_at: Timestamp = row.try_get("performed_at")?;
    let interruptions: i64 = row.try_get::<Option<i64>, _>("interruptions")?.unwrap_or(0);
    let token = Token {
        job: job.id,
        execution: execution.into(),
        performed_at,
        executions_count: job.executions_count,
    };
    Ok(Some(Claim { job, token, interruptions: u32::try_from(interruptions).unwrap_or(u32::MAX) }))
}

pub(crate) fn execution(row: &PgRow) -> sqlx::Result<ExecutionRecord> {
    let backtrace: Option<Vec<Option<String>>> = row.try_get("error_backtrace")?;
    Ok(ExecutionRecord {
        id: row.try_get::<Uuid, _>("id")?.into(),
        job: row.try_get::<Uuid, _>("active_job_id")?.into(),
        process: row.try_get::<Option<Uuid>, _>("process_id")?.map(ProcessId::from),
        scheduled_at: row.try_get("scheduled_at")?,
        started_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
        duration: row
            .try_get::<Option<f64>, _>("seconds")?
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        error: row.try_get("error")?,
        error_event: event(row)?,
        backtrace: backtrace.unwrap_or_default().into_iter().flatten().collect(),
    })
}

fn event(row: &PgRow) -> sqlx::Result<Option<ErrorEvent>> {
    Ok(row.try_get::<Option<i16>, _>("error_event")?.and_then(ErrorEvent::from_code))
}

/// What `settle.sql` says about one attempt.
#[derive(Debug, FromRow)]
pub(crate) struct SettledRow {
    pub(crate) id: Uuid,
    pub(crate) written: bool,
}

/// Another process, as `peers.sql` sees it.
#[derive(Debug, FromRow)]
pub(crate) struct PeerRow {
    pub(crate) id: Uuid,
    /// The peer's [`HostIdentity`](goodjob_core::HostIdentity); NULL for a Ruby process.
    pub(crate) host: Option<Value>,
    pub(crate) locks_held: bool,
    pub(crate) expired: bool,
}
