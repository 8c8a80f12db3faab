//! Jobs that are done while their caller waits: the mode `inline`, and what tests perform by hand.
//!
//! It is a capsule without pools. The process is registered, its locks and its heartbeat are those of any
//! worker, and an attempt goes the same way from its claim to its settlement; only who looks for jobs is
//! another one.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::pause::Pause;
use super::running::Running;
use super::settler::SettlerHandle;
use super::{Capsule, Drained};
use crate::adapter::Adapter;
use crate::backend::Backend;
use crate::config::{Cleanup, Config, Shutdown};
use crate::cron::Cron;
use crate::ids::JobId;
use crate::job::{Due, ErrorNote, Handlers, JobError, NewJob};
use crate::queue::QueueSelector;
use crate::store::{
    Claim, Claims, ErrorEvent, Fate, LockState, Outcome, Store, StoreError, Token, Wanted,
};

/// How long a store that is just being connected to is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first wait between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Does jobs while their caller waits. Cheap to clone; clones are one process to the store.
///
/// It registers a process at the first job, and beats until [`shutdown`](Self::shutdown).
///
/// ```
/// use std::sync::Arc;
/// use goodjob_core::{Adapter, Clock, Config, Inline, MemoryStore, Shutdown};
/// # use goodjob_core::{Context, Job, JobResult, Perform, Registry};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Hello { name: String }
/// # impl Job for Hello { const CLASS: &'static str = "HelloJob"; }
/// # impl Perform for Hello { async fn perform(self, _: Context) -> JobResult { Ok(()) } }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let memory = Arc::new(MemoryStore::new(Clock::system()));
/// let jobs = Registry::default().register::<Hello>();
/// let inline = Inline::new(Config::default(), jobs, memory);
/// inline.adapter().enqueue(Hello { name: "Ada".into() }).await.unwrap(); // it has run by now
/// inline.shutdown(Shutdown::Forever).await;
/// # }
/// ```
#[derive(Clone)]
pub struct Inline {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: Config,
    handlers: Handlers,
    /// Stores, and does nothing at once.
    adapter: Adapter,
    /// Started by the first job.
    capsule: tokio::sync::Mutex<Option<Capsule>>,
    /// The pools beside it, if there are any: a store serves one process, so it works in theirs while they run.
    pools: Arc<OnceLock<Capsule>>,
}

/// A job that was done while its caller waited ended with an error that nothing handled: no rule of its
/// policy matched it, or the attempts of that rule were used up. What became of the job is written down.
#[derive(Debug, thiserror::Error)]
#[error("job {job} ({class}) ended with an error: {error}")]
#[non_exhaustive]
pub struct JobFailed {
    /// The job.
    pub job: JobId,
    /// Its class.
    pub class: String,
    /// What it returned.
    pub error: JobError,
}

/// Why jobs were not all done, or not all well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InlineError {
    /// The store did not answer, or is unfit. What was stored is there, and is done by a worker or at
    /// another call.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A job ended with an error that nothing handled.
    #[error(transparent)]
    Job(#[from] Box<JobFailed>),
}

impl Inline {
    /// Nothing is connected to before the first job. Of `config` the pools, the polls, cron and the clean-up
    /// are left out.
    #[must_use]
    pub fn new(config: Config, handlers: impl Into<Handlers>, backend: impl Into<Backend>) -> Self {
        Self::beside(Arc::default(), config, handlers.into(), backend.into())
    }

    /// As [`new`](Self::new), in the process of these pools when there are some.
    pub(crate) fn beside(
        pools: Arc<OnceLock<Capsule>>,
        config: Config,
        handlers: Handlers,
        backend: Backend,
    ) -> Self {
        let config =
            Config { pools: Vec::new(), cron: Cron::default(), cleanup: Cleanup::OFF, ..config };
        let adapter = Adapter::of_worker(backend, &handlers);
        let capsule = tokio::sync::Mutex::default();
        Self { inner: Arc::new(Inner { config, handlers, adapter, capsule, pools }) }
    }

    /// An adapter whose jobs are done before its call returns, if they are due; so are those that they
    /// enqueue themselves. It has the hooks of the registry.
    #[must_use]
    pub fn adapter(&self) -> Adapter {
        self.inner.adapter.clone().performing(AtOnce::Outside(self.clone()))
    }

