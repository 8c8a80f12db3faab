//! Storing jobs on a connection of the caller's and in its transaction.

use std::any::Any;
use std::collections::HashSet;

use goodjob_core::{
    Due, Enqueue, EnqueueError, Inserted, JobId, NewJob, Payload, StoreError, Timestamp,
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::commit_error;
use crate::inserts::answers;
use crate::store::PgStore;
use crate::{limits, sql};

/// Enqueues on a connection or in a transaction of the caller's.
///
/// The job and its notice become visible when that transaction commits, and never if it does not.
///
/// ```no_run
/// use goodjob_core::{Adapter, EnqueueError, Job};
/// use goodjob_postgres::EnqueueIn;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Welcome { user_id: i64 }
/// # impl Job for Welcome { const CLASS: &'static str = "WelcomeJob"; }
/// async fn sign_up(adapter: &Adapter, pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
///     let mut tx = pool.begin().await?;
///     sqlx::query("INSERT INTO users DEFAULT VALUES").execute(&mut *tx).await?;
///     adapter.enqueue(Welcome { user_id: 7 }).enqueue_in(&mut *tx).await?;
///     tx.commit().await?;
///     Ok(())
/// }
/// ```
pub trait EnqueueIn {
    /// Stores the job on `target`: a pool, a connection or a transaction.
    ///
    /// # Errors
    /// When a limit stops the job or it cannot be stored. In the second case the caller's transaction is
    /// then aborted by Postgres if the statement had reached it.
    fn enqueue_in<T: Target>(
        self,
        target: T,
    ) -> impl Future<Output = Result<JobId, EnqueueError>> + Send;
}

impl EnqueueIn for Enqueue<'_> {
    async fn enqueue_in<T: Target>(self, target: T) -> Result<JobId, EnqueueError> {
        // An adapter over a store of another kind, or a wrapped one, knows no tables but the usual.
        let store: &dyn Any = self.store();
        let dialect = store.downcast_ref().map_or_else(Dialect::default, PgStore::dialect);
        let job = self.into_job()?;
        match target.insert(&dialect, std::slice::from_ref(&job)).await?.pop() {
            Some(Inserted::Stopped { by, .. }) => Err(EnqueueError::LimitExceeded(by)),
            _ => Ok(job.id),
        }
    }
}

/// Stores many jobs on `target` in one statement, in tables with the usual names; for others there is
/// [`PgStore::enqueue_in`]. A job whose id is there already is left alone.
///
/// # Errors
/// When a job cannot be stored; then none is.
pub async fn enqueue_in<T: Target>(
    target: T,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, EnqueueError> {
    jobs.iter().try_for_each(NewJob::check)?;
    Ok(target.insert(&Dialect::default(), jobs).await?)
}

/// Where jobs may be stored: a `&PgPool`, or a `&mut PgConnection`, such as `&mut *tx`. Jobs with limits need
/// more than one statement, which an executor of sqlx is not for.
#[expect(private_bounds, reason = "nobody else implements it")]
pub trait Target: Insert {}

impl Target for &PgPool {}
impl Target for &mut PgConnection {}

pub(crate) trait Insert: Send {
    /// Stores jobs that their limits do not stop.
    fn insert(
        self,
        dialect: &Dialect,
        jobs: &[NewJob],
    ) -> impl Future<Output = Result<Vec<Inserted>, StoreError>> + Send;
}

impl Insert for &PgPool {
    async fn insert(self, dialect: &Dialect, jobs: &[NewJob]) -> Result<Vec<Inserted>, StoreError> {
        let mut connection = self.acquire().await.map_err(commit_error)?;
        (&mut *connection).insert(dialect, jobs).await
    }
}

impl Insert for &mut PgConnection {
    async fn insert(self, dialect: &Dialect, jobs: &[NewJob]) -> Result<Vec<Inserted>, StoreError> {
        match jobs.iter().any(|job| job.limits.concern_enqueueing()) {
            true => limits::insert_on(self, dialect, jobs).await,
            false => store(self, dialect, jobs).await,
        }
    }
}

/// Stores jobs whatever their limits, in one statement.
pub(crate) async fn store<'c, E: PgExecutor<'c>>(
    executor: E,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    let now = chrono::Utc::now();
    let rows: Value = jobs.iter().map(|job| row(job, now)).collect();
    let stored: HashSet<Uuid> = sqlx::query_as::<_, (Uuid, i64)>(dialect.sql(sql::INSERT_JOBS))
        .bind(rows)
        .fetch_all(executor)
        .await
        .map_err(commit_error)?
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    Ok(answers(jobs, &stored))
}

/// A job as `insert_jobs.sql` reads it: the columns by name, and how it is due.
fn row(job: &NewJob, now: Timestamp) -> Value {
    let mut row = json!({
        "id": job.id,
        "job_class": job.class,
        "queue_name": job.queue,
        "priority": job.priority.unwrap_or(0),
        "serialized_params": Payload::of(job, now),
        "notify": job.notify,
    });
    if !job.labels.is_empty() {
        row["labels"] = json!(job.labels);
    }
    let ties = &job.ties;
    if !ties.is_empty() {
        row["concurrency_key"] = json!(ties.concurrency_key);
        row["batch_id"] = json!(ties.batch);
        row["batch_callback_id"] = json!(ties.batch_callback);
        row["cron_key"] = json!(ties.tick.as_ref().map(|tick| &tick.key));
        row["cron_at"] = json!(ties.tick.as_ref().map(|tick| tick.at));
    }
    match job.due {
        Due::Now => {}
        Due::In(wait) => row["wait"] = json!(wait.as_secs_f64()),
        Due::At(at) => row["scheduled_at"] = json!(at),
    }
    row
}
