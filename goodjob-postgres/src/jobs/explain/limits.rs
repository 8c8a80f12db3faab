//! What a limit or a throttle has to do with it, as far as rows tell.
//!
//! The rules are declared in code, in Ruby's classes or in Rust's, and are in no table: that a limit is used up
//! is known by the error with which it turned the job away, and by the jobs that share its key. Where a process
//! tells its rules in its row, this is where they belong: they would say how many may run, and when a
//! throttle's period is over.

use std::time::Duration;

use goodjob_core::{JobId, JobRecord, ProcessId, Timestamp};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::facts::Facts;
use crate::dialect::Dialect;
use crate::rows::Moment;
use crate::sql;

/// The classes of the gem's errors (wire contract 10.3).
const LIMIT: &str = "GoodJob::ActiveJobExtensions::Concurrency::ConcurrencyExceededError";
const THROTTLE: &str = "GoodJob::ActiveJobExtensions::Concurrency::ThrottleExceededError";
/// Other jobs that are named.
const NAMED: usize = 10;
/// Jobs among which starts are looked for.
const LOOKED_AT: i64 = 10_000;

/// A limit or a throttle, by what rows tell of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Restraint {
    /// The job's concurrency key.
    pub key: Option<String>,
    /// Its labels, by which rules may count, too.
    pub labels: Vec<String>,
    /// The error with which the rule turned the job away. `None` when none has: then jobs with the same key
    /// run, and it is not known whether there is a limit at all.
    pub error: Option<String>,
    /// Of a limit the running jobs that share the key or a label, those that started first before the others;
    /// of a throttle the last starts of such jobs, the latest first. At most 10.
    pub others: Vec<JobStart>,
    /// Whether there are more than those.
    pub more: bool,
    /// How many seconds ago the latest of them started.
    pub latest_seconds_ago: Option<f64>,
}

/// A start of another job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobStart {
    /// The job.
    pub id: JobId,
    /// Its class.
    pub class: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// The process that runs or ran it.
    pub process: Option<ProcessId>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Limit,
    Throttle,
}

impl Kind {
    /// The rule that turned a job away with this error.
    fn of(error: &str) -> Option<Self> {
        match error.split_once(": ")?.0 {
            LIMIT => Some(Self::Limit),
            THROTTLE => Some(Self::Throttle),
            _ => None,
        }
    }
}

#[derive(FromRow)]
struct StartRow {
    id: Uuid,
    class: Option<String>,
    started_at: Moment,
    process: Option<Uuid>,
}

/// Looks for a limit or a throttle where there are signs of one: an error of theirs, or a key.
pub(super) async fn read(
    session: &mut PgConnection,
    dialect: &Dialect,
    facts: &Facts,
) -> sqlx::Result<Option<(Kind, Restraint)>> {
    let job = &facts.job;
    if job.finished_at.is_some() || job.locked_by.is_some() {
        return Ok(None);
    }
    let error = job.error.as_deref();
    let (kind, proven) = match error.and_then(Kind::of) {
        // Once the job is due again, the rule is asked again: its old word counts no more.
        Some(kind) => (kind, !facts.is_due()),
        None if job.ties.concurrency_key.is_some() => (Kind::Limit, false),
        None => return Ok(None),
    };
    let mut starts = starts(session, dialect, job, kind).await?;
    let more = starts.len() > NAMED;
    starts.truncate(NAMED);
    if !proven && starts.is_empty() {
        return Ok(None);
    }
    let latest = starts.iter().map(|start| start.started_at).max();
    let restraint = Restraint {
        key: job.ties.concurrency_key.clone(),
        labels: job.labels.clone(),
        error: job.error.clone().filter(|_| proven),
        others: starts,
        more,
        latest_seconds_ago: latest.map(|at| seconds(facts.now, at)),
    };
    Ok(Some((kind, restraint)))
}

fn seconds(now: Timestamp, at: Timestamp) -> f64 {
    (now - at).to_std().unwrap_or(Duration::ZERO).as_secs_f64()
}

async fn starts(
    session: &mut PgConnection,
    dialect: &Dialect,
    job: &JobRecord,
    kind: Kind,
) -> sqlx::Result<Vec<JobStart>> {
    let named = i64::try_from(NAMED + 1).unwrap_or(i64::MAX);
    let statement = match kind {
        Kind::Limit => sql::EXPLAIN_HOLDERS,
        Kind::Throttle => sql::EXPLAIN_STARTS,
    };
    let query = sqlx::query_as(dialect.sql(statement))
        .bind(job.id.as_uuid())
        .bind(job.ties.concurrency_key.as_deref())
        .bind(&job.labels);
    let query = match kind {
        Kind::Limit => query.bind(named),
        Kind::Throttle => query.bind(THROTTLE).bind(LOOKED_AT).bind(named),
    };
    let rows: Vec<StartRow> = query.fetch_all(session).await?;
    let start = |row: StartRow| JobStart {
        id: row.id.into(),
        class: row.class,
        started_at: row.started_at.0,
        process: row.process.map(ProcessId::from),
    };
    Ok(rows.into_iter().map(start).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_known_by_its_error() {
        assert_eq!(Kind::of(&format!("{LIMIT}: {LIMIT}")), Some(Kind::Limit));
        assert_eq!(Kind::of(&format!("{THROTTLE}: {THROTTLE}")), Some(Kind::Throttle));
        assert_eq!(Kind::of("RuntimeError: no paper"), None);
        assert_eq!(Kind::of(&format!("RuntimeError: {LIMIT}")), None);
    }
}
