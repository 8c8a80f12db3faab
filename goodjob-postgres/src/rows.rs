//! Rows into records. Every time comes as `timestamptz` from a session in UTC.

use std::time::Duration;

use goodjob_core::{
    BatchId, Claim, ErrorEvent, ExecutionId, ExecutionRecord, JobRecord, Payload, ProcessId, Tick,
    Ties, Timestamp, Token,
};
use serde_json::Value;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, FromRow, Postgres, Row, Type};
use uuid::Uuid;

/// A job as `job.sql` returns it.
pub(crate) fn job(row: &PgRow) -> sqlx::Result<JobRecord> {
    let locked_by: Option<Uuid> = row.try_get("locked_by_id")?;
    Ok(JobRecord {
        finished_at: moment(row, "finished_at")?,
        locked_by: locked_by.map(ProcessId::from),
        ..unowned(row)?
    })
}

/// A job that is unfinished and nobody's.
fn unowned(row: &PgRow) -> sqlx::Result<JobRecord> {
    let id: Uuid = row.try_get("id")?;
    Ok(JobRecord {
        id: id.into(),
        class: row.try_get::<Option<String>, _>("job_class")?.unwrap_or_default(),
        queue: row.try_get("queue_name")?,
        priority: row.try_get("priority")?,
        payload: payload(row),
        labels: texts(row, "labels")?,
        ties: ties(row)?,
        created_at: row.try_get::<Moment, _>("created_at")?.0,
        scheduled_at: moment(row, "scheduled_at")?,
        performed_at: moment(row, "performed_at")?,
        finished_at: None,
        error: row.try_get("error")?,
        error_event: event(row)?,
        executions_count: row.try_get::<Option<i32>, _>("executions_count")?.unwrap_or(0),
        locked_by: None,
    })
}

fn ties(row: &PgRow) -> sqlx::Result<Ties> {
    let tick = match row.try_get("cron_key")? {
        Some(key) => Some(Tick { key, at: moment(row, "cron_at")? }),
        None => None,
    };
    let batch = |column| row.try_get::<Option<Uuid>, _>(column).map(|id| id.map(BatchId::from));
    Ok(Ties {
        concurrency_key: row.try_get("concurrency_key")?,
        batch: batch("batch_id")?,
        batch_callback: batch("batch_callback_id")?,
        tick,
    })
}

/// The envelope. JSON that Postgres can hold and serde cannot, such as 1e400 or a depth of 500, is read
/// as none: the attempt then fails with that, and neither the job nor its neighbours are lost.
fn payload(row: &PgRow) -> Payload {
    match row.try_get::<Option<Value>, _>("serialized_params") {
        Ok(value) => Payload::from_value(value.unwrap_or_default()),
        Err(error) => {
            tracing::warn!(%error, "an envelope cannot be read");
            Payload::default()
        }
    }
}

/// Which attempt a row of a claim began; `None` for the row that only says what the claim saw.
pub(crate) fn token(row: &PgRow) -> sqlx::Result<Option<Token>> {
    let Some(job) = row.try_get::<Option<Uuid>, _>("id")? else { return Ok(None) };
    let execution: Option<Uuid> = row.try_get("execution_id")?;
    Ok(Some(Token {
        job: job.into(),
        execution: execution.map_or_else(ExecutionId::generate, ExecutionId::from),
        performed_at: row.try_get("performed_at")?,
        executions_count: row.try_get::<Option<i32>, _>("executions_count")?.unwrap_or(0),
    }))
}

/// The attempt that a row of a claim began, by this process.
pub(crate) fn claim(row: &PgRow, token: Token, process: ProcessId) -> sqlx::Result<Claim> {
    let interruptions: i64 = row.try_get::<Option<i64>, _>("interruptions")?.unwrap_or(0);
    let interruptions = u32::try_from(interruptions).unwrap_or(u32::MAX);
    let job = JobRecord { locked_by: Some(process), ..unowned(row)? };
    Ok(Claim { job, token, interruptions })
}

pub(crate) fn execution(row: &PgRow) -> sqlx::Result<ExecutionRecord> {
    Ok(ExecutionRecord {
        id: row.try_get::<Uuid, _>("id")?.into(),
        job: row.try_get::<Uuid, _>("active_job_id")?.into(),
        process: row.try_get::<Option<Uuid>, _>("process_id")?.map(ProcessId::from),
        scheduled_at: moment(row, "scheduled_at")?,
        started_at: row.try_get::<Moment, _>("created_at")?.0,
        finished_at: moment(row, "finished_at")?,
        duration: row
            .try_get::<Option<f64>, _>("seconds")?
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        error: row.try_get("error")?,
        error_event: event(row)?,
        backtrace: texts(row, "error_backtrace")?,
    })
}

/// An array of texts, which may be NULL and hold NULLs. One of several dimensions, which nobody but a person
/// writes, is read as none.
pub(crate) fn texts(row: &PgRow, column: &str) -> sqlx::Result<Vec<String>> {
    match row.try_get::<Option<Vec<Option<String>>>, _>(column) {
        Ok(texts) => Ok(texts.unwrap_or_default().into_iter().flatten().collect()),
        Err(error @ sqlx::Error::ColumnDecode { .. }) => {
            tracing::warn!(%error, "a list of texts cannot be read");
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn moment(row: &PgRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<Moment>, _>(column)?.map(|moment| moment.0))
}

/// A `timestamptz`. Postgres knows `infinity` and years that chrono does not, and sqlx's own decoder
/// panics at them; this one takes the nearest moment of the years 1 to 9999.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl Moment {
    /// Microseconds from 1970 to 2000, where Postgres begins to count.
    const EPOCH: i64 = 946_684_800_000_000;
    const FIRST: i64 = -62_135_596_800_000_000;
    const LAST: i64 = 253_402_300_799_999_999;

    /// Whether it stands for every moment before the year 1.
    pub(crate) fn is_first(self) -> bool {
        self.0.timestamp_micros() <= Self::FIRST
    }

    fn from_postgres(micros: i64) -> Self {
        let micros = micros.saturating_add(Self::EPOCH).clamp(Self::FIRST, Self::LAST);
        Self(Timestamp::from_timestamp_micros(micros).unwrap_or_default())
    }
}

impl Type<Postgres> for Moment {
    fn type_info() -> PgTypeInfo {
        <Timestamp as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Moment {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::from_postgres(<i64 as Decode<Postgres>>::decode(value)?))
    }
}

pub(crate) fn event(row: &PgRow) -> sqlx::Result<Option<ErrorEvent>> {
    Ok(row.try_get::<Option<i16>, _>("error_event")?.and_then(ErrorEvent::from_code))
}

/// What `settle.sql` and `settle_unkept.sql` say about one attempt.
#[derive(Debug, FromRow)]
pub(crate) struct SettledRow {
    pub(crate) execution_id: Uuid,
    pub(crate) written: bool,
    /// Somebody else has the row's lock.
    pub(crate) blocked: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_of_postgres_is_one_of_ours() {
        let text = |micros| Moment::from_postgres(micros).0.to_rfc3339();
        assert_eq!(text(0), "2000-01-01T00:00:00+00:00");
        assert_eq!(text(1), "2000-01-01T00:00:00.000001+00:00");
        assert_eq!(text(i64::MIN), "0001-01-01T00:00:00+00:00", "-infinity");
        assert_eq!(text(i64::MAX), "9999-12-31T23:59:59.999999+00:00", "infinity");
    }
}
