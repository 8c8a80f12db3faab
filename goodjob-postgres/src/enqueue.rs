//! Storing jobs on a connection of the caller's and in its transaction.

use std::any::Any;
use std::collections::HashSet;

use async_trait::async_trait;
use goodjob_core::{
    Adapter, Due, Enqueue, EnqueueError, EnqueueHooks, Inserted, JobId, NewJob, Payload, Sink,
    Store, StoreError, Timestamp, Troubles,
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
        let adapter = self.adapter().clone();
        let dialect = dialect_of(adapter.store());
        let mut job = self.into_job()?;
        let mut sink = OnTarget::new(target, &dialect);
        let mut stored = adapter.store_in(std::slice::from_mut(&mut job), &mut sink).await?;
        match stored.pop() {
            Some(Inserted::Stopped { by, .. }) => Err(EnqueueError::LimitExceeded(by)),
            _ => Ok(job.id),
        }
    }
}

/// Enqueues many jobs on a connection or in a transaction of the caller's, with the hooks of the adapter.
///
/// ```no_run
/// use goodjob_core::{Adapter, Bulk};
/// use goodjob_postgres::EnqueueAllIn;
/// async fn store(adapter: &Adapter, bulk: Bulk, pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
///     let mut tx = pool.begin().await?;
///     let stored = adapter.enqueue_all_in(&mut *tx, bulk).await?;
///     tx.commit().await?;
///     println!("{} jobs are new", stored.iter().filter(|job| job.is_new()).count());
///     Ok(())
/// }
/// ```
pub trait EnqueueAllIn {
    /// Stores the jobs on `target` in one statement, all or none; those that have limits in a few. Says of
    /// each what became of it, in the same order. One that its limits stop is left out, and is no error.
    ///
    /// # Errors
    /// When one of them cannot be stored. The caller's transaction is then aborted by Postgres if a
    /// statement had reached it.
    fn enqueue_all_in<T: Target>(
        &self,
        target: T,
        jobs: impl IntoIterator<Item = NewJob> + Send,
    ) -> impl Future<Output = Result<Vec<Inserted>, EnqueueError>> + Send;
}

impl EnqueueAllIn for Adapter {
    fn enqueue_all_in<T: Target>(
        &self,
        target: T,
        jobs: impl IntoIterator<Item = NewJob> + Send,
    ) -> impl Future<Output = Result<Vec<Inserted>, EnqueueError>> + Send {
        let mut jobs: Vec<NewJob> = jobs.into_iter().collect();
        async move {
            let dialect = dialect_of(self.store());
            let mut sink = OnTarget::new(target, &dialect);
            self.store_in(&mut jobs, &mut sink).await
        }
    }
}

/// An adapter over a store of another kind, or a wrapped one, knows no tables but the usual.
pub(crate) fn dialect_of(store: &dyn Store) -> Dialect {
    let store: &dyn Any = store;
    store.downcast_ref().map_or_else(Dialect::default, PgStore::dialect)
}

/// Where jobs go when all hooks have had their say.
struct OnTarget<'d, T> {
    target: Option<T>,
    dialect: &'d Dialect,
}

impl<'d, T> OnTarget<'d, T> {
    fn new(target: T, dialect: &'d Dialect) -> Self {
        Self { target: Some(target), dialect }
    }
}

#[async_trait]
impl<T: Target> Sink for OnTarget<'_, T> {
    async fn store(&mut self, jobs: &[NewJob]) -> Result<Vec<Inserted>, EnqueueError> {
        // A target is used up by one call, and no hook can go on twice.
        match self.target.take() {
            Some(target) => Ok(target.insert(self.dialect, jobs).await?),
            None => Ok(Vec::new()),
        }
    }
}

/// Stores jobs with the hooks of their classes.
pub(crate) async fn insert_with_hooks<T: Target>(
    target: T,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, EnqueueError> {
    if jobs.iter().all(|job| job.hooks.is_empty()) {
        jobs.iter().try_for_each(NewJob::check)?;
        return Ok(target.insert(dialect, jobs).await?);
    }
    let (mut jobs, mut sink) = (jobs.to_vec(), OnTarget::new(target, dialect));
    EnqueueHooks::new().store(&mut jobs, &Troubles::default(), &mut sink).await
}

/// Stores many jobs on `target` in one statement, those that have limits in a few, in tables with the usual
/// names; for others there is [`PgStore::enqueue_in`]. A job whose id is there already is left alone. Knows
/// the hooks of classes, and none of an adapter's: for those there is [`EnqueueAllIn`].
///
/// # Errors
/// When a job cannot be stored; then none is.
pub async fn enqueue_in<T: Target>(
    target: T,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, EnqueueError> {
    insert_with_hooks(target, &Dialect::default(), jobs).await
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
