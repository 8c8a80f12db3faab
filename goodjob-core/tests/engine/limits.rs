//! Limits on the memory store, in paused time: who begins, who waits, and who is next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use goodjob_core::{
    Adapter, Arguments, Backend, Capsule, Clock, Config, Context, EnqueueError, EnqueueHook,
    Inserted, Inspect, Job, JobId, JobResult, Limits, MemoryStore, NewJob, Options, Perform,
    Registry, Rule, Shutdown,
};
use serde::{Deserialize, Serialize};

use crate::stage::{millis, secs};

/// Keeps a place for a second.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stay {
    place: String,
    rules: String,
}

impl Job for Stay {
    const CLASS: &'static str = "StayJob";

    fn limits(&self) -> Limits {
        let key = || Rule::by_key(&self.place);
        match self.rules.as_str() {
            "one" => key().perform(1).into(),
            "two in all" => key().total(2).into(),
            "one by label" => Rule::by_label(&self.place).perform(1).into(),
            "two in ten seconds" => key().perform_throttle(2, secs(10)).into(),
            "zero" => key().perform_throttle(0, secs(1)).into(),
            _ => Limits::new(),
        }
    }
}

/// How many are there now, and were at most.
#[derive(Clone, Debug, Default)]
struct Guests {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Perform<Guests> for Stay {
    async fn perform(self, cx: Context<Guests>) -> JobResult {
        let Guests { now, most } = cx.state();
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(secs(1)).await;
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Looks once in ten milliseconds of paused time.
async fn eventually<T>(what: &str, within: Duration, look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(millis(10)).await;
        }
    };
    tokio::time::timeout(within, looking).await.unwrap_or_else(|_| panic!("not seen: {what}"))
}

fn stay(place: &str, rules: &str) -> NewJob {
    NewJob::new(&Stay { place: place.into(), rules: rules.into() }).expect("a job")
}

struct House {
    memory: Arc<MemoryStore>,
    guests: Guests,
    capsules: Vec<Capsule>,
}

impl House {
    async fn new() -> Self {
        let memory = Arc::new(MemoryStore::new(Clock::system()));
        let (guests, mut capsules) = (Guests::default(), Vec::new());
        for store in [Arc::clone(&memory), Arc::new(memory.another())] {
            let jobs = Registry::new(guests.clone()).register::<Stay>();
            let capsule = Capsule::start(Config::default(), jobs, store).await;
            capsules.push(capsule.expect("a capsule starts"));
        }
        Self { memory, guests, capsules }
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Vec<JobId> {
        let stored = Adapter::new(Arc::clone(&self.memory)).enqueue_all(jobs).await;
        stored.expect("an insert").iter().map(Inserted::id).collect()
    }

    async fn all_end(&self, ids: &[JobId], within: Duration) {
        eventually("the end of all", within, async || {
            for id in ids {
                self.memory.job(*id).await.ok()??.finished_at?;
            }
            Some(())
        })
        .await;
    }

    async fn end(self) {
        for capsule in self.capsules {
            capsule.shutdown(Shutdown::Forever).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_and_each_end_lets_the_next_one_in() {
    for rules in ["one", "one by label"] {
        let house = House::new().await;
        let ids = house.enqueue((0..30).map(|_| stay("a", rules)).collect()).await;
        // A second each, and next to nothing in between.
        house.all_end(&ids, secs(40)).await;
        assert_eq!(house.guests.most.load(Ordering::SeqCst), 1, "{rules}");
        house.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn places_do_not_wait_for_each_other() {
    let house = House::new().await;
    let ids = house.enqueue((0..8).map(|n| stay(&format!("{n}"), "one")).collect()).await;
    house.all_end(&ids, secs(3)).await;
    assert_eq!(house.guests.most.load(Ordering::SeqCst), 8);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_throttle_lets_so_many_start_in_a_while() {
    let house = House::new().await;
    let ids = house.enqueue((0..7).map(|_| stay("a", "two in ten seconds")).collect()).await;
    house.all_end(&ids, secs(120)).await;
    let mut starts = Vec::new();
    for id in &ids {
        let attempts = house.memory.executions(*id).await.expect("a look");
        starts.extend(attempts.iter().filter(|a| a.error.is_none()).map(|a| a.started_at));
    }
    starts.sort_unstable();
    assert_eq!(starts.len(), 7);
    for window in starts.windows(3) {
        assert!((window[2] - window[0]).num_seconds() >= 10, "{starts:?}");
    }
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_limit_stops_is_told_and_not_stored() {
    let memory = Arc::new(MemoryStore::new(Clock::system()));
    let adapter = Adapter::new(Arc::clone(&memory));
    let job = || stay("a", "two in all");
    let answers = adapter.enqueue_all([job(), job(), job(), stay("b", "one")]).await;
    let stopped: Vec<bool> = answers
        .expect("an insert")
        .iter()
        .map(|answer| matches!(answer, Inserted::Stopped { .. }))
        .collect();
    assert_eq!(stopped, [false, false, true, false]);
    let one = Stay { place: "a".into(), rules: "two in all".into() };
    let error = adapter.enqueue(one).await.expect_err("a limit");
    assert!(matches!(error, EnqueueError::LimitExceeded(_)), "{error}");
    let zero = Stay { place: "a".into(), rules: "zero".into() };
    let error = adapter.enqueue(zero).await.expect_err("no throttle");
    assert!(matches!(error, EnqueueError::Limits(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_keeps_no_limits_lets_no_limited_job_begin() {
    let memory = Arc::new(MemoryStore::new(Clock::system()));
    let backend = Backend::new(memory.clone(), memory.clone());
    let guests = Guests::default();
    let jobs = Registry::new(guests.clone()).register::<Stay>();
    let capsule = Capsule::start(Config::default(), jobs, backend).await.expect("a capsule");
    let adapter = Adapter::new(Arc::clone(&memory));
    let ids = adapter.enqueue_all([stay("a", "one"), stay("b", "none")]).await.expect("an insert");
    eventually("the end of the other", secs(9), async || {
        memory.job(ids[1].id()).await.ok()??.finished_at
    })
    .await;
    capsule.drained().await;
    let job = memory.job(ids[0].id()).await.expect("a look").expect("a row");
    assert_eq!((job.finished_at, guests.most.load(Ordering::SeqCst)), (None, 1));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn no_hook_is_told_that_a_job_is_stored_which_a_limit_stopped() {
    struct Told(Arc<AtomicUsize>);

    #[async_trait::async_trait]
    impl EnqueueHook for Told {
        async fn after(&self, _: &NewJob) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let told = Arc::<AtomicUsize>::default();
    let memory = Arc::new(MemoryStore::new(Clock::system()));
    let adapter = Adapter::new(memory).on_enqueue(Told(Arc::clone(&told)));
    let limits = || Limits::new().rule(Rule::by_key("k").total(2));
    let jobs = (0..5).map(|_| {
        let job = NewJob::of_class("A", Arguments::default(), Options::new());
        job.and_then(|job| job.limited(limits())).expect("a job")
    });
    let stored = adapter.enqueue_all(jobs).await.expect("an insert");
    assert_eq!(stored.iter().filter(|stored| stored.is_new()).count(), 2);
    assert_eq!(told.load(Ordering::SeqCst), 2);
}
