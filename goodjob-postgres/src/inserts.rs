//! Storing jobs on the store's own connections: one in the shortest statement, many as an array a column.

use std::collections::HashSet;

use chrono::Utc;
use goodjob_core::{Due, Inserted, NewJob, Payload, StoreError, Timestamp};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, Postgres};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::commit_error;
use crate::herald::Herald;
use crate::rows::Moment;
use crate::stand::Stand;
use crate::{limits, sql};

/// Jobs that one statement stores. More would not be faster: of several statements the next is made ready while
/// the server is at one, and it keeps all parameters of a statement in memory, several times over.
const LARGEST_INSERT: usize = 1_000;

/// Stores all of them or none.
pub(crate) async fn insert(
    stand: &Stand,
    dialect: &Dialect,
    herald: &Herald,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    match jobs {
        [] => Ok(Vec::new()),
        [job] if job.ties.is_empty() && !job.limits.concern_enqueueing() => {
            Ok(vec![insert_one(stand, dialect, herald, job).await?])
        }
        jobs if jobs.iter().any(|job| job.limits.concern_enqueueing()) => {
            limits::insert(stand, dialect, jobs).await
        }
        jobs => {
            let storing =
                async |connection: &mut PgConnection| insert_on(connection, dialect, jobs).await;
            stand.run(commit_error, storing).await
        }
    }
}

/// Stores all of them or none, on a connection in UTC; in a transaction of its own unless one is open.
pub(crate) async fn insert_on(
    connection: &mut PgConnection,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    if jobs.iter().any(|job| job.limits.concern_enqueueing()) {
        return limits::insert_on(connection, dialect, jobs).await;
    }
    if jobs.len() <= LARGEST_INSERT {
        return Insertion::of(dialect, jobs).store(connection).await;
    }
    let mut transaction = connection.begin().await.map_err(commit_error)?;
    let mut stored = Vec::with_capacity(jobs.len());
    let mut groups = jobs.chunks(LARGEST_INSERT).map(|jobs| Insertion::of(dialect, jobs));
    let mut next = groups.next();
    while let Some(insertion) = next {
        let making = async {
            // Not before the server has its work.
            tokio::task::yield_now().await;
            groups.next()
        };
        let (done, made) = tokio::join!(biased; insertion.store(&mut transaction), making);
        stored.extend(done?);
        next = made;
    }
    transaction.commit().await.map_err(commit_error)?;
    Ok(stored)
}

async fn insert_one(
    stand: &Stand,
    dialect: &Dialect,
    herald: &Herald,
    job: &NewJob,
) -> Result<Inserted, StoreError> {
    // Only who is alone tells of his job himself: others would have to wait for his commit with theirs.
    let storing = herald.storing();
    let (at, wait) = due(job);
    let query = sqlx::query_as(dialect.sql(sql::INSERT_JOB))
        .bind(job.id.as_uuid())
        .bind(&job.class)
        .bind(&job.queue)
        .bind(job.priority.unwrap_or(0))
        .bind(Json(Payload::of(job, Utc::now())))
        .bind((!job.labels.is_empty()).then_some(&job.labels))
        .bind(job.notify)
        .bind(at)
        .bind(wait)
        .bind(storing.is_alone());
    let stored: Option<(Moment, Timestamp, Option<String>)> = stand
        .run(commit_error, async |connection| {
            query.fetch_optional(connection).await.map_err(commit_error)
        })
        .await?;
    let Some((due, now, _)) = stored else { return Ok(Inserted::AlreadyThere(job.id)) };
    if job.notify && !storing.is_alone() {
        herald.tell(&job.queue, due.0, now);
    }
    Ok(Inserted::New(job.id))
}

/// A group of jobs with its statement, ready to be sent.
struct Insertion<'a> {
    jobs: &'a [NewJob],
    query: QueryAs<'a, Postgres, (i64, Option<Vec<Uuid>>, i64), PgArguments>,
}

impl<'a> Insertion<'a> {
    fn of(dialect: &Dialect, jobs: &'a [NewJob]) -> Self {
        let now = Utc::now();
        let column = |of: fn(&NewJob) -> &str| jobs.iter().map(of).collect::<Vec<_>>();
        let labels = |job: &NewJob| (!job.labels.is_empty()).then(|| Json(job.labels.clone()));
        let (at, wait): (Vec<_>, Vec<_>) = jobs.iter().map(due).unzip();
        let tick = |job: &NewJob| job.ties.tick.as_ref().map(|tick| tick.key.clone());
        let tick_at = |job: &NewJob| job.ties.tick.as_ref().and_then(|tick| tick.at);
        let query = sqlx::query_as(dialect.sql(sql::INSERT_MANY))
            .bind(jobs.iter().map(|job| job.id.as_uuid()).collect::<Vec<_>>())
            .bind(column(|job| &job.class))
            .bind(column(|job| &job.queue))
            .bind(jobs.iter().map(|job| job.priority.unwrap_or(0)).collect::<Vec<_>>())
            .bind(jobs.iter().map(|job| Json(Payload::of(job, now))).collect::<Vec<_>>())
            .bind(rare(jobs, labels))
            .bind(jobs.iter().map(|job| job.notify).collect::<Vec<_>>())
            .bind(at)
            .bind(wait)
            .bind(rare(jobs, |job| job.ties.concurrency_key.clone()))
            .bind(rare(jobs, |job| job.ties.batch.map(Uuid::from)))
            .bind(rare(jobs, |job| job.ties.batch_callback.map(Uuid::from)))
            .bind(rare(jobs, tick))
            .bind(rare(jobs, tick_at));
        Self { jobs, query }
    }

    async fn store(self, connection: &mut PgConnection) -> Result<Vec<Inserted>, StoreError> {
        let (_, stored, _) = self.query.fetch_one(connection).await.map_err(commit_error)?;
        Ok(match stored {
            None => self.jobs.iter().map(|job| Inserted::New(job.id)).collect(),
            // Some were there already.
            Some(stored) => answers(self.jobs, &HashSet::from_iter(stored)),
        })
    }
}

/// A column that few jobs need; `None` when it has no value in any row.
fn rare<T>(jobs: &[NewJob], of: impl Fn(&NewJob) -> Option<T>) -> Option<Vec<Option<T>>> {
    let column: Vec<Option<T>> = jobs.iter().map(of).collect();
    column.iter().any(Option::is_some).then_some(column)
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
