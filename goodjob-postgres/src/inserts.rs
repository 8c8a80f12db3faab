//! Storing jobs on the store's own connections: one in the shortest statement, many as an array a column.
//! Jobs that are tied to others go by the statement that knows every column, as on a caller's connection.

use std::collections::HashSet;

use chrono::Utc;
use goodjob_core::{Due, Inserted, NewJob, Payload, StoreError, Timestamp};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::commit_error;
use crate::herald::Herald;
use crate::rows::Moment;
use crate::{enqueue, limits, sql};

/// Jobs that one statement stores. More would not be faster, and the server keeps all parameters of a
/// statement in memory, several times over.
const LARGEST_INSERT: usize = 5_000;

/// Stores all of them or none.
pub(crate) async fn insert(
    pool: &PgPool,
    dialect: &Dialect,
    herald: &Herald,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    match jobs {
        [] => Ok(Vec::new()),
        jobs if jobs.iter().any(|job| job.limits.concern_enqueueing()) => {
            limits::insert(pool, dialect, jobs).await
        }
        jobs if jobs.iter().any(|job| !job.ties.is_empty()) => {
            enqueue::store(pool, dialect, jobs).await
        }
        [job] => Ok(vec![insert_one(pool, dialect, herald, job).await?]),
        jobs if jobs.len() <= LARGEST_INSERT => {
            let mut connection = pool.acquire().await.map_err(commit_error)?;
            let stored = insert_many(&mut connection, dialect, jobs).await?;
            Ok(answers(jobs, &stored))
        }
        jobs => {
            let mut transaction = pool.begin().await.map_err(commit_error)?;
            let mut stored = HashSet::with_capacity(jobs.len());
            for jobs in jobs.chunks(LARGEST_INSERT) {
                stored.extend(insert_many(&mut transaction, dialect, jobs).await?);
            }
            transaction.commit().await.map_err(commit_error)?;
            Ok(answers(jobs, &stored))
        }
    }
}

async fn insert_one(
    pool: &PgPool,
    dialect: &Dialect,
    herald: &Herald,
    job: &NewJob,
) -> Result<Inserted, StoreError> {
    // Only who is alone tells of his job himself: others would have to wait for his commit with theirs.
    let storing = herald.storing();
    let (at, wait) = due(job);
    let stored: Option<(Moment, Timestamp, Option<String>)> =
        sqlx::query_as(dialect.sql(sql::INSERT_JOB))
            .bind(job.id.as_uuid())
            .bind(&job.class)
            .bind(&job.queue)
            .bind(job.priority.unwrap_or(0))
            .bind(Json(Payload::of(job, Utc::now())))
            .bind((!job.labels.is_empty()).then_some(&job.labels))
            .bind(job.notify)
            .bind(at)
            .bind(wait)
            .bind(storing.is_alone())
            .fetch_optional(pool)
            .await
            .map_err(commit_error)?;
    let Some((due, now, _)) = stored else { return Ok(Inserted::AlreadyThere(job.id)) };
    if job.notify && !storing.is_alone() {
        herald.tell(&job.queue, due.0, now);
    }
    Ok(Inserted::New(job.id))
}

/// The ids of those that were stored; the others were there already.
async fn insert_many(
    connection: &mut PgConnection,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<HashSet<Uuid>, StoreError> {
    let now = Utc::now();
    let column = |of: fn(&NewJob) -> &str| jobs.iter().map(of).collect::<Vec<_>>();
    let labels = |job: &NewJob| (!job.labels.is_empty()).then(|| Json(job.labels.clone()));
    let (at, wait): (Vec<_>, Vec<_>) = jobs.iter().map(due).unzip();
    let stored: Vec<(Uuid, i64)> = sqlx::query_as(dialect.sql(sql::INSERT_MANY))
        .bind(jobs.iter().map(|job| job.id.as_uuid()).collect::<Vec<_>>())
        .bind(column(|job| &job.class))
        .bind(column(|job| &job.queue))
        .bind(jobs.iter().map(|job| job.priority.unwrap_or(0)).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| Json(Payload::of(job, now))).collect::<Vec<_>>())
        .bind(jobs.iter().map(labels).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.notify).collect::<Vec<_>>())
        .bind(at)
        .bind(wait)
        .fetch_all(connection)
        .await
        .map_err(commit_error)?;
    Ok(stored.into_iter().map(|(id, _)| id).collect())
}

/// When a job is due: at a time, or so many seconds from the server's now.
fn due(job: &NewJob) -> (Option<Timestamp>, f64) {
    match job.due {
        Due::Now => (None, 0.0),
        Due::In(wait) => (None, wait.as_secs_f64()),
        Due::At(at) => (Some(at), 0.0),
    }
}

/// What became of each job, by the ids of those that were stored.
pub(crate) fn answers(jobs: &[NewJob], stored: &HashSet<Uuid>) -> Vec<Inserted> {
    let answer = |job: &NewJob| match stored.contains(&job.id.as_uuid()) {
        true => Inserted::New(job.id),
        false => Inserted::AlreadyThere(job.id),
    };
    jobs.iter().map(answer).collect()
}
