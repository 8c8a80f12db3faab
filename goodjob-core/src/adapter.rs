//! Enqueueing: from a job and its options to a stored row.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::backend::Backend;
use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::job::{Due, EnqueueError, Job, NewJob};
use crate::store::{Inserted, Store};

/// Enqueues jobs into a store. Cheap to clone.
#[derive(Clone)]
pub struct Adapter {
    backend: Backend,
}

impl Adapter {
    /// An adapter for a backend.
    #[must_use]
    pub fn new(backend: impl Into<Backend>) -> Self {
        Self { backend: backend.into() }
    }

    /// Enqueues a job when the returned value is awaited; options may be chained before that.
    ///
    /// ```
    /// # use goodjob_core::{Adapter, EnqueueError, Job};
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Hello { name: String }
    /// # impl Job for Hello { const CLASS: &'static str = "HelloJob"; }
    /// # async fn example(adapter: Adapter) -> Result<(), EnqueueError> {
    /// adapter.enqueue(Hello { name: "Ada".into() }).await?;
    /// adapter.enqueue(Hello { name: "Grace".into() }).queue("later").wait(Duration::from_secs(60)).await?;
    /// # Ok(()) }
    /// ```
    pub fn enqueue<J: Job>(&self, job: J) -> Enqueue<'_> {
        Enqueue { adapter: self, job: NewJob::new(&job) }
    }

    /// Enqueues many jobs in one statement, all or none. The ids of those that are stored come back in the
    /// same order; one that its limits stop is left out. [`enqueue_each`](Self::enqueue_each) tells of those.
    ///
    /// # Errors
    /// When one of them cannot be stored, or the store does not take them.
    pub async fn enqueue_all(
        &self,
        jobs: impl IntoIterator<Item = NewJob>,
    ) -> Result<Vec<JobId>, EnqueueError> {
        let answers = self.enqueue_each(jobs).await?.into_iter();
        let stored = answers.filter_map(|answer| match answer {
            Inserted::New(id) | Inserted::AlreadyThere(id) => Some(id),
            Inserted::Stopped { .. } => None,
        });
        Ok(stored.collect())
    }

    /// As [`enqueue_all`](Self::enqueue_all), with what became of each job, in the same order.
    ///
    /// # Errors
    /// As there.
    pub async fn enqueue_each(
        &self,
        jobs: impl IntoIterator<Item = NewJob>,
    ) -> Result<Vec<Inserted>, EnqueueError> {
        let jobs: Vec<NewJob> = jobs.into_iter().collect();
        jobs.iter().try_for_each(NewJob::check)?;
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.backend.store().insert(&jobs).await?)
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").finish_non_exhaustive()
    }
}

/// A job about to be enqueued. Await it.
#[must_use = "a job is enqueued when this is awaited"]
#[derive(Debug)]
pub struct Enqueue<'a> {
    adapter: &'a Adapter,
    job: Result<NewJob, EnqueueError>,
}

impl Enqueue<'_> {
    /// Overrides the queue of the class.
    pub fn queue(self, queue: impl Into<String>) -> Self {
        self.with(|job| job.queue = queue.into())
    }

    /// Overrides the priority of the class. A smaller number runs first.
    pub fn priority(self, priority: i32) -> Self {
        self.with(|job| job.priority = Some(priority))
    }

    /// Starts it no sooner than `wait` after it was stored.
    pub fn wait(self, wait: Duration) -> Self {
        self.with(|job| job.due = Due::In(wait))
    }

    /// Starts it no sooner than `at`.
    pub fn wait_until(self, at: Timestamp) -> Self {
        self.with(|job| job.due = Due::At(at))
    }

    /// Adds a label to those of the class.
    pub fn label(self, label: &str) -> Self {
        self.with(|job| job.add_label(label))
    }

    /// Chooses the id. Enqueueing twice with the same id stores one job.
    pub fn id(self, id: JobId) -> Self {
        self.with(|job| job.id = id)
    }

    /// Overrides whether workers are told at once, which they are unless the class says otherwise.
    pub fn notify(self, notify: bool) -> Self {
        self.with(|job| job.notify = notify)
    }

    /// Where it will be stored.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &**self.adapter.backend.store()
    }

    /// The job as it would be stored, for [`Adapter::enqueue_all`] or a transaction of one's own.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn into_job(self) -> Result<NewJob, EnqueueError> {
        let job = self.job?;
        job.check()?;
        Ok(job)
    }

    fn with(mut self, change: impl FnOnce(&mut NewJob)) -> Self {
        if let Ok(job) = &mut self.job {
            change(job);
        }
        self
    }
}

impl<'a> IntoFuture for Enqueue<'a> {
    type Output = Result<JobId, EnqueueError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let adapter = self.adapter;
            let job = self.into_job()?;
            let mut answers = adapter.backend.store().insert(std::slice::from_ref(&job)).await?;
            match answers.pop() {
                Some(Inserted::Stopped { by, .. }) => Err(EnqueueError::LimitExceeded(by)),
                _ => Ok(job.id),
            }
        })
    }
}
