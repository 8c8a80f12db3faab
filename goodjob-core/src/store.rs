//! Where jobs are kept, as the running system sees it. A custom backend implements [`Store`] and
//! [`Notifier`](crate::Notifier) and passes the testkit's conformance suite.

mod claim;
mod cleanup;
mod memory;
mod process;
mod record;
mod settle;

pub use claim::{Claim, Claims, Health, LockState, Token};
pub use cleanup::{Cleaned, Retention};
pub use memory::MemoryStore;
pub use process::{PoolReport, ProcessRecord};
pub use record::{ErrorEvent, ExecutionRecord, JobRecord, JobState};
pub use settle::{Fate, Outcome, Settlement, settle};

use std::any::Any;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::job::{BoxError, Exceeded, NewJob};
use crate::queue::QueueSelector;

/// Keeps jobs, and locks those that are being done.
///
/// # The lock protocol
///
/// 1. A process makes itself known with [`beat`](Self::beat) before its first claim, and beats until
///    it [`leave`](Self::leave)s. Who stops beating is taken for dead, and its jobs are freed.
/// 2. [`claim`](Self::claim) judges under a lock whether a row may be taken, and in the same step
///    writes the owner and starts an attempt. The [`Token`] it returns names that attempt.
/// 3. While the job runs no transaction is open. The store says through [`locks`](Self::locks) when
///    it can no longer vouch for an attempt.
/// 4. [`settle`](Self::settle) writes only if the token still names the current attempt (the fence),
///    commits, and only then releases the lock.
///
/// Every method may be cancelled: what was begun is then finished or undone by the store itself.
///
/// A store is [`Any`], so that a backend's own extensions can find it again behind an
/// [`Adapter`](crate::Adapter).
#[async_trait]
pub trait Store: Any + Send + Sync {
    /// Stores jobs, all or none, and tells workers. A job whose id or whose tick of cron is stored already
    /// is left alone, so that a call may be repeated after [`StoreError::Unknown`], and so that many
    /// processes may store the same tick. One whose own limits are reached, with those before it in the call,
    /// is [`Inserted::Stopped`] and keeps no other from being stored.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>, StoreError>;

    /// Locks and starts at most `max` due jobs that `wanted` accepts: smaller priorities first, then
    /// earlier due times, then smaller ids. Never waits for a lock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the locks are unconfirmed.
    async fn claim(&self, wanted: &Wanted, max: usize) -> Result<Claims, StoreError>;

    /// Locks and starts those of these jobs that are due, free and of the classes of `wanted`, whatever is
    /// paused. For the mode `inline`, where somebody waits for them.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    async fn claim_jobs(&self, jobs: &[JobId], wanted: &Wanted) -> Result<Claims, StoreError>;

    /// Writes how attempts ended, each only if it is still current; commits; then releases their
    /// locks. A job that is over and not kept ([`Settlement::deletes`]) is deleted with its attempts,
    /// unless its row is one of cron. Answers in the order asked. Waits for nobody's row: that one is [`Settled::Blocked`],
    /// keeps its lock and is to be tried again.
    ///
    /// # Errors
    /// On an error nothing is known: the same call is to be repeated, which writes nothing twice.
    async fn settle(&self, ended: &[(Token, Settlement)]) -> Result<Vec<Settled>, StoreError>;

    /// Gives back attempts that never began, as if they had not been claimed.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    async fn release(&self, unstarted: &[Token]) -> Result<(), StoreError>;

    /// Which attempts are confirmed, unconfirmed or lost, as the lock session lives, blinks and dies.
    fn locks(&self) -> watch::Receiver<LockState>;

    /// Future due times of waiting jobs, soonest first.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn upcoming(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Timestamp>, StoreError>;

    /// Deletes jobs that were over for longer than `keep` says, the oldest first and at most `limit`
    /// of them, with their attempts; then batches likewise. To be repeated until nothing is left. Waits
    /// for nobody's row: two processes that clean up at once share the work.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn clean_up(&self, keep: &Retention, limit: usize) -> Result<Cleaned, StoreError>;

