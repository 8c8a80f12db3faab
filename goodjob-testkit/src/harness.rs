//! A worker inside a test: starts a capsule on a [`Database`], enqueues, and awaits how jobs end.

use std::time::Duration;

use async_trait::async_trait;
use goodjob_core::{
    Adapter, Capsule, Config, Drained, ExecutionRecord, Handlers, Inspect, Job, JobId, JobRecord,
    Shutdown, StoreError,
};
use goodjob_postgres::{PgOptions, PgStore};

use crate::database::Database;
use crate::eventually::eventually;
use crate::test_store::TestStore;

/// How long a job may take before a test gives it up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running worker with its own store.
///
/// End it with [`stop`](Self::stop): a worker that is merely dropped keeps its locks, and then the
/// check of the [`Database`] fails the test.
///
/// ```
/// use goodjob_core::{Context, Job, JobResult, JobState, Perform, Registry, Timestamp};
/// use goodjob_testkit::{Database, Harness};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Greet { name: String }
///
/// impl Job for Greet {
///     const CLASS: &'static str = "GreetJob";
/// }
///
/// impl Perform for Greet {
///     async fn perform(self, _: Context) -> JobResult {
///         match self.name.as_str() {
///             "" => Err("nobody to greet".into()),
///             _ => Ok(()),
///         }
///     }
/// }
///
/// # #[tokio::main] async fn main() {
/// let database = Database::fresh().await;
/// let worker = Harness::start(&database, Registry::default().register::<Greet>()).await;
///
/// let ada = worker.enqueue(Greet { name: "Ada".into() }).await;
/// let nobody = worker.enqueue(Greet { name: String::new() }).await;
///
/// assert_eq!(worker.finished(ada).await.state(Timestamp::MAX_UTC), JobState::Succeeded);
/// assert_eq!(worker.finished(nobody).await.error.as_deref(), Some("JobError: nobody to greet"));
/// worker.stop().await;
/// # }
/// ```
#[derive(Debug)]
pub struct Harness {
    capsule: Capsule,
    store: PgStore,
    adapter: Adapter,
}

impl Harness {
    /// A worker with the default configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start(database: &Database, handlers: impl Into<Handlers>) -> Self {
        Self::start_with(database, handlers, |_, _| {}).await
    }

    /// A worker with a configuration that `change` may alter first.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start_with(
        database: &Database,
        handlers: impl Into<Handlers>,
        change: impl FnOnce(&mut Config, &mut PgOptions),
    ) -> Self {
        let (mut config, mut options) = (Config::default(), database.options());
        change(&mut config, &mut options);
        let store = PgStore::connect(options).await.unwrap_or_else(|error| panic!("{error}"));
        let capsule = Capsule::start(config, handlers, &store).await;
        let capsule = capsule.unwrap_or_else(|error| panic!("{error}"));
        Self { capsule, adapter: store.adapter(), store }
    }

    /// What runs the jobs: its pools, its heartbeat, its end.
    #[must_use]
    pub fn capsule(&self) -> &Capsule {
        &self.capsule
    }

    /// The store of this worker.
    #[must_use]
    pub fn store(&self) -> &PgStore {
        &self.store
    }

    /// Enqueues, with all options.
    #[must_use]
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Enqueues a job as its class says.
    ///
    /// # Panics
    /// When it cannot be stored.
    pub async fn enqueue<J: Job>(&self, job: J) -> JobId {
        self.adapter.enqueue(job).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A job as it is stored now.
    ///
    /// # Panics
    /// When there is none with this id.
    pub async fn job(&self, id: JobId) -> JobRecord {
        match self.store.job(id).await {
            Ok(Some(job)) => job,
            Ok(None) => panic!("there is no job {id}"),
            Err(error) => panic!("{error}"),
        }
    }

    /// The attempts at a job, oldest first.
    ///
    /// # Panics
    /// When the database cannot be asked.
    pub async fn attempts(&self, id: JobId) -> Vec<ExecutionRecord> {
        self.store.executions(id).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until a job is over, succeeded or discarded.
    ///
    /// # Panics
    /// When it is not after half a minute; the text says how it stands.
    pub async fn finished(&self, id: JobId) -> JobRecord {
        eventually(&format!("the end of job {id}"), PATIENCE, async || {
            // While the server is away there is nothing to be seen, which is no reason to give up.
            let job = self.store.job(id).await.map_err(|error| error.to_string())?;
            let job = job.ok_or_else(|| "no such job".to_owned())?;
            match job.finished_at {
                Some(_) => Ok(job),
                None => Err(format!("{job:?}")),
            }
        })
        .await
    }

    /// Waits for all of them, as [`finished`](Self::finished) does.
    ///
    /// # Panics
    /// As [`finished`](Self::finished).
    pub async fn all_finished(&self, ids: &[JobId]) -> Vec<JobRecord> {
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            jobs.push(self.finished(*id).await);
        }
        jobs
    }

    /// Lets so much time pass for what is stored ([`TestStore::travel`]).
    ///
    /// # Panics
    /// When it cannot be written.
    pub async fn travel(&self, by: Duration) {
        self.store.travel(by).await;
    }

    /// Waits for running jobs and leaves nothing behind.
    ///
    /// # Panics
    /// When a job does not end within half a minute.
    pub async fn stop(self) {
        let drained = self.stop_with(Shutdown::After(PATIENCE)).await;
        assert!(
            drained.cut_off.is_empty(),
            "{:?} ran for longer than {PATIENCE:?}",
            drained.cut_off
        );
    }

    /// Ends the worker in this way; returns what was not waited for.
    pub async fn stop_with(self, mode: Shutdown) -> Drained {
        let drained = self.capsule.shutdown(mode).await;
        self.store.close().await;
        drained
    }
}

/// What its store keeps, for `assert_enqueued!` and the like.
#[async_trait]
impl Inspect for Harness {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.store.job(id).await
    }

    async fn executions(&self, id: JobId) -> Result<Vec<ExecutionRecord>, StoreError> {
        self.store.executions(id).await
    }

    async fn all_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        self.store.all_jobs().await
    }
}
