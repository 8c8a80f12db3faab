//! A store, some jobs and a log of what they did.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use goodjob_core::{
    Adapter, Arguments, Backend, Capsule, Clock, Config, Context, ExecutionRecord, Handler,
    Handlers, Inspect, JobError, JobId, JobRecord, JobResult, JobState, MemoryStore, NewJob,
    Notifier, Options, Policy, Pools, Signal, Store,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::rigged::Rigged;

/// The longest that a test waits for something in paused time.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Everything that a capsule needs, and what the jobs in it do.
pub(crate) struct Stage {
    pub(crate) memory: Arc<MemoryStore>,
    pub(crate) rigged: Arc<Rigged>,
    pub(crate) adapter: Adapter,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    pub(crate) handlers: Handlers,
    pub(crate) log: Log,
    notifier: Arc<dyn Notifier>,
}

impl Stage {
    /// With pools as in a queue string.
    pub(crate) fn new(pools: &str) -> Self {
        let start = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let clock = Clock::starting_at(start);
        let memory = Arc::new(MemoryStore::new(clock.clone()));
        let pools: Pools = pools.parse().expect("a queue string");
        let five = NonZeroUsize::new(5).expect("five");
        Self {
            rigged: Arc::new(Rigged::new(Arc::clone(&memory))),
            adapter: Adapter::new(Arc::clone(&memory)),
            notifier: Arc::clone(&memory) as Arc<dyn Notifier>,
            memory,
            clock,
            config: Config { pools: pools.with_default(five), ..Config::default() },
            handlers: Handlers::default(),
            log: Log::default(),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Loses every notice.
    pub(crate) fn deaf(mut self) -> Self {
        self.notifier = Arc::new(Deaf);
        self
    }

    /// Without polls.
    pub(crate) fn unpolled(self) -> Self {
        self.with(|config| config.poll_interval = None)
    }

    /// A job that does `body`.
    pub(crate) fn job<F, R>(self, class: &str, body: F) -> Self
    where
        F: Fn(Context<Log>) -> R + Send + Sync + 'static,
        R: Future<Output = JobResult> + Send + 'static,
    {
        self.job_with(class, Policy::new(), body)
    }

    pub(crate) fn job_with<F, R>(mut self, class: &str, policy: Policy, body: F) -> Self
    where
        F: Fn(Context<Log>) -> R + Send + Sync + 'static,
        R: Future<Output = JobResult> + Send + 'static,
    {
        let log = self.log.clone();
        let body = Arc::new(body);
        let run = move |_: Option<Arguments>, cx: goodjob_core::BareContext| {
            let cx = cx.with_state(log.clone());
            let body = Arc::clone(&body);
            Box::pin(async move {
                let _on_stage = cx.state().enter(&cx);
                body(cx).await
            }) as goodjob_core::Running
        };
        self.handlers.add(class, Handler { policy, run: Arc::new(run) });
        self
    }

    /// A job that takes `time` and succeeds.
    pub(crate) fn lasting(self, class: &str, time: Duration) -> Self {
        self.job(class, move |_| async move {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }

    /// A job that ends at once with an error.
    pub(crate) fn failing(self, class: &str, policy: Policy, text: &'static str) -> Self {
        self.job_with(class, policy, move |_| async move { Err(JobError::from(text)) })
    }

    pub(crate) async fn start(&self) -> Capsule {
        let store = Arc::clone(&self.rigged) as Arc<dyn Store>;
        let notifier = Arc::clone(&self.notifier);
        let backend = Backend::new(store, notifier).with_cron(self.memory.clone());
        Capsule::start(self.config.clone(), self.handlers.clone(), backend)
            .await
            .expect("a capsule starts")
    }

    pub(crate) async fn enqueue(&self, job: NewJob) -> JobId {
        self.enqueue_all(vec![job]).await[0]
    }

    pub(crate) async fn enqueue_all(&self, jobs: Vec<NewJob>) -> Vec<JobId> {
        let stored = self.adapter.enqueue_all(jobs).await.expect("an insert");
        stored.into_iter().map(|job| job.id()).collect()
    }

    pub(crate) async fn row(&self, id: JobId) -> JobRecord {
        self.memory.job(id).await.expect("a look").expect("the job is stored")
    }

    pub(crate) async fn state(&self, id: JobId) -> JobState {
        self.row(id).await.state(self.clock.now())
    }

    pub(crate) async fn attempts(&self, id: JobId) -> Vec<ExecutionRecord> {
        self.memory.executions(id).await.expect("a look")
    }
}

/// A job of a class, due now, on the queue of the same name.
pub(crate) fn job(class: &str) -> NewJob {
    NewJob::of_class(class, Arguments::default(), Options::new().queue(class)).expect("a job")
}

pub(crate) fn job_in(wait: Duration, class: &str) -> NewJob {
    NewJob { due: goodjob_core::Due::In(wait), ..job(class) }
}

pub(crate) fn jobs(number: usize, class: &str) -> Vec<NewJob> {
    (0..number).map(|_| job(class)).collect()
}

/// Waits for what has to happen.
pub(crate) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, happens)
        .await
        .unwrap_or_else(|_| panic!("awaited in vain: {what}"))
}

/// A notifier that hears nothing.
struct Deaf;

#[async_trait::async_trait]
impl Notifier for Deaf {
    async fn listen(&self, _to: mpsc::Sender<Signal>, stop: CancellationToken) {
        stop.cancelled().await;
    }
}

/// What bodies did, in order. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<watch::Sender<Vec<Entry>>>);

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) what: What,
    pub(crate) class: String,
    pub(crate) job: JobId,
    pub(crate) at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Began,
    /// It returned, panicked or was dropped.
    Ended,
}

