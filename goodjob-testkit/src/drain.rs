//! Does all that is due in the test's process, and says how each job ended.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use goodjob_core::{
    Capsule, Cleanup, Config, Handler, Handlers, Inspect, Job, JobId, JobRecord, JobResult,
    JobState, Pool, Pools, Run, Shutdown, Timestamp,
};
use tokio_util::sync::CancellationToken;

use crate::test_store::TestStore;

/// How long a drain may take, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often time may pass in one drain, before a job is taken for one that puts itself off for ever.
const JOURNEYS: usize = 1_000;
/// A due time is over when it is past.
const JUST_AFTER: Duration = Duration::from_millis(1);

/// Runs jobs until none is due, one at a time: a worker that starts, empties its queues and stops.
///
/// For tests of what an application enqueues and of what its jobs do, without a worker in the background.
/// On a Postgres store no other worker may run: a store serves one.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// use goodjob_core::{Adapter, Clock, Context, Job, JobResult, JobState, MemoryStore, Perform, Registry};
/// use goodjob_testkit::Drain;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Remind { user_id: i64 }
/// # impl Job for Remind { const CLASS: &'static str = "RemindJob"; }
/// # impl Perform for Remind { async fn perform(self, _: Context) -> JobResult { Ok(()) } }
///
/// # #[tokio::main] async fn main() {
/// let store = Arc::new(MemoryStore::new(Clock::system()));
/// let adapter = Adapter::new(store.clone());
/// adapter.enqueue(Remind { user_id: 7 }).await.unwrap();
/// adapter.enqueue(Remind { user_id: 8 }).wait(Duration::from_secs(3 * 86_400)).await.unwrap();
///
/// let jobs = Registry::default().register::<Remind>();
/// let ended = Drain::new(jobs.clone()).run(&store).await;
/// assert_eq!(ended.len(), 1);
/// // The one of in three days: time passes until nothing waits any more.
/// let ended = Drain::new(jobs).with_scheduled().run(&store).await;
/// assert_eq!(ended[0].state, JobState::Succeeded);
/// # }
/// ```
#[derive(Debug)]
pub struct Drain {
    handlers: Handlers,
    queues: Pools,
    with_scheduled: bool,
    limit: Option<usize>,
    patience: Duration,
}

/// A job that a drain started, and how it stands now.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The job.
    pub id: JobId,
    /// Its class.
    pub class: String,
    /// How often the drain started it.
    pub attempts: usize,
    /// Its state. A job that is retried or put off is scheduled, retried or queued.
    pub state: JobState,
    /// Its last error.
    pub error: Option<String>,
    /// Its row, unless its row was not kept.
    pub job: Option<JobRecord>,
}

/// The jobs that a drain started, in the order in which they were first started.
#[derive(Clone, Debug)]
pub struct Ends(Vec<Ended>);

impl Drain {
    /// All that is due on any queue and that these can do.
    #[must_use]
    pub fn new(handlers: impl Into<Handlers>) -> Self {
        Self {
            handlers: handlers.into(),
            queues: Pools::default(),
            with_scheduled: false,
            limit: None,
            patience: PATIENCE,
        }
    }

