//! A stored batch in the hands of an application.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::callbacks::Callbacks;
use super::new::{Batch, EnqueuedBatch, NewBatch, check};
use super::record::BatchRecord;
use super::store::{BatchEnd, BatchStore, RetriedBatch};
use crate::adapter::{Adapter, Enqueue};
use crate::ids::BatchId;
use crate::job::{ArgumentsError, EnqueueError, Job, NewJob, Sink};
use crate::store::{Inserted, StoreError};
use crate::trouble::{Trouble, TroubleKind};

/// A batch that is stored, as it was when it was read. [`Adapter::batch`] finds one by its id, and
/// [`Context::batch`](crate::Context::batch) that of a job.
///
/// ```
/// # use goodjob_core::{BatchCallback, Context, Job, JobResult, Perform};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Page { url: String }
/// # impl Job for Page { const CLASS: &'static str = "PageJob"; }
/// impl Perform for Page {
///     async fn perform(self, cx: Context) -> JobResult {
///         let more = vec![Page { url: format!("{}/next", self.url) }];
///         if let Some(batch) = cx.batch().await? {
///             batch.add(more).await?;
///         }
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct StoredBatch {
    adapter: Adapter,
    record: BatchRecord,
}

impl StoredBatch {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> BatchId {
        self.record.id
    }

    /// Its row, with its state.
    #[must_use]
    pub fn record(&self) -> &BatchRecord {
        &self.record
    }

    /// Reads its properties.
    ///
    /// # Errors
    /// When they do not fit; the error names the one.
    pub fn properties<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        self.record.properties()
    }

    /// Sets one property, to be stored by [`save`](Self::save) or [`enqueue`](Self::enqueue).
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn set_property(
        &mut self,
        name: &str,
        value: impl Serialize,
    ) -> Result<(), ArgumentsError> {
        self.record.spec.set_property(name, value)
    }

    /// Sets what a person reads about it, to be stored by [`save`](Self::save) or
    /// [`enqueue`](Self::enqueue).
    pub fn set_description(&mut self, description: impl Into<String>) {
        self.record.spec.description = Some(description.into());
    }

    /// Stores what was set. Of two that do so at once the last one counts.
    ///
    /// # Errors
    /// When it cannot be stored, or the batch is not there any more.
    pub async fn save(&self) -> Result<(), EnqueueError> {
        check(&self.record.spec)?;
        match batches(&self.adapter)?.update_batch(self.id(), &self.record.spec).await? {
            true => Ok(()),
            false => Err(self.gone().into()),
        }
    }

    /// Adds jobs with the defaults of their class. While a job of the batch runs, as from inside it, the
    /// batch cannot be over before them; of one that is over already nobody is called back again.
    ///
    /// # Errors
    /// When one of them cannot be stored; then none is.
    pub async fn add<J: Job>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<Inserted>, EnqueueError> {
        let jobs: Result<Vec<NewJob>, _> = jobs.into_iter().map(|job| NewJob::new(&job)).collect();
        self.add_new(jobs?).await
    }

    /// Adds jobs that were made already, as [`add`](Self::add) does.
    ///
    /// # Errors
    /// When one of them cannot be stored; then none is.
    pub async fn add_new(
        &self,
        jobs: impl IntoIterator<Item = NewJob>,
    ) -> Result<Vec<Inserted>, EnqueueError> {
        let jobs: Vec<NewJob> = jobs.into_iter().map(|job| job.in_batch(self.id())).collect();
        self.adapter.enqueue_all(jobs).await
    }

    /// Enqueues it, for the first time or again, with these further jobs: its state begins anew, and it
    /// calls back again when all its jobs are over, at once if they are. Stores what was set, too.
    ///
    /// # Errors
    /// When a part cannot be stored, or the batch is not there any more.
    pub async fn enqueue(
        &self,
        jobs: impl IntoIterator<Item = NewJob>,
    ) -> Result<Vec<Inserted>, EnqueueError> {
        let mut jobs: Vec<NewJob> = jobs.into_iter().map(|job| job.in_batch(self.id())).collect();
        jobs.iter().try_for_each(NewJob::check)?;
        self.save().await?;
        let (store, callbacks) = (&**batches(&self.adapter)?, self.adapter.backend().callbacks());
        let mut sink = IntoBatch { store, batch: self, callbacks };
        let stored = match jobs.is_empty() {
            true => sink.store(&[]).await?,
            false => self.adapter.store_in(&mut jobs, &mut sink).await?,
        };
        self.adapter.perform_stored(&jobs).await?;
        Ok(stored)
    }

    /// Runs its discarded jobs again, and begins its state anew.
    ///
    /// # Errors
    /// When the store cannot be asked. Some jobs may be retried; repeat the call.
    pub async fn retry(&self) -> Result<RetriedBatch, StoreError> {
        let callbacks = self.adapter.backend().callbacks();
        batches(&self.adapter)?.retry_batch(self.id(), callbacks).await
    }

    /// Reads it anew; false when it is not there any more.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn reload(&mut self) -> Result<bool, StoreError> {
        let found = batches(&self.adapter)?.batch(self.id()).await?;
        let is_there = found.is_some();
        if let Some(record) = found {
            self.record = record;
        }
        Ok(is_there)
    }

    fn gone(&self) -> StoreError {
        StoreError::Rejected { reason: format!("there is no batch {}", self.id()), source: None }
    }
}

