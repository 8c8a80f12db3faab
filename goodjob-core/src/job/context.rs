//! What a job can ask about itself while it runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::completion::Completion;
use super::error::{JobError, JobResult};
use super::policy::{Policy, Retry};
use super::preserve::Preserve;
use super::ties::Tick;
use super::trace::Trace;
use crate::adapter::Adapter;
use crate::backend::Backend;
use crate::batch::StoredBatch;
use crate::clock::Timestamp;
use crate::ids::{BatchId, ExecutionId, JobId};
use crate::notes::{BETWEEN_PROGRESS, Note, Progress};
use crate::store::{Claim, Fate, Outcome, Settlement, StoreError, Token};
use crate::trouble::Troubles;

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
    facts: Arc<Facts>,
    cancelled: CancellationToken,
}

/// What all attempts of a worker have around them.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) adapter: Adapter,
    pub(crate) stopping: CancellationToken,
    /// Which finished jobs keep their row where the policy says nothing.
    pub(crate) preserve: Preserve,
}

/// What does not change while an attempt runs, and what it said.
struct Facts {
    claim: Arc<Claim>,
    begun: Instant,
    deadline: Option<Instant>,
    max_attempts: Option<u32>,
    stopping: CancellationToken,
    preserve: Preserve,
    /// Jobs that it enqueues know this one.
    adapter: Adapter,
    progressed: Mutex<Option<Instant>>,
    completion: Completion,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("claim", &self.claim).finish_non_exhaustive()
    }
}

impl BareContext {
    pub(crate) fn new(
        claim: Arc<Claim>,
        policy: &Policy,
        scene: &Scene,
        cancelled: CancellationToken,
    ) -> Self {
        let begun = Instant::now();
        let facts = Facts {
            begun,
            deadline: policy.time_limit().map(|limit| begun + limit),
            max_attempts: policy.max_attempts(),
            stopping: scene.stopping.clone(),
            preserve: policy.preserved().unwrap_or(scene.preserve),
            adapter: scene.adapter.clone().inside(claim.job.id),
            progressed: Mutex::default(),
            completion: Completion::default(),
            claim,
        };
        Self { facts: Arc::new(facts), cancelled }
    }

    /// A context for trying out a handler: nothing stops it but its own time limit, it has nowhere to
    /// enqueue, and what it notes goes nowhere.
    #[must_use]
    pub fn for_trial(claim: Claim, limit: Option<Duration>, max_attempts: Option<u32>) -> Self {
        let policy = limit.map_or_else(Policy::new, |limit| Policy::new().timeout(limit));
        let policy = match max_attempts {
            Some(attempts) => policy.retry_on_any(Retry::attempts(attempts)),
            None => policy,
        };
        let scene = Scene {
            adapter: Adapter::new(Backend::none()),
            stopping: CancellationToken::new(),
            preserve: Preserve::Always,
        };
        Self::new(Arc::new(claim), &policy, &scene, CancellationToken::new())
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.facts.claim
    }

    pub(crate) fn backend(&self) -> &Backend {
        self.facts.adapter.backend()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.facts.deadline
    }

    /// How the attempt ended, if the job wrote that down itself; else `outcome`.
    pub(crate) async fn verdict(&self, outcome: Outcome, cut: &CancellationToken) -> Outcome {
        let troubles = self.facts.adapter.troubles();
        self.facts.completion.verdict(outcome, self.facts.claim.job.id, troubles, cut).await
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

    /// The tick of cron that the job was enqueued for.
    #[must_use]
    pub fn tick(&self) -> Option<&Tick> {
        self.bare.facts.claim.job.ties.tick.as_ref()
    }

    /// The state that the application's registry was made with.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The job's id. The same at every attempt, so a good idempotency key for calls elsewhere.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.bare.facts.claim.job.id
    }

    /// The id of this attempt.
    #[must_use]
    pub fn execution_id(&self) -> ExecutionId {
        self.bare.facts.claim.token.execution
    }