    /// Only these queues, by a queue string: `mail`, `mail,reports`, `-elephants`, `+first,second`.
    ///
    /// # Panics
    /// If it is no queue string.
    #[must_use]
    pub fn queues(mut self, queues: &str) -> Self {
        self.queues = queues.parse().unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// Also what is not due yet, retries among them: whenever nothing is due, time passes until the next job is
    /// ([`TestStore::travel`]). So jobs run in the order of their times.
    #[must_use]
    pub fn with_scheduled(mut self) -> Self {
        self.with_scheduled = true;
        self
    }

    /// At most so many attempts.
    #[must_use]
    pub fn limit(mut self, attempts: usize) -> Self {
        self.limit = Some(attempts);
        self
    }

    /// How long it may take; 30 s unless it is said.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Does it.
    ///
    /// # Panics
    /// When the store cannot be used, when it takes too long, and when jobs put themselves off for ever.
    pub async fn run(self, store: &impl TestStore) -> Ends {
        if self.limit == Some(0) {
            return Ends(Vec::new());
        }
        let Self { handlers, queues, with_scheduled, limit, patience } = self;
        let watch = Arc::new(Watch { limit, ..Watch::default() });
        let pools: Vec<Pool> = queues.with_default(NonZeroUsize::MIN);
        let pools = pools.into_iter().map(|pool| Pool { max_threads: NonZeroUsize::MIN, ..pool });
        let wanted = Wanted { classes: handlers.classes(), pools: pools.collect() };
        let config = Config {
            pools: wanted.pools.clone(),
            cleanup: Cleanup::OFF,
            title: "drain".to_owned(),
            ..Config::default()
        };
        let handlers = handlers.map(|class, handler| watch.watched(class, handler));
        let capsule = Capsule::start(config, handlers, store.backend()).await;
        let capsule = capsule.unwrap_or_else(|error| panic!("{error}"));
        let work = work(&capsule, store, &watch, &wanted, with_scheduled);
        if tokio::time::timeout(patience, work).await.is_err() {
            capsule.shutdown(Shutdown::Now).await;
            let ends = watch.ends(store).await;
            panic!("the queues were not empty after {patience:?}; started until then:\n{ends}");
        }
        capsule.shutdown(Shutdown::Forever).await;
        watch.ends(store).await
    }
}

/// Which jobs a drain does.
struct Wanted {
    classes: Vec<String>,
    pools: Vec<Pool>,
}

impl Wanted {
    /// When the next of them is due that is not due yet.
    async fn next_after(&self, inspect: &dyn Inspect, now: Timestamp) -> Option<Timestamp> {
        let jobs = inspect.all_jobs().await.unwrap_or_else(|error| panic!("{error}"));
        let waits = |job: &&JobRecord| job.finished_at.is_none() && job.performed_at.is_none();
        let is_ours = |job: &&JobRecord| {
            let queue = job.queue.as_deref();
            self.classes.contains(&job.class) && self.pools.iter().any(|p| p.queues.matches(queue))
        };
        let due = jobs.iter().filter(waits).filter(is_ours).filter_map(|job| job.scheduled_at);
        due.filter(|due| *due > now).min()
    }
}

/// Works until nothing is left to do, or the limit is reached.
async fn work(
    capsule: &Capsule,
    store: &impl TestStore,
    watch: &Watch,
    wanted: &Wanted,
    with_scheduled: bool,
) {
    for _ in 0..JOURNEYS {
        tokio::select! {
            () = capsule.drained() => {}
            () = watch.full.cancelled() => {
                // The last attempt ends only when no other can begin.
                let stopping = async {
                    while !capsule.is_stopping() {
                        tokio::task::yield_now().await;
                    }
                    watch.stopped.cancel();
                };
                tokio::join!(capsule.shutdown(Shutdown::Forever), stopping);
                return;
            }
        }
        if !with_scheduled {
            return;
        }
        let now = store.time().await;
        let Some(next) = wanted.next_after(store.inspect(), now).await else { return };
        store.travel((next - now).to_std().unwrap_or_default() + JUST_AFTER).await;
    }
    panic!(
        "time has passed {JOURNEYS} times, and jobs are still put off; is there one that puts itself off for \
         ever? A limit of attempts ends it:\n{}",
        watch.ends(store).await
    );
}

/// What the attempts of a drain tell.
#[derive(Default)]
struct Watch {
    limit: Option<usize>,
    attempts: Mutex<Vec<Attempt>>,
    /// The last attempt that is allowed has ended, and waits.
    full: CancellationToken,
    /// No other attempt can begin.
    stopped: CancellationToken,
}

struct Attempt {
    job: JobId,
    class: String,
    error: Option<String>,
}

impl Watch {
    fn watched(self: &Arc<Self>, class: &str, handler: Handler) -> Handler {
        let (watch, class, inside) = (Arc::clone(self), class.to_owned(), Arc::clone(&handler.run));
        let run: Arc<Run> = Arc::new(move |arguments, cx| {
            let (watch, class, inside) = (Arc::clone(&watch), class.clone(), Arc::clone(&inside));
            let job = cx.clone().with_state(()).job_id();
            Box::pin(async move {
                let number = watch.begin(job, class);
                let body = AssertUnwindSafe(async move { inside(arguments, cx).await });
                let result = body.catch_unwind().await;
                watch.end(number, result.as_ref().ok()).await;
                result.unwrap_or_else(|panic| resume_unwind(panic))
            })
        });
        Handler { policy: handler.policy, run }
    }

    fn begin(&self, job: JobId, class: String) -> usize {
        let mut attempts = self.attempts();
        attempts.push(Attempt { job, class, error: None });
        attempts.len()
    }

    async fn end(&self, number: usize, result: Option<&JobResult>) {
        if let Some(Err(error)) = result {
            self.attempts()[number - 1].error = Some(error.to_string());
        }
        if self.limit.is_some_and(|limit| number >= limit) {
            self.full.cancel();
            self.stopped.cancelled().await;
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ends(&self, store: &impl TestStore) -> Ends {
        let mut ends: Vec<Ended> = Vec::new();
        for attempt in self.attempts().iter() {
            match ends.iter_mut().find(|ended| ended.id == attempt.job) {
                Some(ended) => {
                    ended.attempts += 1;
                    ended.error.clone_from(&attempt.error);
                }
                None => ends.push(Ended {
                    id: attempt.job,
                    class: attempt.class.clone(),
                    attempts: 1,
                    state: JobState::Running,
                    error: attempt.error.clone(),
                    job: None,
                }),
            }
        }
        let now = store.time().await;
        for ended in &mut ends {
            let job = store.inspect().job(ended.id).await.unwrap_or_else(|error| panic!("{error}"));
            // A row that is not kept is gone when the job is over.
            ended.state = match (&job, &ended.error) {
                (Some(job), _) => job.state(now),
                (None, Some(_)) => JobState::Discarded,
                (None, None) => JobState::Succeeded,
            };
            if let Some(job) = &job {
                ended.error.clone_from(&job.error);
            }
            ended.job = job;
        }
        Ends(ends)
    }
}

impl Ends {
    /// Those of one class.
    pub fn of<J: Job>(&self) -> impl Iterator<Item = &Ended> {
        self.0.iter().filter(|ended| ended.class == J::CLASS)
    }

    /// Fails the test unless all of them succeeded, and lists all.
    ///
    /// # Panics
    /// If one did not.
    #[track_caller]
    pub fn assert_succeeded(&self) {
        let others = self.0.iter().filter(|ended| ended.state != JobState::Succeeded).count();
        assert!(others == 0, "{others} of {} jobs did not succeed:\n{self}", self.0.len());
    }
}

impl Deref for Ends {
    type Target = [Ended];

    fn deref(&self) -> &[Ended] {
        &self.0
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("  no job\n");
        }
        self.0.iter().try_for_each(|ended| writeln!(f, "  {ended}"))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.class, self.id, self.state)?;
        if self.attempts > 1 {
            write!(f, " after {} attempts", self.attempts)?;
        }
        self.error.iter().try_for_each(|error| write!(f, ": {error}"))
    }
}
