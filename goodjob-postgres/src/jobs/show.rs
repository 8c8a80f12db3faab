//! Everything about one job.

use goodjob_core::{
    ExecutionRecord, Inspect, JobId, JobNotes, JobRecord, JobState, Notes, ProcessId, StoreError,
    Timestamp,
};
use serde::Serialize;
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::filter::Filter;
use super::list::state;
use crate::error::store_error;
use crate::rows::{self, Moment};
use crate::sql;
use crate::store::PgStore;

/// Everything about a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobDetails {
    /// Its row.
    #[serde(flatten)]
    pub job: JobRecord,
    /// Its state at `now`.
    pub state: JobState,
    /// The database's time.
    pub now: Timestamp,
    /// When its owner took it.
    pub locked_at: Option<Timestamp>,
    /// How its owner locks: 0 advisory, 1 skiplocked, 2 hybrid. Older tables do not say.
    pub lock_type: Option<i16>,
    /// The process that owns it.
    pub owner: Option<Owner>,
    /// The sessions that hold its advisory lock or wait for it.
    pub locks: Vec<LockHolder>,
    /// The attempts, oldest first.
    pub executions: Vec<ExecutionRecord>,
    /// What it said about itself, where that is kept.
    pub notes: Option<JobNotes>,
}

/// The process that owns a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// Its id.
    pub id: ProcessId,
    /// Whether it has a row among the processes.
    pub known: bool,
    /// Whether others take it for alive.
    pub alive: bool,
    /// Its host.
    pub hostname: Option<String>,
    /// Its pid there.
    pub pid: Option<i64>,
    /// What it is called.
    pub title: Option<String>,
}

/// A session with an interest in a job's advisory lock. What the server keeps from this user is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct LockHolder {
    /// The pid of the server's process.
    pub pid: Option<i32>,
    /// What the session calls itself.
    pub application: Option<String>,
    /// The address of its client; `None` for a local one.
    pub client: Option<String>,
    /// Whether it has the lock; else it waits for it.
    pub held: bool,
}

impl PgStore {
    /// Everything about a job; `None` when there is none with this id.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn show(&self, id: JobId) -> Result<Option<JobDetails>, StoreError> {
        let one = Filter::new().ids([id]);
        let row = one.query(self.sql(sql::JOBS_SHOW)).fetch_optional(self.pool()).await;
        let Some(row) = row.map_err(store_error)? else { return Ok(None) };
        let locks = sqlx::query_as(self.sql(sql::JOB_LOCKS))
            .bind(id.as_uuid())
            .fetch_all(self.pool())
            .await
            .map_err(store_error)?;
        let executions = self.executions(id).await?;
        let notes = self.notes(id).await?;
        details(&row, locks, executions, notes).map(Some).map_err(store_error)
    }
}

fn details(
    row: &PgRow,
    locks: Vec<LockHolder>,
    executions: Vec<ExecutionRecord>,
    notes: Option<JobNotes>,
) -> sqlx::Result<JobDetails> {
    let job = rows::job(row)?;
    Ok(JobDetails {
        state: state(row)?,
        now: row.try_get::<Moment, _>("now")?.0,
        locked_at: rows::moment(row, "locked_at")?,
        lock_type: match row.try_get("lock_type") {
            Err(sqlx::Error::ColumnNotFound(_)) => None,
            read => read?,
        },
        owner: job.locked_by.map(|id| owner(id, row)).transpose()?,
        job,
        locks,
        executions,
        notes,
    })
}

fn owner(id: ProcessId, row: &PgRow) -> sqlx::Result<Owner> {
    let state = row.try_get::<Option<Value>, _>("owner_state")?.unwrap_or_default();
    let text = |key: &str| state[key].as_str().map(str::to_owned);
    Ok(Owner {
        id,
        known: row.try_get("owner_known")?,
        alive: row.try_get("owner_alive")?,
        hostname: text("hostname"),
        pid: state["pid"].as_i64(),
        title: text("proctitle"),
    })
}