    /// The class name as stored.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.bare.facts.claim.job.class
    }

    /// The queue it was taken from.
    #[must_use]
    pub fn queue(&self) -> Option<&str> {
        self.bare.facts.claim.job.queue.as_deref()
    }

    /// Its priority; smaller runs first.
    #[must_use]
    pub fn priority(&self) -> Option<i32> {
        self.bare.facts.claim.job.priority
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.bare.facts.claim.job.labels
    }

    /// When it was due.
    #[must_use]
    pub fn scheduled_at(&self) -> Timestamp {
        self.bare.facts.claim.job.scheduled_at.unwrap_or(self.bare.facts.claim.job.created_at)
    }

    /// 1 at the first attempt, one more after each retry. Interruptions and snoozes do not count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.bare.facts.claim.job.payload.executions().saturating_add(1)
    }

    /// How many attempts the job's policy allows at most; `None` for no limit or no retry.
    #[must_use]
    pub fn max_attempts(&self) -> Option<u32> {
        self.bare.facts.max_attempts
    }

    /// How many attempts in a row, just before this one, ended without an outcome: their process
    /// died. More than 0 means that some of this job's effects may have happened already.
    #[must_use]
    pub fn interrupted_attempts(&self) -> u32 {
        self.bare.facts.claim.interruptions
    }

    /// The batch that waits for this job, or that it is a callback of.
    #[must_use]
    pub fn batch_id(&self) -> Option<BatchId> {
        let ties = &self.bare.facts.claim.job.ties;
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
        self.adapter().batch(id).await
    }

    /// When the time limit of this attempt is reached.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.bare.facts.deadline
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
        self.bare.facts.stopping.is_cancelled()
    }

    /// Waits until [`is_stopping`](Self::is_stopping).
    pub async fn stopping(&self) {
        self.bare.facts.stopping.cancelled().await;
    }

    /// Enqueues further jobs. They know this one as their parent ([`Trace::parent`]), and so does the log.
    #[must_use]
    pub fn adapter(&self) -> &Adapter {
        &self.bare.facts.adapter
    }

    /// What the job carries from where it was enqueued. Best effort: see [`Trace`].
    #[must_use]
    pub fn trace(&self) -> Trace {
        Trace::of(&self.bare.facts.claim.job.payload)
    }

    /// Puts the job back for `wait`: `return cx.snooze(wait)`. No failure, and no attempt is counted.
    ///
    /// # Errors
    /// Always: [`JobError::snooze`].
    pub fn snooze(&self, wait: Duration) -> JobResult {
        Err(JobError::snooze(wait))
    }

    /// Says how far it is, for `goodjob jobs show`: `cx.progress((40, 100))`, or with a text by
    /// [`Progress::of`]. May be called as often as there is something new: more than twice a second
    /// nothing is written, unless it is complete.
    ///
    /// A store that keeps no notes forgets it, and so does the database while it has no table for them
    /// (`goodjob migrate --with notes`).
    ///
    /// # Errors
    /// When it cannot be written now. Whether that matters is the job's to say.
    pub async fn progress(&self, progress: impl Into<Progress> + Send) -> Result<(), StoreError> {
        let (progress, now) = (progress.into(), Instant::now());
        {
            let last = &self.bare.facts.progressed;
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let is_early = last.is_some_and(|last| now < last + BETWEEN_PROGRESS);
            if is_early && !progress.is_complete() {
                return Ok(());
            }
            *last = Some(now);
        }
        self.note(Note::Progress(progress)).await
    }

    /// Keeps what came of the job beside it, as JSON of 64 KiB at most, for `goodjob jobs show`. Kept
    /// and forgotten as [`progress`](Self::progress) is; written at once.
    ///
    /// # Errors
    /// When it is too large or no JSON, or cannot be written now.
    pub async fn record<T: Serialize + Sync + ?Sized>(&self, result: &T) -> Result<(), StoreError> {
        let refused = |reason| StoreError::Rejected { reason, source: None };
        let result = serde_json::to_value(result)
            .map_err(|error| refused(format!("the result is no JSON: {error}")))?;
        let size = result.to_string().len();
        if size > Note::MAX_RESULT {
            let most = Note::MAX_RESULT;
            return Err(refused(format!(
                "the result: {size} bytes of JSON, expected at most {most}"
            )));
        }
        self.note(Note::Result(result)).await
    }

    async fn note(&self, note: Note) -> Result<(), StoreError> {
        match self.adapter().notes() {
            Some(notes) => notes.note(&self.token(), &note).await.map(drop),
            None => Ok(()),
        }
    }

    /// Names this attempt. For extensions of a backend.
    #[must_use]
    pub fn token(&self) -> Token {
        self.bare.facts.claim.token
    }

    /// What would be written if the job succeeded now. For extensions of a backend.
    #[must_use]
    pub fn success(&self) -> Settlement {
        let Facts { preserve, claim, begun, .. } = &*self.bare.facts;
        // A row of cron is always kept.
        let keep = claim.job.ties.tick.is_some() || preserve.keeps(&claim.job, None);
        Settlement { job: Fate::Succeed, keep, duration: begun.elapsed() }
    }

    /// Says that the job writes its success itself, and how to ask whether that is committed. For
    /// extensions of a backend.
    ///
    /// `is_committed` is called when the body has ended, until it gives an answer. If it is committed the
    /// attempt has succeeded, whatever the body returned. If it is not, a success of the body is an error
    /// of the type [`NotCommitted`](super::NotCommitted). The last call counts.
    pub fn completed_by<F, R>(&self, is_committed: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<bool, StoreError>> + Send + 'static,
    {
        self.bare.facts.completion.set(Box::new(move || Box::pin(is_committed())));
    }

    pub(super) fn troubles(&self) -> &Troubles {
        self.bare.facts.adapter.troubles()
    }
}
