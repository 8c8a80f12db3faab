//! What a job can ask about itself while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::adapter::Adapter;
use crate::batch::StoredBatch;
use crate::clock::Timestamp;
use crate::ids::{BatchId, ExecutionId, JobId};
use crate::store::{Claim, StoreError};

/// Handed to [`Perform::perform`](super::Perform::perform): the application's state and the facts
/// of this attempt. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context<S = ()> {
    state: S,
    bare: BareContext,
}

/// A context before the state of the application is put in: what a [`Handler`](super::Handler) is given.
#[derive(Clone, Debug)]
pub struct BareContext {
    claim: Arc<Claim>,
    deadline: Option<Instant>,
    max_attempts: Option<u32>,
    cancelled: CancellationToken,
    stopping: CancellationToken,
    adapter: Option<Adapter>,
}

impl BareContext {
    pub(crate) fn new(
        claim: Claim,
        deadline: Option<Instant>,
        max_attempts: Option<u32>,
        cancelled: CancellationToken,
        stopping: CancellationToken,
    ) -> Self {
        let claim = Arc::new(claim);
        Self { claim, deadline, max_attempts, cancelled, stopping, adapter: None }
    }

    /// A context for trying out a handler: nothing stops it but its own time limit.
    #[must_use]
    pub fn for_trial(claim: Claim, limit: Option<Duration>, max_attempts: Option<u32>) -> Self {
        let (cancelled, stopping) = (CancellationToken::new(), CancellationToken::new());
        Self::new(
            claim,
            limit.map(|limit| Instant::now() + limit),
            max_attempts,
            cancelled,
            stopping,
        )
    }

    /// Adds what the process enqueues by.
    pub(crate) fn reaching(self, adapter: Adapter) -> Self {
        Self { adapter: Some(adapter), ..self }
    }

    /// Adds the application's state.
    #[must_use]
    pub fn with_state<S>(self, state: S) -> Context<S> {
        Context { state, bare: self }
    }
}

impl<S> Context<S> {
    /// The state that the application's registry was made with.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The job's id. The same at every attempt, so a good idempotency key for calls elsewhere.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.bare.claim.job.id
    }

    /// The id of this attempt.
    #[must_use]
    pub fn execution_id(&self) -> ExecutionId {
        self.bare.claim.token.execution
    }

    /// The class name as stored.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.bare.claim.job.class
    }

    /// The queue it was taken from.
    #[must_use]
    pub fn queue(&self) -> Option<&str> {
        self.bare.claim.job.queue.as_deref()
    }

    /// Its priority; smaller runs first.
    #[must_use]
    pub fn priority(&self) -> Option<i32> {
        self.bare.claim.job.priority
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.bare.claim.job.labels
    }

    /// When it was due.
    #[must_use]
    pub fn scheduled_at(&self) -> Timestamp {
        self.bare.claim.job.scheduled_at.unwrap_or(self.bare.claim.job.created_at)
    }

    /// 1 at the first attempt, one more after each retry. Interruptions and snoozes do not count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.bare.claim.job.payload.executions().saturating_add(1)
    }

    /// How many attempts the job's policy allows at most; `None` for no limit or no retry.
    #[must_use]
    pub fn max_attempts(&self) -> Option<u32> {
        self.bare.max_attempts
    }

    /// How many attempts in a row, just before this one, ended without an outcome: their process
    /// died. More than 0 means that some of this job's effects may have happened already.
    #[must_use]
    pub fn interrupted_attempts(&self) -> u32 {
        self.bare.claim.interruptions
    }

    /// The batch that waits for this job, or that it is a callback of.
    #[must_use]
    pub fn batch_id(&self) -> Option<BatchId> {
        let ties = &self.bare.claim.job.ties;
        ties.batch.or(ties.batch_callback)
    }

    /// The batch that waits for this job, or that it is a callback of, as it is stored now: to read its
    /// properties, to add jobs to it, or for a callback to enqueue it again. `None` when there is none, or
    /// its row is gone.
    ///
    /// # Errors
    /// When the store cannot be asked, keeps no batches, or this is only a trial of the handler.
    pub async fn batch(&self) -> Result<Option<StoredBatch>, StoreError> {
        let Some(id) = self.batch_id() else { return Ok(None) };
        match &self.bare.adapter {
            Some(adapter) => adapter.batch(id).await,
            None => Err(StoreError::Unfit("a trial of a handler has no store".to_owned())),
        }
    }

    /// When the time limit of this attempt is reached.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.bare.deadline
    }

    /// Whether this attempt should end at once: its time is up, its lock was lost, or the worker
    /// will not wait any longer. What it still does may happen twice.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.bare.cancelled.is_cancelled()
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled). The attempt is dropped a grace later.
    pub async fn cancelled(&self) {
        self.bare.cancelled.cancelled().await;
    }

    /// Whether the worker is shutting down and waits for this job: a long one may wind up.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.bare.stopping.is_cancelled()
    }

    /// Waits until [`is_stopping`](Self::is_stopping).
    pub async fn stopping(&self) {
        self.bare.stopping.cancelled().await;
    }
}
