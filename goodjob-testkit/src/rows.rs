//! Rows of the gem's five tables, ready to be stored as another client may have stored them.

use std::collections::HashMap;
use std::time::Duration;

use chrono::SecondsFormat;
use goodjob_core::{
    BatchRecord, ExecutionRecord, JobId, JobRecord, MemoryStore, ProcessId, Timestamp,
};
use goodjob_postgres::migrate::{self, Step};
use goodjob_postgres::{PgStore, TableNames};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

const JOBS: &str = include_str!("sql/rows_jobs.sql");
const EXECUTIONS: &str = include_str!("sql/rows_executions.sql");
const BATCHES: &str = include_str!("sql/rows_batches.sql");
const PROCESSES: &str = include_str!("sql/rows_processes.sql");
const SETTINGS: &str = include_str!("sql/rows_settings.sql");

/// Rows of one statement: few enough for the limits of `jsonb`, many enough to be fast.
const CHUNK: usize = 5_000;
/// `lock_type` of a job that a goodjob worker runs: hybrid (wire contract 1.2).
const HYBRID: i16 = 2;

/// What the five tables hold, or are to hold.
///
/// A value of the [`factory`](crate::factory) or of [`History`](crate::History) is a plain record, so that
/// a test changes the fields that it is about and stores the rest as it is.
///
/// ```no_run
/// use goodjob_core::{ErrorEvent, JobRecord};
/// use goodjob_testkit::{Database, Rows, factory};
///
/// # async fn test() {
/// let database = Database::fresh().await;
/// let store = database.store().await;
/// let discarded = JobRecord {
///     finished_at: Some(factory::time()),
///     error: Some("Timeout: no answer".into()),
///     error_event: Some(ErrorEvent::Discarded),
///     ..factory::job()
/// };
/// Rows { jobs: vec![discarded], ..Rows::default() }.store_in(&store).await;
/// store.close().await;
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// `good_jobs`.
    pub jobs: Vec<JobRecord>,
    /// `good_job_executions`.
    pub executions: Vec<ExecutionRecord>,
    /// `good_job_batches`.
    pub batches: Vec<BatchRecord>,
    /// `good_job_processes`.
    pub processes: Vec<ProcessRow>,
    /// `good_job_settings`.
    pub settings: Vec<SettingRow>,
}

/// A row of `good_job_processes`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessRow {
    /// Its id.
    pub id: ProcessId,
    /// When it started: `created_at`.
    pub started_at: Timestamp,
    /// Its last heartbeat: `updated_at`.
    pub beaten_at: Timestamp,
    /// What it says of itself (wire contract 7.2).
    pub state: Value,
}

/// A row of `good_job_settings`.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingRow {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its key (wire contract 11).
    pub key: String,
    /// Its value.
    pub value: Value,
}

impl Rows {
    /// Stores all of them, in one transaction and without telling any worker. Columns that the records do
    /// not have follow from those that they have: `updated_at` is the last time in a row.
    ///
    /// # Panics
    /// When the database refuses them, for example since an id is there already.
    pub async fn store_in(&self, store: &PgStore) {
        let stored = self.insert(store).await;
        stored.unwrap_or_else(|error| panic!("the rows cannot be stored: {error}"));
    }

    /// Puts the jobs into a store in memory, which has no other rows to plant.
    pub fn plant_in(&self, store: &MemoryStore) {
        self.jobs.iter().cloned().for_each(|job| store.plant(job));
    }

    async fn insert(&self, store: &PgStore) -> sqlx::Result<()> {
        let names = &store.options().tables;
        let mut tx = store.pool().begin().await?;
        insert(&mut tx, names, JOBS, &self.jobs, job).await?;
        let mut attempts = Attempts::of(self);
        insert(&mut tx, names, EXECUTIONS, &self.executions, |row| attempts.row(row)).await?;
        insert(&mut tx, names, BATCHES, &self.batches, batch).await?;
        insert(&mut tx, names, PROCESSES, &self.processes, process).await?;
        insert(&mut tx, names, SETTINGS, &self.settings, setting).await?;
        tx.commit().await
    }
}

