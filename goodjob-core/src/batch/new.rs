//! A batch on its way into the store.

use serde::Serialize;

use super::callback::BatchEvent;
use super::callbacks::Callbacks;
use super::record::{BatchRecord, BatchSpec};
use crate::adapter::Adapter;
use crate::clock::Timestamp;
use crate::ids::BatchId;
use crate::job::{EnqueueError, Job, NewJob, properties};
use crate::store::Inserted;

/// Jobs that are waited for together. It is filled, and then enqueued; what cannot be stored is told then.
///
/// ```
/// # use goodjob_core::{Adapter, Batch, BatchCallback, EnqueueError, Job};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct ImportRow { row: u32 }
/// # impl Job for ImportRow { const CLASS: &'static str = "ImportRowJob"; }
/// # #[derive(Serialize, Deserialize)] #[serde(transparent)] struct ImportOver(BatchCallback);
/// # impl Job for ImportOver { const CLASS: &'static str = "ImportOverJob"; }
/// # async fn example(adapter: &Adapter) -> Result<(), EnqueueError> {
/// let batch = Batch::new()
///     .description("import of June")
///     .property("user_id", 7)
///     .on_success::<ImportOver>()
///     .add((1..=100).map(|row| ImportRow { row }))
///     .enqueue(adapter)
///     .await?;
/// println!("batch {} has {} jobs", batch.id, batch.jobs.len());
/// # Ok(()) }
/// ```
#[must_use = "a batch is stored when it is enqueued or saved"]
#[derive(Debug)]
pub struct Batch {
    id: BatchId,
    spec: BatchSpec,
    jobs: Vec<NewJob>,
    /// What is known of the classes that are named by their type.
    known: Callbacks,
    /// The first thing that cannot be stored.
    problem: Option<EnqueueError>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// A batch without jobs. An empty one is over at once, and calls back.
    pub fn new() -> Self {
        Self {
            id: BatchId::generate(),
            spec: BatchSpec::default(),
            jobs: Vec::new(),
            known: Callbacks::default(),
            problem: None,
        }
    }

    /// Its id, which is made here.
    #[must_use]
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// What a person reads about it.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.spec.description = Some(description.into());
        self
    }

    /// Sets one property, which its jobs and callbacks can read. Ruby finds it under a symbol.
    pub fn property(mut self, name: &str, value: impl Serialize) -> Self {
        let set = self.spec.set_property(name, value);
        self.noting(set)
    }

    /// Sets all properties at once: a struct with named fields, or a map.
    pub fn properties(mut self, all: &impl Serialize) -> Self {
        let set = self.spec.set_properties(all);
        self.noting(set)
    }

    /// Calls this job back when all jobs are over. It is a job around a
    /// [`BatchCallback`](super::BatchCallback).
    pub fn on_finish<J: Job>(self) -> Self {
        self.call::<J>(BatchEvent::Finish)
    }

    /// Calls this job back when all jobs are over and none was discarded.
    pub fn on_success<J: Job>(self) -> Self {
        self.call::<J>(BatchEvent::Success)
    }

    /// Calls this job back when the first job was discarded.
    pub fn on_discard<J: Job>(self) -> Self {
        self.call::<J>(BatchEvent::Discard)
    }

    /// Calls back a job of this class, perhaps one of Ruby's. Unless
    /// [`callback_queue`](Self::callback_queue) and [`callback_priority`](Self::callback_priority) are set,
    /// it goes where the worker that enqueues it believes the class to belong: see [`Callbacks`].
    pub fn on(mut self, event: BatchEvent, class: impl Into<String>) -> Self {
        self.spec.set_callback(event, Some(class.into()));
        self
    }

    /// The queue of all callbacks. By default each goes to that of its class.
    pub fn callback_queue(mut self, queue: impl Into<String>) -> Self {
        self.spec.callback_queue = Some(queue.into());
        self
    }

    /// The priority of all callbacks. By default each has that of its class.
    pub fn callback_priority(mut self, priority: i32) -> Self {
        self.spec.callback_priority = Some(priority);
        self
    }

    /// Adds jobs with the defaults of their class.
    #[allow(clippy::should_implement_trait, reason = "the gem's word for it, and no sum")]
    pub fn add<J: Job>(mut self, jobs: impl IntoIterator<Item = J>) -> Self {
        for job in jobs {
            match NewJob::new(&job) {
                Ok(job) => self.push(job),
                Err(problem) => self.note(problem),
            }
        }
        self
    }

    /// Adds jobs that were made already, with all their options.
    pub fn add_new(mut self, jobs: impl IntoIterator<Item = NewJob>) -> Self {
        jobs.into_iter().for_each(|job| self.push(job));
        self
    }

    /// Adds one such job.
    pub fn push(&mut self, job: NewJob) {
        self.jobs.push(job);
    }

    /// Stores it and its jobs, all or nothing, and lets it be over when its jobs are.
    ///
    /// # Errors
    /// When one part cannot be stored, or the store does not take it.
    pub async fn enqueue(self, adapter: &Adapter) -> Result<EnqueuedBatch, EnqueueError> {
        let mut enqueued = adapter.enqueue_batches([self]).await?;
        enqueued.pop().ok_or_else(|| super::stored::no_batches().into())
    }

    /// Stores it and its jobs without enqueueing it: the jobs run, more can be added later, and nobody is
    /// called back for their end before [`StoredBatch::enqueue`](super::StoredBatch::enqueue).
    ///
    /// # Errors
    /// When one part cannot be stored, or the store does not take it.
    pub async fn save(self, adapter: &Adapter) -> Result<EnqueuedBatch, EnqueueError> {
        let batch = self.prepare(adapter, Stage::Saved)?;
        let mut saved = super::stored::store_new(adapter, vec![batch]).await?;
        saved.pop().ok_or_else(|| super::stored::no_batches().into())
    }

    /// The batch as a store takes it to enqueue it, for a transaction of one's own.
    ///
    /// # Errors
    /// When one part cannot be stored.
    pub fn into_new(self, adapter: &Adapter) -> Result<NewBatch, EnqueueError> {
        self.prepare(adapter, Stage::Enqueued)
    }

    fn prepare(self, adapter: &Adapter, stage: Stage) -> Result<NewBatch, EnqueueError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        check(&self.spec)?;
        let mut spec = self.spec;
        // Ruby reads properties of a batch that has none.
        spec.properties.get_or_insert_with(properties::none);
        let mut jobs = self.jobs;
        for job in &mut jobs {
            job.ties.batch = Some(self.id);
            job.check()?;
        }
        let mut batch = NewBatch { id: self.id, spec, stage, jobs, callbacks: Vec::new() };
        let callbacks = adapter.backend().callbacks().clone().and(self.known.into_classes());
        let record = batch.as_record(Timestamp::default());
        for event in BatchEvent::ALL {
            // Made for every event, so that what could not be called back is told now.
            let called = callbacks.call(&record, event)?;
            if batch.is_over() && event != BatchEvent::Discard {
                batch.callbacks.extend(called);
            }
        }
        Ok(batch)
    }

    fn call<J: Job>(mut self, event: BatchEvent) -> Self {
        self.known = self.known.job::<J>();
        self.on(event, J::CLASS)
    }

    fn noting<E: Into<EnqueueError>>(mut self, set: Result<(), E>) -> Self {
        if let Err(problem) = set {
            self.note(problem.into());
        }
        self
    }

    fn note(&mut self, problem: EnqueueError) {
        self.problem.get_or_insert(problem);
    }
}

