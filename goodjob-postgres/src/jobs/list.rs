//! Pages of jobs.

use goodjob_core::{ErrorEvent, JobId, JobState, ProcessId, StoreError, Timestamp};
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::filter::{self, Filter};
use crate::error::store_error;
use crate::rows::{self, Moment};
use crate::sql;
use crate::store::PgStore;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many jobs at most.
    pub limit: u32,
    /// Where it begins; `None` is the newest job.
    pub after: Option<Cursor>,
}

impl Page {
    /// The newest jobs.
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self { limit, after: None }
    }
}

/// Just after a job in the order of pages. It stays where it is when that job is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cursor {
    /// When the job was enqueued.
    pub created_at: Timestamp,
    /// Its id.
    pub id: JobId,
}

/// A page of jobs, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobList {
    /// The jobs.
    pub jobs: Vec<JobSummary>,
    /// Where the next page begins; `None` when this is the last one.
    pub next: Option<Cursor>,
    /// The database's time, by which the states were judged.
    pub now: Timestamp,
}

/// A job without its arguments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobSummary {
    /// Its id.
    pub id: JobId,
    /// Its class.
    pub class: String,
    /// Its queue.
    pub queue: Option<String>,
    /// Smaller runs first, `None` last.
    pub priority: Option<i32>,
    /// Its state.
    pub state: JobState,
    /// Its labels.
    pub labels: Vec<String>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it may start.
    pub scheduled_at: Option<Timestamp>,
    /// When its present or last attempt started.
    pub performed_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its last error, the first 1,000 characters.
    pub error: Option<String>,
    /// What kind of end the last error was.
    pub error_event: Option<ErrorEvent>,
    /// How often it was started.
    pub executions_count: i32,
    /// The process that owns it.
    pub locked_by: Option<ProcessId>,
    /// The batch that it belongs to.
    pub batch: Option<Uuid>,
    /// The cron entry that it comes from.
    pub cron_key: Option<String>,
}

impl JobSummary {
    /// Just after this job.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { created_at: self.created_at, id: self.id }
    }

    /// The time that matters: of its end, else of its start, else when it is due, else when it was
    /// enqueued. The gem's dashboard shows the same.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.finished_at.or(self.performed_at).or(self.scheduled_at).unwrap_or(self.created_at)
    }

    fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get::<Uuid, _>("id")?.into(),
            class: row.try_get::<Option<String>, _>("job_class")?.unwrap_or_default(),
            queue: row.try_get("queue_name")?,
            priority: row.try_get("priority")?,
            state: state(row)?,
            labels: rows::texts(row, "labels")?,
            created_at: row.try_get::<Moment, _>("created_at")?.0,
            scheduled_at: rows::moment(row, "scheduled_at")?,
            performed_at: rows::moment(row, "performed_at")?,
            finished_at: rows::moment(row, "finished_at")?,
            error: row.try_get("error")?,
            error_event: rows::event(row)?,
            executions_count: row.try_get::<Option<i32>, _>("executions_count")?.unwrap_or(0),
            locked_by: row.try_get::<Option<Uuid>, _>("locked_by_id")?.map(ProcessId::from),
            batch: row.try_get("batch_id")?,
            cron_key: row.try_get("cron_key")?,
        })
    }
}

/// The state that `jobs_matching.sql` found.
pub(super) fn state(row: &PgRow) -> sqlx::Result<JobState> {
    let name: String = row.try_get("state")?;
    filter::state(&name).ok_or_else(|| sqlx::Error::Decode(format!("state {name:?}").into()))
}

impl PgStore {
    /// The jobs that a filter finds, newest first, one page of them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn jobs(&self, filter: &Filter, page: Page) -> Result<JobList, StoreError> {
        // One more, to know whether there is another page.
        let limit = i64::from(page.limit) + 1;
        let rows = filter
            .query(self.sql(sql::JOBS_LIST))
            .bind(page.after.map(|after| after.created_at))
            .bind(page.after.map(|after| after.id.as_uuid()))
            .bind(limit)
            .fetch_all(self.pool())
            .await
            .map_err(store_error)?;
        read(&rows, page.limit as usize).map_err(store_error)
    }

    /// How many jobs a filter finds, exactly. It reads every one of them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        let count = filter.query(self.sql(sql::JOBS_COUNT)).fetch_one(self.pool()).await;
        let count = count.and_then(|row| row.try_get::<i64, _>("jobs")).map_err(store_error)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn read(rows: &[PgRow], limit: usize) -> sqlx::Result<JobList> {
    let now = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get::<Moment, _>("now")?.0;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        // The row of an empty page carries the time alone.
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            jobs.push(JobSummary::read(row)?);
        }
    }
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = if more { jobs.last().map(JobSummary::cursor) } else { None };
    Ok(JobList { jobs, next, now })
}
