//! What a job can ask about itself while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::ids::{ExecutionId, JobId};
use crate::limits::Gate;
use crate::store::Claim;

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
    gate: Gate,
}

impl BareContext {
    pub(crate) fn new(
        claim: Claim,
        deadline: Option<Instant>,
        max_attempts: Option<u32>,
        cancelled: CancellationToken,
        stopping: CancellationToken,
    ) -> Self {
        let (claim, gate) = (Arc::new(claim), Gate::default());
        Self { claim, deadline, max_attempts, cancelled, stopping, gate }
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

    /// Asks this gate before the body begins.
    pub(crate) fn behind(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Adds the application's state.
    #[must_use]
    pub fn with_state<S>(self, state: S) -> Context<S> {
        Context { state, bare: self }
    }
}

impl<S> Context<S> {
    pub(crate) fn bare(&self) -> &BareContext {
        &self.bare
    }

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