    /// Where its jobs are kept.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        self.inner.adapter.backend()
    }

    /// Does due jobs of these queues, one after the other in the order of claims, until none is left or
    /// `limit` were done; returns how many that were. A retry that is due at once is done in its turn, and
    /// counts.
    ///
    /// When the returned future is dropped, the job that runs is dropped and put back.
    ///
    /// # Errors
    /// The first error of a job that nothing handled; those after it are left alone. Or the store's.
    pub async fn perform_inline(
        &self,
        queues: &QueueSelector,
        limit: Option<usize>,
    ) -> Result<usize, InlineError> {
        let run = self.capsule().await?.run();
        let store = run.store()?;
        let wanted = Wanted { queues: queues.clone(), classes: self.inner.handlers.classes() };
        let mut done = 0;
        while limit.is_none_or(|limit| done < limit) {
            let turn = run.turn().await?;
            let claims = patiently(|| store.claim(&wanted, 1)).await?;
            let look_again = claims.look_again;
            if claims.taken.is_empty() {
                match look_again {
                    // The store looked only where it expected jobs.
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => break,
                }
            }
            if let Some(claim) = claims.taken.into_iter().next() {
                done += 1;
                run.perform(claim, turn).await?;
            }
        }
        Ok(done)
    }

    /// Does those of these jobs, which were just stored, that are due. Each runs until nothing of it is due;
    /// the first error comes back when all have had their turn.
    fn perform_stored(&self, jobs: &[NewJob]) -> BoxFuture<'_, Result<(), InlineError>> {
        let is_due = |job: &&NewJob| {
            let is_due = match job.due {
                Due::Now => true,
                Due::In(wait) => wait.is_zero(),
                // The store, whose clock counts, has the last word.
                Due::At(at) => at <= chrono::Utc::now(),
            };
            is_due && self.inner.handlers.get(&job.class).is_some()
        };
        let due: Vec<JobId> = jobs.iter().filter(is_due).map(|job| job.id).collect();
        Box::pin(async move {
            let mut failed = Ok(());
            for job in due {
                let ended = self.perform_job(job).await;
                failed = failed.and(ended);
            }
            failed
        })
    }

    async fn perform_job(&self, id: JobId) -> Result<(), InlineError> {
        let run = self.capsule().await?.run();
        let store = run.store()?;
        let ids = [id];
        let wanted = Wanted { queues: QueueSelector::All, classes: self.inner.handlers.classes() };
        loop {
            let turn = run.turn().await?;
            let claims = patiently(|| store.claim_jobs(&ids, &wanted)).await?;
            // Nothing is taken when a worker was quicker: then it is done there.
            let Some(claim) = claims.taken.into_iter().next() else { return Ok(()) };
            if !run.perform(claim, turn).await? {
                return Ok(());
            }
        }
    }

    async fn capsule(&self) -> Result<Capsule, StoreError> {
        if let Some(pools) = self.inner.pools.get().filter(|pools| !pools.is_stopping()) {
            return Ok(pools.clone());
        }
        let mut slot = self.inner.capsule.lock().await;
        if let Some(capsule) = &*slot {
            if capsule.is_stopping() {
                // It was shut down, or this process was forked off: then the parent's stays the parent's.
                capsule.restart(Shutdown::Forever).await?;
            }
            return Ok(capsule.clone());
        }
        let Inner { config, handlers, adapter, .. } = &*self.inner;
        let inside = adapter.clone().performing(AtOnce::Inside(Arc::downgrade(&self.inner)));
        let capsule = Capsule::start_with(config.clone(), handlers.clone(), inside).await?;
        Ok(slot.insert(capsule).clone())
    }

    /// Ends the waiting of a shutdown that is under way.
    pub(crate) fn hurry(&self) {
        // Whoever holds it is just starting one, and waits for nothing that could be hurried.
        if let Ok(slot) = self.inner.capsule.try_lock() {
            slot.iter().for_each(Capsule::hurry);
        }
    }

    /// Waits for running jobs as `mode` says, and leaves the store clean. The next job registers a process
    /// again.
    pub async fn shutdown(&self, mode: Shutdown) -> Drained {
        let capsule = self.inner.capsule.lock().await.clone();
        match capsule {
            Some(capsule) => capsule.shutdown(mode).await,
            None => Drained::default(),
        }
    }
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inline").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// How an adapter does due jobs before its calls return.
#[derive(Clone)]
pub(crate) enum AtOnce {
    /// For an application.
    Outside(Inline),
    /// For the body of a job, which its own capsule holds: it must not hold that for ever.
    Inside(Weak<Inner>),
}

