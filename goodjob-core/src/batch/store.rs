//! What a backend that keeps batches does, beside what every [`Store`](crate::Store) does.

use async_trait::async_trait;
use serde::Serialize;

use super::callbacks::Callbacks;
use super::new::NewBatch;
use super::record::{BatchRecord, BatchSpec, BatchState};
use crate::clock::Timestamp;
use crate::ids::{BatchId, JobId};
use crate::job::NewJob;
use crate::store::{Inserted, StoreError};

/// Keeps batches.
///
/// # The continuation
///
/// A batch has a lock, which is held for the moments in which it goes on (wire contract 9.4): under it the
/// store looks around ([`Sight`](super::Sight)), has the pure function [`progress`](super::progress) decide,
/// writes what that says, and stores the callbacks, in one step that is committed or not. So of two that
/// finish the last jobs at once the second sees the work of the first. A continuation may be repeated: what
/// was done is not done twice.
#[async_trait]
pub trait BatchStore: Send + Sync {
    /// Stores batches with their jobs and callbacks, all or none. What is there already is left alone, so
    /// that a call may be repeated. Says of each job of the batches what became of it, in order.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn insert_batches(&self, batches: &[NewBatch]) -> Result<Vec<Inserted>, StoreError>;

    /// A batch.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, StoreError>;

    /// Batches with counts of their jobs, newest first; for tools and pages.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn batches(&self, query: &BatchQuery) -> Result<Vec<BatchSummary>, StoreError>;

    /// Writes what a batch is for; false when it is not there.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn update_batch(&self, id: BatchId, spec: &BatchSpec) -> Result<bool, StoreError>;

    /// Enqueues a stored batch, for the first time or again: its state begins anew, these jobs are stored,
    /// and it goes on. `None` when it is not there; then nothing is stored.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn enqueue_batch(
        &self,
        id: BatchId,
        jobs: &[NewJob],
        callbacks: &Callbacks,
    ) -> Result<Option<Vec<Inserted>>, StoreError>;

    /// Has batches go on, of which jobs have ended; what is told of one batch is taken together, so that a
    /// discarded job is known before the last one is seen to be over. One without a row is passed over.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do. Some of them may have gone on.
    async fn go_on(&self, ended: &[BatchEnd], callbacks: &Callbacks) -> Result<(), StoreError>;

    /// Deletes jobs that are over, with their attempts, if they are there: rows of discarded ones that were
    /// kept until their batch knew of them.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn forget_jobs(&self, jobs: &[JobId]) -> Result<(), StoreError>;

    /// Retries the discarded jobs of a batch that has some, and begins its state anew.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do. Some jobs may be retried; repeat the call.
    async fn retry_batch(
        &self,
        id: BatchId,
        callbacks: &Callbacks,
    ) -> Result<RetriedBatch, StoreError>;

    /// Looks at batches that are not finished, at most `limit` of them in the order of their ids, after this
    /// one. Fewer are the last ones.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn look_at_batches(
        &self,
        after: Option<BatchId>,
        limit: usize,
    ) -> Result<Vec<BatchLook>, StoreError>;
}

/// That a job with a batch has ended an attempt, in whatever way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchEnd {
    /// The batch.
    pub batch: BatchId,
    /// Whether it was one of the batch's callbacks, and not of its jobs.
    pub was_callback: bool,
    /// Whether it is over with an error. Of a job that is not kept only the finisher knows.
    pub discarded: bool,
}

/// A batch that is not finished, at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLook {
    /// The batch.
    pub id: BatchId,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// Whether it should have gone on: what it waits for is over.
    pub stuck: bool,
}

/// Which batches are asked for. All that is given has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchQuery {
    /// Only this one.
    pub id: Option<BatchId>,
    /// Those in this state.
    pub state: Option<BatchState>,
    /// Those with this text in their description, in upper or lower case.
    pub description: Option<String>,
    /// Those after this one, the last of the page before.
    pub after: Option<BatchId>,
    /// How many at most.
    pub limit: u32,
}

impl Default for BatchQuery {
    /// The newest 50.
    fn default() -> Self {
        Self { id: None, state: None, description: None, after: None, limit: 50 }
    }
}

/// A batch, and how its jobs stand. Jobs that were deleted are not counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchSummary {
    /// Its state in one word.
    pub state: BatchState,
    /// The batch.
    #[serde(flatten)]
    pub batch: BatchRecord,
    /// How many jobs it has.
    pub jobs: u64,
    /// How many of them are not over.
    pub open_jobs: u64,
    /// How many of them ended with an error.
    pub discarded_jobs: u64,
    /// How many callbacks it has had.
    pub callbacks: u64,
    /// How many of those are not over.
    pub open_callbacks: u64,
}

/// What became of a batch that was to be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetriedBatch {
    /// Its discarded jobs are due again, so many; others were in somebody's hands, or gone.
    Retried {
        /// How many.
        jobs: u64,
    },
    /// None of its jobs was discarded.
    NotDiscarded,
    /// There is no such batch.
    Gone,
}