async fn insert<T>(
    connection: &mut PgConnection,
    names: &TableNames,
    statement: &'static str,
    rows: &[T],
    row: impl FnMut(&T) -> Value,
) -> sqlx::Result<()> {
    let statement = migrate::render(Step { name: "", sql: statement }, names);
    let rows: Vec<Value> = rows.iter().map(row).collect();
    for chunk in rows.chunks(CHUNK) {
        sqlx::query(AssertSqlSafe(statement.as_str()))
            .bind(json!(chunk))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn job(job: &JobRecord) -> Value {
    let (tick, owner) = (job.ties.tick.as_ref(), job.locked_by);
    let updated = job.finished_at.or(job.performed_at).unwrap_or(job.created_at);
    json!({
        "id": job.id,
        "active_job_id": job.id,
        "job_class": job.class,
        "queue_name": job.queue,
        "priority": job.priority,
        "serialized_params": job.payload,
        "labels": (!job.labels.is_empty()).then_some(&job.labels),
        "concurrency_key": job.ties.concurrency_key,
        "batch_id": job.ties.batch,
        "batch_callback_id": job.ties.batch_callback,
        "cron_key": tick.map(|tick| &tick.key),
        "cron_at": tick.and_then(|tick| tick.at).map(text),
        "created_at": text(job.created_at),
        "updated_at": text(updated),
        "scheduled_at": job.scheduled_at.map(text),
        "performed_at": job.performed_at.map(text),
        "finished_at": job.finished_at.map(text),
        "error": job.error,
        "error_event": job.error_event.map(|event| event.code()),
        // The gem leaves it NULL until a job was started.
        "executions_count": (job.executions_count > 0).then_some(job.executions_count),
        "locked_by_id": owner,
        "locked_at": owner.and(job.performed_at).map(text),
        "lock_type": owner.map(|_| HYBRID),
    })
}

/// What a row of an attempt takes from its job: class, queue, and the envelope as it was before.
struct Attempts<'a> {
    jobs: HashMap<JobId, &'a JobRecord>,
    /// Attempts of a job so far that its envelope counts.
    counted: HashMap<JobId, u32>,
}

impl<'a> Attempts<'a> {
    fn of(rows: &'a Rows) -> Self {
        let jobs = rows.jobs.iter().map(|job| (job.id, job)).collect();
        Self { jobs, counted: HashMap::new() }
    }

    fn row(&mut self, attempt: &ExecutionRecord) -> Value {
        let job = self.jobs.get(&attempt.job).copied();
        let counted = self.counted.entry(attempt.job).or_default();
        let payload = job.map(|job| {
            let mut payload = job.payload.clone();
            payload.set("executions", (*counted).min(payload.executions()).into());
            payload
        });
        *counted += 1;
        json!({
            "id": attempt.id,
            "active_job_id": attempt.job,
            "job_class": job.map(|job| &job.class),
            "queue_name": job.and_then(|job| job.queue.as_ref()),
            // The gem's page fails on JSON null (wire contract 1.3).
            "serialized_params": payload.map_or(json!({}), |payload| payload.into_value()),
            "process_id": attempt.process,
            // And on an attempt that was due at no time.
            "scheduled_at": text(attempt.scheduled_at.unwrap_or(attempt.started_at)),
            "created_at": text(attempt.started_at),
            "updated_at": text(attempt.finished_at.unwrap_or(attempt.started_at)),
            "finished_at": attempt.finished_at.map(text),
            "duration": attempt.duration.map(interval),
            "error": attempt.error,
            "error_event": attempt.error_event.map(|event| event.code()),
            "error_backtrace": (!attempt.backtrace.is_empty()).then_some(&attempt.backtrace),
        })
    }
}

fn batch(batch: &BatchRecord) -> Value {
    json!({
        "id": batch.id,
        "created_at": text(batch.created_at),
        "updated_at": text(batch.updated_at),
        "description": batch.spec.description,
        "serialized_properties": batch.spec.properties,
        "on_finish": batch.spec.on_finish,
        "on_success": batch.spec.on_success,
        "on_discard": batch.spec.on_discard,
        "callback_queue_name": batch.spec.callback_queue,
        "callback_priority": batch.spec.callback_priority,
        "enqueued_at": batch.enqueued_at.map(text),
        "discarded_at": batch.discarded_at.map(text),
        "jobs_finished_at": batch.jobs_finished_at.map(text),
        "finished_at": batch.finished_at.map(text),
    })
}

fn process(process: &ProcessRow) -> Value {
    json!({
        "id": process.id,
        "created_at": text(process.started_at),
        "updated_at": text(process.beaten_at),
        "state": process.state,
    })
}

fn setting(setting: &SettingRow) -> Value {
    json!({
        "id": setting.id,
        "created_at": text(setting.created_at),
        "updated_at": text(setting.created_at),
        "key": setting.key,
        "value": setting.value,
    })
}

/// Right for both types of column: `timestamp` drops the zone, `timestamptz` heeds it.
fn text(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn interval(duration: Duration) -> String {
    format!("PT{}.{:06}S", duration.as_secs(), duration.subsec_micros())
}
