//! Batches: what becomes of them when their jobs end, and who is called back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use goodjob_core::{
    Batch, BatchCallback, BatchEvent, BatchId, BatchState, Context, Job, JobError, JobResult,
    Perform, Registry, RetriedBatch,
};
use goodjob_testkit::{Database, Harness, eventually};
use serde::{Deserialize, Serialize};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the jobs of a test did, and whether they may succeed.
#[derive(Clone, Default)]
struct Diary {
    calls: Arc<Mutex<Vec<(BatchId, BatchEvent)>>>,
    fails: Arc<Mutex<bool>>,
}

impl Diary {
    fn calls(&self, batch: BatchId) -> Vec<BatchEvent> {
        let calls = self.calls.lock().unwrap();
        let mut events: Vec<_> =
            calls.iter().filter(|(of, _)| *of == batch).map(|(_, event)| *event).collect();
        events.sort_by_key(ToString::to_string);
        events
    }

    fn let_fail(&self, fails: bool) {
        *self.fails.lock().unwrap() = fails;
    }
}

#[derive(Serialize, Deserialize)]
struct Member {
    /// Further members that it adds to its batch.
    adds: u32,
}

impl Job for Member {
    const CLASS: &'static str = "MemberJob";
}

impl Perform<Diary> for Member {
    async fn perform(self, cx: Context<Diary>) -> JobResult {
        if *cx.state().fails.lock().unwrap() {
            return Err(JobError::discard("it was to fail"));
        }
        let batch = cx.batch().await?.ok_or("the batch is gone")?;
        batch.add((0..self.adds).map(|_| Member { adds: 0 })).await?;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Called(BatchCallback);

impl Job for Called {
    const CLASS: &'static str = "CalledJob";
}

impl Perform<Diary> for Called {
    async fn perform(self, cx: Context<Diary>) -> JobResult {
        cx.state().calls.lock().unwrap().push((self.0.batch(), self.0.event()));
        Ok(())
    }
}

fn all_events() -> Batch {
    Batch::new().on_finish::<Called>().on_success::<Called>().on_discard::<Called>()
}

fn members(number: usize) -> impl Iterator<Item = Member> {
    (0..number).map(|_| Member { adds: 0 })
}

async fn worker(database: &Database, diary: &Diary) -> Harness {
    let jobs = Registry::new(diary.clone()).register::<Member>().register::<Called>();
    Harness::start_with(database, jobs, |config, _| {
        config.batch_sweep = Some(Duration::from_millis(200));
    })
    .await
}

/// Waits until the batch and its callbacks are over; says in which state it is.
async fn over(worker: &Harness, id: BatchId) -> BatchState {
    eventually("the end of a batch", PATIENCE, async || {
        let batch = worker.adapter().batch(id).await.map_err(|error| error.to_string())?;
        let record = batch.ok_or("no such batch")?.record().clone();
        match record.is_finished() {
            true => Ok(record.state()),
            false => Err(format!("{record:?}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_jobs_succeed_calls_back_for_success_and_finish() {
    let database = crate::database().await;
    let diary = Diary::default();
    let worker = worker(&database, &diary).await;
    // Each of two adds another one while it runs, so that the batch cannot be over before.
    let batch = all_events()
        .description("two and two")
        .property("user_id", 7)
        .add([Member { adds: 1 }, Member { adds: 1 }])
        .enqueue(worker.adapter())
        .await
        .unwrap();
    assert_eq!(over(&worker, batch.id).await, BatchState::Succeeded);
    assert_eq!(diary.calls(batch.id), [BatchEvent::Finish, BatchEvent::Success]);

    let stored = worker.adapter().batch(batch.id).await.unwrap().unwrap();
    #[derive(Deserialize)]
    struct Properties {
        user_id: i64,
    }
    assert_eq!(stored.properties::<Properties>().unwrap().user_id, 7);
    let of_batch = "SELECT count(*) FROM good_jobs WHERE batch_id = $1 AND finished_at IS NOT NULL";
    let ended: i64 = sqlx::query_scalar(of_batch)
        .bind(batch.id.as_uuid())
        .fetch_one(worker.store().pool())
        .await
        .unwrap();
    assert_eq!(ended, 4);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discarded_job_discards_its_batch_which_may_be_retried() {
    let database = crate::database().await;
    let diary = Diary::default();
    diary.let_fail(true);
    let worker = worker(&database, &diary).await;
    let batch = all_events().add(members(3)).enqueue(worker.adapter()).await.unwrap();
    assert_eq!(over(&worker, batch.id).await, BatchState::Discarded);
    assert_eq!(diary.calls(batch.id), [BatchEvent::Discard, BatchEvent::Finish]);

    diary.let_fail(false);
    let stored = worker.adapter().batch(batch.id).await.unwrap().unwrap();
    let retried = stored.retry().await.unwrap();
    assert!(matches!(retried, RetriedBatch::Retried { jobs: 3, .. }), "{retried:?}");
    assert_eq!(over(&worker, batch.id).await, BatchState::Succeeded);
    let calls = [BatchEvent::Discard, BatchEvent::Finish, BatchEvent::Finish, BatchEvent::Success];
    assert_eq!(diary.calls(batch.id), calls);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_batch_calls_back_at_once_and_may_be_enqueued_again() {
    let database = crate::database().await;
    let diary = Diary::default();
    let worker = worker(&database, &diary).await;
    let batch = all_events().enqueue(worker.adapter()).await.unwrap();
    assert_eq!(over(&worker, batch.id).await, BatchState::Succeeded);
    assert_eq!(diary.calls(batch.id), [BatchEvent::Finish, BatchEvent::Success]);

    let stored = worker.adapter().batch(batch.id).await.unwrap().unwrap();
    stored.enqueue([]).await.unwrap();
    assert_eq!(over(&worker, batch.id).await, BatchState::Succeeded);
    assert_eq!(diary.calls(batch.id).len(), 4);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_jobs_that_several_workers_end_call_back_once() {
    const JOBS: usize = 1_000;
    let database = crate::database().await;
    let diary = Diary::default();
    let first = worker(&database, &diary).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(worker(&database, &diary).await);
    }
    let batch = all_events().add(members(JOBS)).enqueue(first.adapter()).await.unwrap();
    assert_eq!(batch.jobs.iter().filter(|job| job.is_new()).count(), JOBS);
    assert_eq!(over(&first, batch.id).await, BatchState::Succeeded);
    assert_eq!(diary.calls(batch.id), [BatchEvent::Finish, BatchEvent::Success]);
    for worker in others {
        worker.stop().await;
    }
    first.stop().await;
}

/// As a worker leaves it that dies between the end of the last job and the batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_nobody_had_go_on_is_found_by_the_sweep() {
    let database = crate::database().await;
    let store = database.store().await;
    let batch = all_events().add(members(2)).enqueue(&store.adapter()).await.unwrap();
    sqlx::raw_sql("UPDATE good_jobs SET performed_at = now(), finished_at = now()")
        .execute(store.pool())
        .await
        .unwrap();
    let diary = Diary::default();
    let worker = worker(&database, &diary).await;
    assert_eq!(over(&worker, batch.id).await, BatchState::Succeeded);
    assert_eq!(diary.calls(batch.id), [BatchEvent::Finish, BatchEvent::Success]);
    worker.stop().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_are_not_kept_are_over_for_their_batch() {
    let database = crate::database().await;
    let diary = Diary::default();
    let jobs = Registry::new(diary.clone()).register::<Member>().register::<Called>();
    let worker = Harness::start_with(&database, jobs, |config, _| {
        config.preserve = goodjob_core::Preserve::Never;
    })
    .await;
    diary.let_fail(true);
    let batch = all_events().add(members(2)).enqueue(worker.adapter()).await.unwrap();
    assert_eq!(over(&worker, batch.id).await, BatchState::Discarded);
    assert_eq!(diary.calls(batch.id), [BatchEvent::Discard, BatchEvent::Finish]);
    worker.stop().await;
}
