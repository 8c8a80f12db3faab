//! Time that passes when a test says so.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{
    BatchStore, Capsule, Clock, Config, Context, Inspect, Job, JobRecord, JobResult, JobState,
    MemoryStore, Perform, Registry, Shutdown, Tick, Ties, Timestamp,
};
use goodjob_testkit::{Database, Harness, Rows, Schema, Sequences, TestStore, eventually, factory};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::jobs::{DAY, Welcome};

const SOON: Duration = Duration::from_secs(20);

/// Waits until it is let go.
#[derive(Serialize, Deserialize)]
struct Hold;

#[derive(Clone, Default)]
struct Gate {
    held: Arc<Held>,
}

struct Held {
    begun: Semaphore,
    let_go: Semaphore,
}

impl Default for Held {
    fn default() -> Self {
        Self { begun: Semaphore::new(0), let_go: Semaphore::new(0) }
    }
}

impl Job for Hold {
    const CLASS: &'static str = "HoldJob";
}

impl Perform<Gate> for Hold {
    async fn perform(self, cx: Context<Gate>) -> JobResult {
        cx.state().held.begun.add_permits(1);
        let _let_go = cx.state().held.let_go.acquire().await?;
        Ok(())
    }
}

impl Perform<Gate> for Welcome {
    async fn perform(self, _: Context<Gate>) -> JobResult {
        Ok(())
    }
}

fn jobs(gate: &Gate) -> Registry<Gate> {
    Registry::new(gate.clone()).register::<Hold>().register::<Welcome>()
}

#[tokio::test]
async fn a_job_of_in_three_days_takes_milliseconds_in_memory() {
    let monday: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
    let store = Arc::new(MemoryStore::new(Clock::standing_at(monday)));
    let gate = Gate::default();
    let config = Config { poll_interval: None, ..Config::default() };
    let capsule = Capsule::start(config, jobs(&gate), store.clone()).await.unwrap();
    let job = Welcome { user_id: 1 };
    let id = capsule.adapter().enqueue(job).wait(3 * DAY).await.unwrap();
    capsule.drained().await;
    let waits = store.job(id).await.unwrap().unwrap();
    assert_eq!(waits.state(store.now()), JobState::Scheduled);

    store.travel(3 * DAY).await;
    let done =
        eventually("the job", SOON, async || store.job(id).await.unwrap()?.finished_at).await;
    assert_eq!(done, monday + TimeDelta::days(3));
    store.set_time(monday);
    assert_eq!(store.now(), monday);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test]
async fn a_process_lives_on_however_much_time_passes_in_memory() {
    let store = Arc::new(MemoryStore::new(Clock::system()));
    let other = Arc::new(store.another());
    let gate = Gate::default();
    let config = || Config { heartbeat: Duration::from_millis(20), ..Config::default() };
    let capsule = Capsule::start(config(), jobs(&gate), store.clone()).await.unwrap();
    let id = capsule.adapter().enqueue(Hold).await.unwrap();
    let _begun = gate.held.begun.acquire().await.unwrap();
    store.travel(3 * DAY).await;
    // A neighbour that looks for dead processes finds none.
    let neighbour = Capsule::start(config(), jobs(&gate), other.clone()).await.unwrap();
    let owner = store.job(id).await.unwrap().unwrap().locked_by;
    assert_eq!(owner, Some(capsule.process()));
    gate.held.let_go.add_permits(1);
    eventually("the job", SOON, async || store.job(id).await.unwrap()?.finished_at).await;
    assert_eq!(store.executions(id).await.unwrap().len(), 1);
    neighbour.shutdown(Shutdown::Forever).await;
    capsule.shutdown(Shutdown::Forever).await;
}

/// A journey on these tables, with a job that is being done, and one that waits.
async fn travel(schema: Schema) {
    let _rewound = Sequences::rewound();
    let database = Database::with_schema(schema).await;
    let gate = Gate::default();
    let worker = Harness::start_with(&database, jobs(&gate), |config, _| {
        config.poll_interval = None;
    })
    .await;
    let held = worker.enqueue(Hold).await;
    let _begun = gate.held.begun.acquire().await.unwrap();
    let job = Welcome { user_id: 1 };
    let later = worker.adapter().enqueue(job).wait(3 * DAY).await.unwrap();
    let (before, held_before) = (worker.job(later).await, worker.job(held).await);
    // Two ticks a day apart, of which one takes the other's time.
    let ticks = [0, 1].map(|days| {
        let at = factory::tick().at.unwrap() + TimeDelta::days(days);
        let tick = Some(Tick { key: "nightly".to_owned(), at: Some(at) });
        JobRecord {
            class: "RubyJob".to_owned(),
            ties: Ties { tick, ..Ties::default() },
            ..factory::job()
        }
    });
    let batch = factory::batch();
    let made = (batch.id, batch.created_at, batch.enqueued_at.unwrap());
    let rows = Rows { jobs: ticks.to_vec(), batches: vec![batch], ..Rows::default() };
    rows.store_in(worker.store()).await;

    let start = Instant::now();
    worker.travel(DAY).await;
    assert_eq!(worker.job(later).await.performed_at, None, "two days are left");
    worker.travel(2 * DAY).await;
    let done = worker.finished(later).await;
    assert_eq!(done.state(Timestamp::MAX_UTC), JobState::Succeeded);
    assert_eq!(before.scheduled_at.unwrap() - done.scheduled_at.unwrap(), TimeDelta::days(3));
    assert_eq!(before.created_at - done.created_at, TimeDelta::days(3));
    println!("three days took {:?}", start.elapsed());

    assert_eq!(worker.job(held).await, held_before, "what is being done stays in its time");
    gate.held.let_go.add_permits(1);
    assert_eq!(worker.finished(held).await.state(Timestamp::MAX_UTC), JobState::Succeeded);
    assert_eq!(worker.attempts(held).await.len(), 1);
    for tick in ticks {
        let moved = worker.job(tick.id).await;
        assert_eq!(moved.ties, tick.ties, "a tick keeps its name");
        assert_eq!(tick.created_at - moved.created_at, TimeDelta::days(3));
    }
    let batch = worker.store().batch(made.0).await.unwrap().unwrap();
    let passed = TimeDelta::days(3);
    assert_eq!((batch.created_at, batch.enqueued_at), (made.1 - passed, Some(made.2 - passed)));
    // What is over is longer ago, too.
    worker.travel(DAY).await;
    let [attempt] = worker.attempts(later).await.try_into().unwrap();
    let moved = worker.job(later).await;
    assert_eq!(moved.performed_at, Some(attempt.started_at));
    assert!(worker.store().time().await - moved.finished_at.unwrap() >= TimeDelta::days(1));
    worker.stop().await;
}

#[tokio::test]
async fn a_job_of_in_three_days_takes_milliseconds_on_our_tables() {
    travel(Schema::LEAN).await;
}

#[tokio::test]
async fn a_job_of_in_three_days_takes_milliseconds_on_the_gems_tables() {
    travel(Schema::GEM.timestamptz().time_zone("Asia/Tokyo")).await;
    travel(Schema::GEM_V4_0.prefixed("acme_").in_schema("jobs")).await;
}
