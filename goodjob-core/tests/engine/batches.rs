//! Batches on the store in memory: they go on when their jobs end here, also while the store is away or the
//! worker shuts down, and a sweep finds those that nobody had go on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use goodjob_core::{
    Adapter, Backend, Batch, BatchCallback, BatchEnd, BatchEvent, BatchId, BatchLook, BatchQuery,
    BatchRecord, BatchSpec, BatchState, BatchStore, BatchSummary, Callbacks, Capsule, Clock,
    Config, Context, EnqueueHook, Inserted, Inspect, Job, JobError, JobId, JobResult, MemoryStore,
    NewBatch, NewJob, Perform, Preserve, Registry, RetriedBatch, Shutdown, Stop, StoreError,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::stage::{secs, soon};

#[derive(Clone)]
struct Told(Arc<watch::Sender<Vec<(BatchId, BatchEvent)>>>);

impl Default for Told {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl Told {
    fn of(&self, batch: BatchId) -> Vec<BatchEvent> {
        let told = self.0.borrow();
        let mut events: Vec<_> =
            told.iter().filter(|(id, _)| *id == batch).map(|(_, event)| *event).collect();
        events.sort_unstable();
        events
    }
}

#[derive(Serialize, Deserialize)]
struct Part {
    how: String,
}

impl Job for Part {
    const CLASS: &'static str = "PartJob";
}

impl Perform<Told> for Part {
    async fn perform(self, cx: Context<Told>) -> JobResult {
        match self.how.as_str() {
            "grow" => {
                let batch = cx.batch().await?.ok_or("a job of a batch sees it")?;
                batch.add([part("ok")]).await?;
                Ok(())
            }
            "slow" => {
                tokio::time::sleep(secs(60)).await;
                Ok(())
            }
            "discard" if cx.attempt() == 1 => Err(JobError::discard("not wanted")),
            _ => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Over(BatchCallback);

impl Job for Over {
    const CLASS: &'static str = "OverJob";
}

impl Perform<Told> for Over {
    async fn perform(self, cx: Context<Told>) -> JobResult {
        cx.state().0.send_modify(|told| told.push((self.0.batch(), self.0.event())));
        let batch = cx.batch().await?.ok_or("a callback sees its batch")?;
        #[derive(Deserialize)]
        struct Stages {
            #[serde(default)]
            stages: u32,
        }
        let Stages { stages } = batch.properties()?;
        if self.0.event() == BatchEvent::Finish && stages > 1 {
            let mut batch = batch;
            batch.set_property("stages", stages - 1)?;
            batch.enqueue([NewJob::new(&part("ok"))?]).await?;
        }
        Ok(())
    }
}

fn part(how: &str) -> Part {
    Part { how: how.to_owned() }
}

fn batch(hows: &[&str]) -> Batch {
    Batch::new()
        .on_finish::<Over>()
        .on_success::<Over>()
        .on_discard::<Over>()
        .add(hows.iter().map(|how| part(how)))
}

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Clock::system()))
}

async fn start(backend: impl Into<Backend>, told: &Told, config: Config) -> Capsule {
    let jobs = Registry::new(told.clone()).register::<Part>().register::<Over>();
    Capsule::start(config, jobs, backend).await.unwrap()
}

async fn stored(memory: &MemoryStore, id: BatchId) -> BatchRecord {
    BatchStore::batch(memory, id).await.unwrap().unwrap()
}

use BatchEvent::{Discard, Finish, Success};

#[tokio::test(start_paused = true)]
async fn a_batch_lives_through_all_its_states_in_memory() {
    let (memory, told) = (memory(), Told::default());
    let adapter = Adapter::new(memory.clone());
    let capsule = start(memory.clone(), &told, Config::default()).await;
    let grown = batch(&["grow", "ok"]).enqueue(&adapter).await.unwrap().id;
    let empty = batch(&[]).enqueue(&adapter).await.unwrap().id;
    let failing = batch(&["discard", "ok"]).enqueue(&adapter).await.unwrap().id;
    let staged = batch(&["ok"]).property("stages", 3).enqueue(&adapter).await.unwrap().id;
    let saved = batch(&["ok"]).save(&adapter).await.unwrap().id;
    soon("all that is due", capsule.drained()).await;
    assert_eq!(told.of(grown), [Success, Finish]);
    assert_eq!(told.of(empty), [Success, Finish]);
    assert_eq!(told.of(failing), [Discard, Finish]);
    assert_eq!(told.of(staged), [Success, Success, Success, Finish, Finish, Finish]);
    assert_eq!(told.of(saved), []);
    for (id, state) in [
        (grown, BatchState::Succeeded),
        (empty, BatchState::Succeeded),
        (failing, BatchState::Discarded),
        (staged, BatchState::Succeeded),
        (saved, BatchState::Collecting),
    ] {
        assert_eq!(stored(&memory, id).await.state(), state);
    }
    let one = BatchQuery { id: Some(grown), ..BatchQuery::default() };
    let summary = memory.batches(&one).await.unwrap().remove(0);
    assert_eq!((summary.jobs, summary.open_jobs, summary.callbacks), (3, 0, 2));

    let handle = adapter.batch(failing).await.unwrap().unwrap();
    assert_eq!(handle.retry().await.unwrap(), RetriedBatch::Retried { jobs: 1 });
    adapter.batch(saved).await.unwrap().unwrap().enqueue([]).await.unwrap();
    soon("all that is due", capsule.drained()).await;
    assert_eq!(told.of(failing), [Discard, Success, Finish, Finish]);
    assert_eq!(told.of(saved), [Success, Finish]);
    soon("the end", capsule.shutdown(Shutdown::Forever)).await;
}

/// No row tells of the discarded one in the end, so that a sweep could take the batch for a success.
#[tokio::test(start_paused = true)]
async fn the_sweep_is_never_before_the_finisher() {
    let (memory, told) = (memory(), Told::default());
    let adapter = Adapter::new(memory.clone());
    let sweep = Some(Duration::from_millis(1));
    let config = Config { preserve: Preserve::Never, batch_sweep: sweep, ..Config::default() };
    let capsule = start(memory.clone(), &told, config).await;
    for _ in 0..50 {
        let failing = batch(&["discard"]).enqueue(&adapter).await.unwrap().id;
        soon("all that is due", capsule.drained()).await;
        assert_eq!(told.of(failing), [Discard, Finish]);
        let one = BatchQuery { id: Some(failing), ..BatchQuery::default() };
        assert_eq!(memory.batches(&one).await.unwrap()[0].jobs, 0, "no row is kept");
    }
    soon("the end", capsule.shutdown(Shutdown::Forever)).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_nobody_had_go_on_is_found_within_a_minute() {
    let (memory, told) = (memory(), Told::default());
    let adapter = Adapter::new(memory.clone());
    let mut ids = Vec::new();
    // More than one look is at.
    for _ in 0..1_200 {
        let lost = batch(&["ok"]).enqueue(&adapter).await.unwrap();
        let mut job = memory.job(lost.jobs[0].id()).await.unwrap().unwrap();
        job.finished_at = Some(job.created_at);
        memory.plant(job);
        ids.push(lost.id);
    }
    let capsule = start(memory.clone(), &told, Config::default()).await;
    let begun = Instant::now();
    let mut news = told.0.subscribe();
    soon("every callback", news.wait_for(|told| told.len() == 2 * ids.len())).await.unwrap();
    assert!(begun.elapsed() > secs(15) && begun.elapsed() < secs(60), "{:?}", begun.elapsed());
    for id in ids {
        assert_eq!(told.of(id), [Success, Finish]);
    }
    soon("the end", capsule.shutdown(Shutdown::Forever)).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_job_of_a_shutdown_has_its_batch_go_on() {
    let (memory, told) = (memory(), Told::default());
    let adapter = Adapter::new(memory.clone());
    let capsule = start(memory.clone(), &told, Config::default()).await;
    let last = batch(&["slow"]).enqueue(&adapter).await.unwrap();
    tokio::time::sleep(secs(1)).await;
    soon("the end", capsule.shutdown(Shutdown::Forever)).await;
    assert!(stored(&memory, last.id).await.are_jobs_finished());
    let one = BatchQuery { id: Some(last.id), ..BatchQuery::default() };
    assert_eq!(memory.batches(&one).await.unwrap()[0].open_callbacks, 2, "for the next worker");
    assert_eq!(told.of(last.id), []);
}

/// A store of batches that is away now and then.
struct Flaky {
    memory: Arc<MemoryStore>,
    /// Calls that fail before one succeeds.
    failures: AtomicU32,
}

#[async_trait]
impl BatchStore for Flaky {
    async fn insert_batches(&self, batches: &[NewBatch]) -> Result<Vec<Inserted>, StoreError> {
        self.memory.insert_batches(batches).await
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, StoreError> {
        BatchStore::batch(&*self.memory, id).await
    }

    async fn batches(&self, query: &BatchQuery) -> Result<Vec<BatchSummary>, StoreError> {
        self.memory.batches(query).await
    }

    async fn update_batch(&self, id: BatchId, spec: &BatchSpec) -> Result<bool, StoreError> {
        self.memory.update_batch(id, spec).await
    }

    async fn enqueue_batch(
        &self,
        id: BatchId,
        jobs: &[NewJob],
        callbacks: &Callbacks,
    ) -> Result<Option<Vec<Inserted>>, StoreError> {
        self.memory.enqueue_batch(id, jobs, callbacks).await
    }

    async fn go_on(&self, ended: &[BatchEnd], callbacks: &Callbacks) -> Result<(), StoreError> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(StoreError::unavailable("away"));
        }
        self.memory.go_on(ended, callbacks).await
    }

    async fn forget_jobs(&self, jobs: &[JobId]) -> Result<(), StoreError> {
        self.memory.forget_jobs(jobs).await
    }

    async fn retry_batch(
        &self,
        id: BatchId,
        callbacks: &Callbacks,
    ) -> Result<RetriedBatch, StoreError> {
        self.memory.retry_batch(id, callbacks).await
    }

    async fn look_at_batches(
        &self,
        after: Option<BatchId>,
        limit: usize,
    ) -> Result<Vec<BatchLook>, StoreError> {
        self.memory.look_at_batches(after, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_on_when_the_store_is_back() {
    let (memory, told) = (memory(), Told::default());
    let flaky = Arc::new(Flaky { memory: memory.clone(), failures: AtomicU32::new(7) });
    let backend = Backend::new(memory.clone(), memory.clone()).with_batches(flaky.clone());
    let adapter = Adapter::new(backend.clone());
    let config = Config { batch_sweep: None, preserve: Preserve::Never, ..Config::default() };
    let capsule = start(backend, &told, config).await;
    let failing = batch(&["discard", "ok"]).enqueue(&adapter).await.unwrap();
    let mut news = told.0.subscribe();
    soon("both callbacks", news.wait_for(|told| told.len() == 2)).await.unwrap();
    assert_eq!(told.of(failing.id), [Discard, Finish]);
    assert_eq!(flaky.failures.load(Ordering::Relaxed), 0);

    // One that does not come back does not hold up a shutdown that waits no longer.
    flaky.failures.store(u32::MAX, Ordering::Relaxed);
    batch(&["ok"]).enqueue(&adapter).await.unwrap();
    tokio::time::sleep(secs(1)).await;
    let begun = Instant::now();
    soon("the end", capsule.shutdown(Shutdown::Now)).await;
    assert!(begun.elapsed() < secs(10), "{:?}", begun.elapsed());
}

/// Moves every job to another queue, and stops those that are not wanted.
struct Mover;

#[async_trait]
impl EnqueueHook for Mover {
    async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
        if job.arguments.as_stored()[0]["how"] == "unwanted" {
            return Err("nobody wants it".into());
        }
        job.queue = "moved".to_owned();
        Ok(())
    }
}

#[tokio::test]
async fn hooks_see_the_jobs_of_batches() {
    let memory = memory();
    let adapter = Adapter::new(memory.clone()).on_enqueue(Mover);
    let two = [batch(&["ok", "ok"]), batch(&["ok"])];
    let two = adapter.enqueue_batches(two).await.unwrap();
    assert_eq!((two[0].jobs.len(), two[1].jobs.len()), (2, 1));
    for (job, of) in [(&two[0].jobs[1], two[0].id), (&two[1].jobs[0], two[1].id)] {
        let job = memory.job(job.id()).await.unwrap().unwrap();
        assert_eq!((job.queue.as_deref(), job.ties.batch), (Some("moved"), Some(of)));
    }
    let unwanted = batch(&["ok", "unwanted"]);
    let id = unwanted.id();
    let stopped = unwanted.enqueue(&adapter).await.unwrap_err().to_string();
    assert!(stopped.contains("nobody wants it"), "{stopped}");
    assert_eq!(BatchStore::batch(&*memory, id).await.unwrap(), None, "nor the batch");
}

#[tokio::test]
async fn a_backend_without_batches_says_so() {
    let memory = memory();
    let adapter = Adapter::new(Backend::new(memory.clone(), memory));
    let refused = batch(&[]).enqueue(&adapter).await.unwrap_err();
    assert_eq!(refused.to_string(), "this backend keeps no batches");
}