impl Default for Log {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl Log {
    fn enter(&self, cx: &Context<Self>) -> OnStage {
        let (class, job) = (cx.class().to_owned(), cx.job_id());
        self.write(What::Began, &class, job);
        OnStage { log: self.clone(), class, job }
    }

    fn write(&self, what: What, class: &str, job: JobId) {
        let entry = Entry { what, class: class.to_owned(), job, at: Instant::now() };
        self.0.send_modify(|entries| entries.push(entry));
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.borrow().clone()
    }

    /// When each body of a class began, or ended.
    pub(crate) fn times(&self, what: What, class: &str) -> Vec<Instant> {
        let entries = self.entries();
        let of_class = entries.iter().filter(|entry| entry.what == what && entry.class == class);
        of_class.map(|entry| entry.at).collect()
    }

    pub(crate) fn began(&self, class: &str) -> usize {
        self.times(What::Began, class).len()
    }

    pub(crate) fn ended(&self, class: &str) -> usize {
        self.times(What::Ended, class).len()
    }

    /// The largest number of bodies of these classes at once.
    pub(crate) fn peak(&self, classes: &[&str]) -> usize {
        let (mut now, mut peak) = (0, 0);
        for entry in self.entries() {
            if classes.contains(&entry.class.as_str()) {
                match entry.what {
                    What::Began => now += 1,
                    What::Ended => now -= 1,
                }
                peak = peak.max(now);
            }
        }
        peak
    }

    /// Waits until `number` bodies of a class have begun or ended in all.
    pub(crate) async fn until(&self, what: What, number: usize, class: &str) {
        let has_come = |entries: &Vec<Entry>| {
            entries.iter().filter(|entry| entry.what == what && entry.class == class).count()
                >= number
        };
        let mut log = self.0.subscribe();
        let came = tokio::time::timeout(PATIENCE, log.wait_for(has_come)).await.is_ok();
        assert!(came, "awaited {number} × {class} {what:?} in vain; log: {:?}", self.entries());
    }
}

struct OnStage {
    log: Log,
    class: String,
    job: JobId,
}

impl Drop for OnStage {
    fn drop(&mut self) {
        self.log.write(What::Ended, &self.class, self.job);
    }
}
