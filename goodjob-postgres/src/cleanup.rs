//! Deletes finished jobs that are old enough, a batch at a time.

use std::time::Duration;

use goodjob_core::{Cleaned, Retention, StoreError};
use sqlx::PgPool;

use crate::dialect::Dialect;
use crate::error::store_error;
use crate::sql;
use crate::stand::Stand;

/// How long a batch may take before its connection is given up. Longer than an outcome may: nobody waits
/// for it, and without an index on `finished_at` it reads the whole table.
const DEADLINE: Duration = Duration::from_secs(60);
/// The longest age that is looked for, a thousand years: it leaves no calendar.
const LONGEST_AGE: Duration = Duration::from_secs(1_000 * 365 * 24 * 60 * 60);

/// Deletes at most `limit` jobs; and as many batches, once there are fewer jobs than that.
pub(crate) async fn clean_up(
    stand: &Stand,
    dialect: &Dialect,
    keep: &Retention,
    limit: usize,
) -> Result<Cleaned, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = sqlx::query_as(dialect.sql(sql::CLEAN_UP_JOBS))
        .bind(seconds(keep))
        .bind(keep.keep_discarded)
        .bind(limit);
    let (jobs, executions) =
        stand.within(DEADLINE, async |connection| query.fetch_one(connection).await).await?;
    if jobs >= limit {
        return Ok(cleaned(jobs, executions, 0));
    }
    let query = sqlx::query_scalar(dialect.sql(sql::CLEAN_UP_BATCHES))
        .bind(seconds(keep))
        .bind(keep.keep_discarded)
        .bind(limit);
    let batches =
        stand.within(DEADLINE, async |connection| query.fetch_one(connection).await).await?;
    Ok(cleaned(jobs, executions, batches))
}

/// What cleaning up until nothing is left would delete now.
pub(crate) async fn count_old(
    pool: &PgPool,
    dialect: &Dialect,
    keep: &Retention,
) -> Result<Cleaned, StoreError> {
    let (jobs, executions, batches) = sqlx::query_as(dialect.sql(sql::COUNT_OLD))
        .bind(seconds(keep))
        .bind(keep.keep_discarded)
        .fetch_one(pool)
        .await
        .map_err(store_error)?;
    Ok(cleaned(jobs, executions, batches))
}

fn seconds(keep: &Retention) -> f64 {
    keep.age.min(LONGEST_AGE).as_secs_f64()
}

fn cleaned(jobs: i64, executions: i64, batches: i64) -> Cleaned {
    Cleaned {
        jobs: jobs.unsigned_abs(),
        executions: executions.unsigned_abs(),
        batches: batches.unsigned_abs(),
    }
}