impl Adapter {
    /// A batch that is stored.
    ///
    /// # Errors
    /// When the store cannot be asked, or keeps no batches.
    pub async fn batch(&self, id: BatchId) -> Result<Option<StoredBatch>, StoreError> {
        let found = batches(self)?.batch(id).await?;
        Ok(found.map(|record| StoredBatch { adapter: self.clone(), record }))
    }

    /// Enqueues many batches with all their jobs at once, all or none.
    ///
    /// # Errors
    /// When one part cannot be stored, or the store does not take them.
    pub async fn enqueue_batches(
        &self,
        batches: impl IntoIterator<Item = Batch>,
    ) -> Result<Vec<EnqueuedBatch>, EnqueueError> {
        let new = batches.into_iter().map(|batch| batch.into_new(self));
        let new: Vec<NewBatch> = new.collect::<Result<_, _>>()?;
        store_new(self, new).await
    }
}

/// Stores batches with the hooks of the adapter around their jobs.
pub(super) async fn store_new(
    adapter: &Adapter,
    new: Vec<NewBatch>,
) -> Result<Vec<EnqueuedBatch>, EnqueueError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let mut jobs = NewBatch::jobs_of(&new);
    let mut sink = IntoBatches { store: &**batches(adapter)?, batches: new };
    let stored = match jobs.is_empty() {
        true => sink.store(&[]).await?,
        false => adapter.store_in(&mut jobs, &mut sink).await?,
    };
    let enqueued = EnqueuedBatch::of(&sink.batches, stored);
    end_stopped(adapter, &enqueued).await;
    adapter.perform_stored(&jobs).await?;
    Ok(enqueued)
}

/// Has batches go on that wait for nothing, since a limit stopped each of their jobs.
async fn end_stopped(adapter: &Adapter, enqueued: &[EnqueuedBatch]) {
    let is_stopped = |batch: &&EnqueuedBatch| {
        !batch.jobs.is_empty()
            && batch.jobs.iter().all(|job| matches!(job, Inserted::Stopped { .. }))
    };
    let end =
        |batch: &EnqueuedBatch| BatchEnd { batch: batch.id, was_callback: false, discarded: false };
    let ends: Vec<BatchEnd> = enqueued.iter().filter(is_stopped).map(end).collect();
    let backend = adapter.backend();
    if let Some(store) = backend.batches().filter(|_| !ends.is_empty())
        && let Err(error) = store.go_on(&ends, backend.callbacks()).await
    {
        let what = "batches that are stored, and whose jobs a limit stopped, wait for a sweep";
        adapter.troubles().report(Trouble::new(TroubleKind::BatchesHeld, what).because(error));
    }
}

/// Where the jobs of new batches are stored, with the batches.
struct IntoBatches<'a> {
    store: &'a dyn BatchStore,
    batches: Vec<NewBatch>,
}

#[async_trait]
impl Sink for IntoBatches<'_> {
    async fn store(&mut self, jobs: &[NewJob]) -> Result<Vec<Inserted>, EnqueueError> {
        NewBatch::give_jobs(&mut self.batches, jobs);
        Ok(self.store.insert_batches(&self.batches).await?)
    }
}

/// Where further jobs of a batch are stored, when it is enqueued again.
struct IntoBatch<'a> {
    store: &'a dyn BatchStore,
    batch: &'a StoredBatch,
    callbacks: &'a Callbacks,
}

#[async_trait]
impl Sink for IntoBatch<'_> {
    async fn store(&mut self, jobs: &[NewJob]) -> Result<Vec<Inserted>, EnqueueError> {
        let stored = self.store.enqueue_batch(self.batch.id(), jobs, self.callbacks).await?;
        Ok(stored.ok_or_else(|| self.batch.gone())?)
    }
}

impl NewBatch {
    /// The jobs of all batches, in order, for hooks to be run around their storing.
    #[must_use]
    pub fn jobs_of(batches: &[Self]) -> Vec<NewJob> {
        batches.iter().flat_map(|batch| batch.jobs.iter().cloned()).collect()
    }

    /// Gives each batch its jobs back, which hooks may have changed.
    pub fn give_jobs(batches: &mut [Self], jobs: &[NewJob]) {
        let mut jobs = jobs.iter();
        for batch in batches {
            batch.jobs = jobs.by_ref().take(batch.jobs.len()).cloned().collect();
        }
    }
}

impl EnqueuedBatch {
    /// Divides the answers about jobs by their batches.
    #[must_use]
    pub fn of(batches: &[NewBatch], answers: Vec<Inserted>) -> Vec<Self> {
        let mut answers = answers.into_iter();
        let enqueued = batches.iter().map(|batch| Self {
            id: batch.id,
            jobs: answers.by_ref().take(batch.jobs.len()).collect(),
        });
        enqueued.collect()
    }
}

impl NewJob {
    /// Makes it a job of a batch, for [`Adapter::enqueue_all`] or a transaction of one's own.
    #[must_use]
    pub fn in_batch(mut self, id: BatchId) -> Self {
        self.ties.batch = Some(id);
        self
    }
}

impl Enqueue<'_> {
    /// Makes it a job of a stored batch.
    pub fn in_batch(self, id: BatchId) -> Self {
        self.with(|job| job.ties.batch = Some(id))
    }
}

/// Where batches are kept.
pub(super) fn batches(adapter: &Adapter) -> Result<&Arc<dyn BatchStore>, StoreError> {
    adapter.backend().batches().ok_or_else(no_batches)
}

pub(super) fn no_batches() -> StoreError {
    StoreError::Unfit("this backend keeps no batches".to_owned())
}
