//! Storing jobs that have limits: count, judge, store.

use std::collections::HashSet;

use goodjob_core::{Count, Inserted, JobId, NewJob, Question, StoreError, Tally};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::Statements;
use crate::dialect::Dialect;
use crate::enqueue;
use crate::error::commit_error;
use crate::sql;

/// Stores those that no limit stops, on a connection that may be in a transaction of its own.
///
/// What is strict is stored before the locks are given up, with the transaction if there is one; else the
/// locks go before, as in the gem, so that a caller's long transaction holds nobody up.
pub(crate) async fn insert_on(
    connection: &mut PgConnection,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    let mut tally = Tally::of(jobs);
    let is_strict = tally.is_strict();
    let mut counting = connection.begin().await.map_err(commit_error)?;
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
    Ok(answers.collect())
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
    let locking = sqlx::query(dialect.sql(sql::LIMIT_LOCK)).bind(tally.lock_names());
    locking.execute(&mut *connection).await?;
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
