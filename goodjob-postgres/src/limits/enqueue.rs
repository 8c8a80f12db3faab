//! Storing jobs that have limits: count, judge, store.

use std::collections::HashSet;
use std::time::Duration;

use goodjob_core::{Count, Inserted, JobId, NewJob, Question, StoreError, Tally};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::Statements;
use crate::dialect::Dialect;
use crate::enqueue;
use crate::error::commit_error;
use crate::sql;
use crate::stand::Stand;

/// How long an enqueue waits for a transaction that holds what it needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// The waits between tries, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Stores those that no limit stops, on connections of the store. Keeps none while somebody's transaction holds
/// a lock: a few enqueues that wait would stop all others.
pub(crate) async fn insert(
    stand: &Stand,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let storing = async |connection: &mut PgConnection| {
            insert_under(sql::LIMIT_TRY_LOCK, connection, dialect, jobs).await
        };
        if let Some(answers) = stand.run(commit_error, storing).await? {
            return Ok(answers);
        }
        if begun.elapsed() >= PATIENCE {
            let names = Tally::of(jobs).lock_names().join(" or ");
            let what = format!("a transaction has held the lock of {names} for {PATIENCE:?}");
            return Err(StoreError::unavailable(what));
        }
        tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Stores those that no limit stops, on a connection that may be in a transaction of its own; waits for the locks.
pub(crate) async fn insert_on(
    connection: &mut PgConnection,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    let stored = insert_under(sql::LIMIT_LOCK, connection, dialect, jobs).await?;
    stored.ok_or_else(|| StoreError::unavailable("the locks of limits were not given"))
}

/// Stores those that no limit stops, under the locks that a statement takes; `None` when it did not get them.
///
/// What is strict is stored before the locks are given up, with the transaction if there is one; else the
/// locks go before, as in the gem, so that a caller's long transaction holds nobody up.
async fn insert_under(
    locking: &'static str,
    connection: &mut PgConnection,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Option<Vec<Inserted>>, StoreError> {
    let mut tally = Tally::of(jobs);
    let is_strict = tally.is_strict();
    let mut counting = connection.begin().await.map_err(commit_error)?;
    let locked = sqlx::query_scalar(dialect.sql(locking)).bind(tally.lock_names());
    if !locked.fetch_one(&mut *counting).await.map_err(commit_error)? {
        counting.rollback().await.map_err(commit_error)?;
        return Ok(None);
    }
    let known = count(&mut counting, dialect, &mut tally, jobs).await.map_err(commit_error)?;
    let stopped = tally.judge(&known);
    let fit = jobs.iter().zip(&stopped).filter(|(_, by)| by.is_none());
    let fit: Vec<NewJob> = fit.map(|(job, _)| job.clone()).collect();
    let stored = if is_strict {
        let stored = store(&mut counting, dialect, &fit).await?;
        counting.commit().await.map_err(commit_error)?;
        stored
    } else {
        counting.rollback().await.map_err(commit_error)?;
        store(connection, dialect, &fit).await?
    };
    let mut stored = stored.into_iter();
    let answers = jobs.iter().zip(stopped).filter_map(|(job, by)| match by {
        Some(by) => Some(Inserted::Stopped { job: job.id, by }),
        None => stored.next(),
    });
    Ok(Some(answers.collect()))
}

async fn store(
    connection: &mut PgConnection,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    match jobs {
        [] => Ok(Vec::new()),
        jobs => enqueue::store(connection, dialect, jobs).await,
    }
}

/// Answers the questions, under the locks; returns which of the jobs are stored already.
async fn count(
    connection: &mut PgConnection,
    dialect: &Dialect,
    tally: &mut Tally<'_>,
    jobs: &[NewJob],
) -> sqlx::Result<HashSet<JobId>> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.id.as_uuid()).collect();
    let knowing = sqlx::query_scalar(dialect.sql(sql::LIMIT_KNOWN)).bind(ids);
    let known: Vec<Uuid> = knowing.fetch_all(&mut *connection).await?;
    let questions: Vec<Question> = tally.questions().cloned().collect();
    for question in questions {
        let (scope, count) = &question;
        let statements = Statements::of(scope);
        let counting = match count {
            Count::Since(period) => sqlx::query_scalar(dialect.sql(statements.since))
                .bind(scope.name())
                .bind(period.as_secs_f64()),
            Count::Unfinished | Count::Unlocked => {
                sqlx::query_scalar(dialect.sql(statements.count))
                    .bind(scope.name())
                    .bind(*count == Count::Unlocked)
            }
        };
        let counted: i64 = counting.fetch_one(&mut *connection).await?;
        tally.count(&question, u64::try_from(counted).unwrap_or(0));
    }
    Ok(known.into_iter().map(JobId::from).collect())
}