    /// Says that this process lives, frees the jobs of dead ones, and returns the store's time.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn beat(&self, process: &ProcessRecord) -> Result<Timestamp, StoreError>;

    /// Removes this process and its sessions. Nothing may be running any more.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do; the process then looks dead to others, which is safe.
    async fn leave(&self, process: &ProcessRecord) -> Result<(), StoreError>;
}

/// Reads jobs and their attempts; for tests, tools and pages, never for the running system.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// A job.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError>;

    /// The attempts at a job, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn executions(&self, id: JobId) -> Result<Vec<ExecutionRecord>, StoreError>;

    /// All jobs, in whatever state, by when they were enqueued. For stores of a size that a test has.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn all_jobs(&self) -> Result<Vec<JobRecord>, StoreError>;
}

/// Which jobs a pool takes: its queues, and the classes that this process can do. A job of any other
/// class is left for a worker that knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The queues.
    pub queues: QueueSelector,
    /// The classes.
    pub classes: Vec<String>,
}

impl Wanted {
    /// Whether a job is of these queues and classes.
    #[must_use]
    pub fn accepts(&self, job: &JobRecord) -> bool {
        self.queues.matches(job.queue.as_deref()) && self.classes.contains(&job.class)
    }

    /// The order in which jobs start: by priority, those without one last, then due time, then id. A
    /// queue list with a sign `+` comes before all that.
    #[must_use]
    pub fn rank(&self, job: &JobRecord) -> impl Ord + use<> {
        self.rank_by(job, job.scheduled_at)
    }

    /// As [`rank`](Self::rank), for a store that starts jobs of one priority in another order than that
    /// of their due times.
    #[must_use]
    pub fn rank_by<T: Ord>(&self, job: &JobRecord, order: T) -> impl Ord + use<T> {
        let turn = match (&self.queues, &job.queue) {
            (QueueSelector::InOrder(names), Some(queue)) => names.iter().position(|n| n == queue),
            _ => None,
        };
        (turn, job.priority.is_none(), job.priority, order, job.id)
    }
}

/// What became of a job that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is stored.
    New(JobId),
    /// A job with this id, or for the same tick of cron, was there before.
    AlreadyThere(JobId),
    /// It is not stored, since one of its limits is reached.
    Stopped {
        /// Its id.
        job: JobId,
        /// Which limit.
        by: Exceeded,
    },
}

impl Inserted {
    /// The job that was to be stored.
    #[must_use]
    pub fn id(&self) -> JobId {
        match self {
            Self::New(id) | Self::AlreadyThere(id) | Self::Stopped { job: id, .. } => *id,
        }
    }

    /// Whether it is stored now, and was not before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::New(_))
    }
}

/// What became of an outcome that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is committed. Of a job that was to be deleted this is also said when it is not there any
    /// more: the answer to its deletion may have been lost, and nothing is left to tell by.
    Written,
    /// The attempt was no longer the current one, and nothing was written.
    Fenced,
    /// Somebody else holds the row for now. Nothing was written and the lock is kept: try again.
    Blocked,
}

/// Why a store did not do what it was asked, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached or does not accept writes now. The same call may be repeated later.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What was seen.
        reason: String,
        /// Where it came from.
        #[source]
        source: Option<BoxError>,
    },
    /// The connection was lost while committing: the call was carried out wholly or not at all.
    #[error("the connection was lost before the store answered")]
    Unknown {
        /// Where it came from.
        #[source]
        source: BoxError,
    },
    /// The store refuses this input; repeating the call will not help.
    #[error("the store refuses it: {reason}")]
    Rejected {
        /// What it said.
        reason: String,
        /// Where it came from.
        #[source]
        source: Option<BoxError>,
    },
    /// The store itself is not as it has to be. An operator has to act.
    #[error("{0}")]
    Unfit(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. })
    }

    /// An [`Unavailable`](Self::Unavailable) without a cause.
    #[must_use]
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), source: None }
    }
}