/// Whether the texts of a batch can be stored.
pub(super) fn check(spec: &BatchSpec) -> Result<(), EnqueueError> {
    let texts = [
        ("description", &spec.description),
        ("callback queue", &spec.callback_queue),
        ("callback", &spec.on_finish),
        ("callback", &spec.on_success),
        ("callback", &spec.on_discard),
    ];
    for (what, text) in texts {
        match text {
            Some(text) if text.contains('\0') => return Err(EnqueueError::Nul { what }),
            Some(text) if what != "description" && text.trim().is_empty() => {
                return Err(EnqueueError::Blank { what });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a new batch may be over when its jobs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Saved,
    Enqueued,
}

/// A batch as a store takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBatch {
    /// Made by the client, so that a repeated insert cannot make a second one.
    pub id: BatchId,
    /// What it is for.
    pub spec: BatchSpec,
    pub(crate) stage: Stage,
    /// Its jobs, which are tied to it.
    pub jobs: Vec<NewJob>,
    /// The callbacks that are due at once, as it is empty. No hook is run for them.
    pub callbacks: Vec<NewJob>,
}

impl NewBatch {
    /// Whether it is enqueued as soon as it is stored.
    #[must_use]
    pub fn is_enqueued(&self) -> bool {
        self.stage == Stage::Enqueued
    }

    /// Whether there is no job to wait for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_enqueued() && self.jobs.is_empty()
    }

    /// Whether there is nothing at all to wait for.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_over() && self.callbacks.is_empty()
    }

    /// Its row when it is stored at `now`.
    #[must_use]
    pub fn as_record(&self, now: Timestamp) -> BatchRecord {
        BatchRecord {
            id: self.id,
            spec: self.spec.clone(),
            created_at: now,
            updated_at: now,
            enqueued_at: self.is_enqueued().then_some(now),
            discarded_at: None,
            jobs_finished_at: self.is_over().then_some(now),
            finished_at: self.is_finished().then_some(now),
        }
    }
}

/// A batch that was stored, and what became of its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnqueuedBatch {
    /// Its id.
    pub id: BatchId,
    /// One answer for each job, in the order in which they were added.
    pub jobs: Vec<Inserted>,
}