impl AtOnce {
    /// As [`Inline::perform_stored`]; what is left when nobody has the capsule any more is left to workers.
    pub(crate) async fn perform_stored(&self, jobs: &[NewJob]) -> Result<(), InlineError> {
        let inline = match self {
            Self::Outside(inline) => inline.clone(),
            Self::Inside(inner) => match inner.upgrade() {
                Some(inner) => Inline { inner },
                None => return Ok(()),
            },
        };
        inline.perform_stored(jobs).await
    }
}

/// What came of an attempt for its job, as whoever waits for it wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// What kind of end it was, unless it simply succeeded.
    event: Option<ErrorEvent>,
    /// How soon the job is due again, unless it is over or was put back.
    again: Option<Duration>,
}

impl Came {
    pub(crate) fn of(fate: &Fate) -> Self {
        let again = match fate {
            Fate::Retry { wait, .. } => Some(*wait),
            Fate::Succeed | Fate::PutBack { .. } | Fate::Discard { .. } => None,
        };
        Self { event: fate.error().map(ErrorNote::event), again }
    }
}

fn stopped() -> StoreError {
    StoreError::unavailable("this process has been shut down")
}

/// A place for one attempt. As long as there is one, the settler does not end.
struct Turn {
    settler: SettlerHandle,
    permit: OwnedSemaphorePermit,
}

impl Running {
    fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        self.store.upgrade().ok_or_else(stopped)
    }

    /// What an attempt needs for its end, before its job is claimed: one that could not be settled would be
    /// taken for interrupted.
    async fn turn(&self) -> Result<Turn, StoreError> {
        if self.stop.is_cancelled() {
            return Err(stopped());
        }
        let settler = self.backlog.handle().ok_or_else(stopped)?;
        let permit = Arc::clone(settler.room()).acquire_owned().await.map_err(|_| stopped())?;
        Ok(Turn { settler, permit })
    }

    /// Performs a claimed job to its written end; true when it is due again at once.
    async fn perform(&self, claim: Claim, turn: Turn) -> Result<bool, InlineError> {
        let (token, class) = (claim.token, claim.job.class.clone());
        let store = self.store()?;
        let Turn { settler, permit } = turn;
        settler.meter.claimed(1);
        let attempt = Attempt::new(claim, settler, permit);
        let lost = CancellationToken::new();
        let carried_out = {
            let performing = self.performer.carry_out(attempt, lost.clone());
            tokio::pin!(performing);
            tokio::select! {
                done = &mut performing => done,
                () = is_lost(&*store, token) => {
                    lost.cancel();
                    performing.await
                }
            }
        };
        self.written().await;
        let Some((outcome, came)) = carried_out else { return Ok(false) };
        match (outcome, came.event) {
            // The gem raises these to the caller, also where it would run the job again.
            (Outcome::Failed(error), Some(ErrorEvent::Unhandled | ErrorEvent::RetryStopped)) => {
                Err(Box::new(JobFailed { job: token.job, class, error }).into())
            }
            _ => Ok(came.again == Some(Duration::ZERO)),
        }
    }
}

/// Waits until the store no longer vouches for the attempt.
async fn is_lost(store: &dyn Store, token: Token) {
    let gone = |locks: &LockState| {
        locks.health == crate::store::Health::Lost || locks.lost.contains(&token)
    };
    if store.locks().wait_for(gone).await.is_err() {
        // The store itself is gone, and has nothing to say.
        std::future::pending::<()>().await;
    }
}

/// Asks again for a while when the store cannot answer for a moment: its sessions open with the first beat,
/// and it may be ready a little later.
async fn patiently<F>(ask: impl Fn() -> F + Send) -> Result<Claims, StoreError>
where
    F: Future<Output = Result<Claims, StoreError>> + Send,
{
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Pause::starting_at(FIRST_PAUSE);
    loop {
        match ask().await {
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                tokio::time::sleep(pause.lengthen(Duration::from_millis(200))).await;
            }
            answer => return answer,
        }
    }
}
