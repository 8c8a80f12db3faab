//! What is going on: jobs by queue and state, processes, and jobs that nobody will run.

use goodjob_core::{Pools, ProcessId};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::sql;
use crate::store::PgStore;

/// The largest number of finished jobs that is counted exactly.
pub const COUNTED_UP_TO: i64 = 10_000;

/// A picture of the tables at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Unfinished jobs by queue.
    pub queues: Vec<QueueStatus>,
    /// Jobs that ended well, at most [`COUNTED_UP_TO`] + 1.
    pub succeeded: i64,
    /// Jobs that ended with an error, at most [`COUNTED_UP_TO`] + 1.
    pub discarded: i64,
    /// The processes, goodjob's and Ruby's.
    pub processes: Vec<ProcessStatus>,
    /// Due jobs that no living goodjob process will take, and why.
    pub unserved: Vec<Unserved>,
}

/// Unfinished jobs of one queue.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct QueueStatus {
    /// Its name; `None` for jobs without a queue.
    pub queue: Option<String>,
    /// Waiting for their time.
    pub scheduled: i64,
    /// Waiting for their time after at least two attempts.
    pub retried: i64,
    /// Due, waiting for a slot.
    pub queued: i64,
    /// Being done.
    pub running: i64,
    /// How long the oldest due job has waited, in seconds.
    pub oldest_due_seconds: Option<f64>,
}

/// One process.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessStatus {
    /// Its id.
    pub id: ProcessId,
    /// Its host.
    pub hostname: Option<String>,
    /// Its pid there.
    pub pid: Option<i64>,
    /// What it is called.
    pub title: Option<String>,
    /// `goodjob` and its version; `None` for a Ruby process.
    pub runtime: Option<String>,
    /// Its pools, as a queue string.
    pub queues: Vec<String>,
    /// The classes that it can do; `None` for a Ruby process, which does not say.
    pub classes: Option<Vec<String>>,
    /// Seconds since its last heartbeat.
    pub beat_seconds_ago: f64,
    /// Seconds since its start.
    pub up_seconds: f64,
    /// Whether others still take it for alive.
    pub alive: bool,
}

/// Due jobs that will not be run as things are.
#[derive(Clone, Debug, Serialize)]
pub struct Unserved {
    /// Their class.
    pub class: Option<String>,
    /// Their queue.
    pub queue: Option<String>,
    /// How many there are.
    pub due: i64,
    /// How long the oldest has waited, in seconds.
    pub oldest_due_seconds: f64,
    /// Why no living goodjob process takes them.
    pub reason: String,
}

#[derive(sqlx::FromRow)]
struct ProcessRow {
    id: Uuid,
    state: Value,
    beat_seconds_ago: f64,
    up_seconds: f64,
    alive: bool,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    class: Option<String>,
    queue: Option<String>,
    due: i64,
    oldest_due_seconds: f64,
}

/// Reads the status.
///
/// # Errors
/// When the database cannot be asked.
pub async fn status(store: &PgStore) -> sqlx::Result<Status> {
    let pool = store.pool();
    let queues = queues(store).await?;
    let (succeeded, discarded) = sqlx::query_as(store.sql(sql::FINISHED)).fetch_one(pool).await?;
    let processes: Vec<ProcessRow> =
        sqlx::query_as(store.sql(sql::PROCESSES)).fetch_all(pool).await?;
    let processes: Vec<ProcessStatus> = processes.into_iter().map(ProcessStatus::from).collect();
    let due: Vec<DueRow> = sqlx::query_as(store.sql(sql::DUE_CLASSES)).fetch_all(pool).await?;
    let unserved = due.into_iter().filter_map(|due| unserved(due, &processes)).collect();
    Ok(Status { queues, succeeded, discarded, processes, unserved })
}

/// Unfinished jobs by queue alone: the part of [`status`] that a monitor asks for again and again.
///
/// # Errors
/// When the database cannot be asked.
pub async fn queues(store: &PgStore) -> sqlx::Result<Vec<QueueStatus>> {
    sqlx::query_as(store.sql(sql::QUEUES)).fetch_all(store.pool()).await
}

impl From<ProcessRow> for ProcessStatus {
    fn from(row: ProcessRow) -> Self {
        let text = |key: &str| row.state[key].as_str().map(str::to_owned);
        let texts = |value: &Value| -> Option<Vec<String>> {
            Some(value.as_array()?.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        };
        let schedulers = row.state["schedulers"].as_array().cloned().unwrap_or_default();
        let queues = schedulers.iter().filter_map(|s| s["queues"].as_str().map(str::to_owned));
        Self {
            id: row.id.into(),
            hostname: text("hostname"),
            pid: row.state["pid"].as_i64(),
            title: text("proctitle"),
            runtime: text("runtime"),
            queues: queues.collect(),
            classes: texts(&row.state["job_classes"]),
            beat_seconds_ago: row.beat_seconds_ago,
            up_seconds: row.up_seconds,
            alive: row.alive,
        }
    }
}

fn unserved(due: DueRow, processes: &[ProcessStatus]) -> Option<Unserved> {
    let class = due.class.as_deref().unwrap_or_default();
    let alive = || processes.iter().filter(|process| process.alive);
    let mut knowing = alive()
        .filter(|process| process.classes.iter().flatten().any(|known| known == class))
        .peekable();
    let reason = if knowing.peek().is_some() {
        if knowing.any(|process| takes(process, due.queue.as_deref())) {
            return None;
        }
        format!("no worker that knows the class {class:?} takes this queue")
    } else if alive().any(|process| process.runtime.is_some()) {
        format!("no goodjob worker knows the class {class:?}{}", ruby(alive()))
    } else {
        format!("no goodjob worker is running{}", ruby(alive()))
    };
    let DueRow { class, queue, due, oldest_due_seconds } = due;
    Some(Unserved { class, queue, due, oldest_due_seconds, reason })
}

fn takes(process: &ProcessStatus, queue: Option<&str>) -> bool {
    process.queues.iter().any(|queues| {
        let one = std::num::NonZeroUsize::MIN;
        queues.parse::<Pools>().is_ok_and(|pools| {
            pools.with_default(one).iter().any(|pool| pool.queues.matches(queue))
        })
    })
}

fn ruby<'a>(alive: impl Iterator<Item = &'a ProcessStatus>) -> &'static str {
    match alive.filter(|process| process.runtime.is_none()).count() {
        0 => "",
        _ => "; a Ruby process may",
    }
}
