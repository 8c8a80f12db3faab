//! Enqueueing: from a job and its options to a stored row.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::Instrument;

use crate::backend::Backend;
use crate::capsule::AtOnce;
use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::job::{Due, EnqueueError, EnqueueHook, EnqueueHooks, Handlers, Job, NewJob, Sink};
use crate::notes::Notes;
use crate::store::{Inserted, Store};
use crate::trouble::Troubles;

/// Enqueues jobs into a store. Cheap to clone.
#[derive(Clone)]
pub struct Adapter {
    backend: Backend,
    hooks: EnqueueHooks,
    /// The job in whose body this is.
    parent: Option<JobId>,
    /// Does due jobs before a call returns.
    at_once: Option<AtOnce>,
}

impl Adapter {
    /// An adapter for a backend.
    #[must_use]
    pub fn new(backend: impl Into<Backend>) -> Self {
        let (backend, hooks) = (backend.into(), EnqueueHooks::new());
        Self { backend, hooks, parent: None, at_once: None }
    }

    /// The adapter of a worker with these jobs: it has their hooks, and knows how they are called back.
    pub(crate) fn of_worker(backend: Backend, handlers: &Handlers) -> Self {
        let callbacks = backend.callbacks().clone().and(handlers.defaults().clone());
        let hooks = handlers.enqueue_hooks().clone();
        Self { hooks, ..Self::new(backend.with_callbacks(callbacks)) }
    }

    /// The same, whose due jobs are done before its calls return.
    pub(crate) fn performing(self, at_once: AtOnce) -> Self {
        Self { at_once: Some(at_once), ..self }
    }

    /// Adds a hook around every enqueue of this adapter and its later clones, inside the hooks that are
    /// there and outside those of the class.
    #[must_use]
    pub fn on_enqueue(mut self, hook: impl EnqueueHook) -> Self {
        self.hooks = self.hooks.with(hook);
        self
    }

    /// For the body of a job.
    pub(crate) fn inside(mut self, parent: JobId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Where jobs are stored.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &**self.backend.store()
    }

    pub(crate) fn troubles(&self) -> &Troubles {
        self.backend.troubles()
    }

    pub(crate) fn notes(&self) -> Option<&Arc<dyn Notes>> {
        self.backend.notes()
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

    /// Enqueues many jobs at once, all or none, and says of each what became of it, in the same order. One
    /// that its limits stop is left out, and is no error.
    ///
    /// # Errors
    /// When one of them cannot be stored, or the store does not take them.
    pub async fn enqueue_all(
        &self,
        jobs: impl IntoIterator<Item = NewJob>,
    ) -> Result<Vec<Inserted>, EnqueueError> {
        let mut jobs: Vec<NewJob> = jobs.into_iter().collect();
        let stored = self.store_in(&mut jobs, &mut IntoStore(self.store())).await?;
        self.perform_stored(&jobs).await?;
        Ok(stored)
    }

    /// Does those of these jobs that are to be done at once: for who has stored them by
    /// [`store_in`](Self::store_in) and committed. Does nothing but in the mode
    /// [`Inline`](crate::ExecutionMode::Inline).
    ///
    /// # Errors
    /// The first error of a job that nothing handled, when all have had their turn; or the store's.
    pub async fn perform_stored(&self, jobs: &[NewJob]) -> Result<(), EnqueueError> {
        match &self.at_once {
            Some(at_once) => Ok(at_once.perform_stored(jobs).await?),
            None => Ok(()),
        }
    }

    /// What it enqueues into.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Stores jobs in `sink` with all hooks around it: what every enqueue of this adapter does, and
    /// extensions of a backend that store elsewhere. Says of each what became of it, in the same order.
    ///
    /// # Errors
    /// When one of them cannot be stored; then none is.
    pub async fn store_in(
        &self,
        jobs: &mut [NewJob],
        sink: &mut (dyn Sink + '_),
    ) -> Result<Vec<Inserted>, EnqueueError> {
        let Some(first) = jobs.first() else { return Ok(Vec::new()) };
        let span = tracing::info_span!(
            "enqueue", job = %first.id, class = first.class, jobs = jobs.len(),
            parent_job = self.parent.map(tracing::field::display), trace_id = tracing::field::Empty,
        );
        if let Some(parent) = self.parent {
            jobs.iter_mut().for_each(|job| job.trace.set_parent(parent));
        }
        let stored = async {
            let stored = self.hooks.store(jobs, self.troubles(), sink).await?;
            for (job, stored) in jobs.iter().zip(&stored).filter(|(_, stored)| stored.is_new()) {
                tracing::debug!(job = %stored.id(), class = job.class, queue = job.queue, "enqueued");
            }
            Ok(stored)
        };
        stored.instrument(span).await
    }
}

/// The store's own way to store.
struct IntoStore<'a>(&'a dyn Store);

#[async_trait]
impl Sink for IntoStore<'_> {
    async fn store(&mut self, jobs: &[NewJob]) -> Result<Vec<Inserted>, EnqueueError> {
        Ok(self.0.insert(jobs).await?)
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

    /// What will store it.
    #[must_use]
    pub fn adapter(&self) -> &Adapter {
        self.adapter
    }

    /// Where it will be stored.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.adapter.store()
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

    pub(crate) fn with(mut self, change: impl FnOnce(&mut NewJob)) -> Self {
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
            let mut job = self.into_job()?;
            let mut sink = IntoStore(adapter.store());
            let mut stored = adapter.store_in(std::slice::from_mut(&mut job), &mut sink).await?;
            match stored.pop() {
                Some(Inserted::Stopped { by, .. }) => Err(EnqueueError::LimitExceeded(by)),
                _ => {
                    adapter.perform_stored(std::slice::from_ref(&job)).await?;
                    Ok(job.id)
                }
            }
        })
    }
}
