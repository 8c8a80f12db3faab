//! Jobs that are done while their caller waits, and processes that do jobs beside something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use goodjob_core::{
    Backoff, Capsule, Config, Context, Due, EnqueueError, ErrorEvent, ExecutionMode, Inline,
    InlineError, Inspect, Job, JobResult, JobState, Limits, NewJob, Perform, Policy, Pools,
    QueueSelector, Registry, Retry, Role, Rule, Setup, Shutdown, Timestamp,
};
use goodjob_postgres::{EnqueueIn, LockStrategy, PgStore};
use goodjob_testkit::{Database, eventually};
use serde::{Deserialize, Serialize};

/// Fails at its first attempts, so many times.
#[derive(Debug, Serialize, Deserialize)]
struct Flaky {
    failures: u32,
}

impl Job for Flaky {
    const CLASS: &'static str = "FlakyJob";
}

impl Perform<Arc<AtomicUsize>> for Flaky {
    fn policy() -> Policy {
        let at_once = Backoff::Constant(Duration::ZERO);
        Policy::new().retry_on::<std::fmt::Error>(Retry::attempts(3).wait(at_once))
    }

    async fn perform(self, cx: Context<Arc<AtomicUsize>>) -> JobResult {
        cx.state().fetch_add(1, Ordering::SeqCst);
        if cx.attempt() <= self.failures {
            return Err(std::fmt::Error.into());
        }
        Ok(())
    }
}

/// Ends as its only argument says.
#[derive(Debug, Serialize, Deserialize)]
struct Say(String);

impl Job for Say {
    const CLASS: &'static str = "SayJob";
}

impl Perform<Arc<AtomicUsize>> for Say {
    async fn perform(self, cx: Context<Arc<AtomicUsize>>) -> JobResult {
        cx.state().fetch_add(1, Ordering::SeqCst);
        match self.0.as_str() {
            "ok" => Ok(()),
            "discard" => Err(goodjob_core::JobError::discard("not for us")),
            text => Err(text.to_owned().into()),
        }
    }
}

/// So many may start in an hour, one at a time, and so many may be stored.
#[derive(Debug, Serialize, Deserialize)]
struct Rare {
    start: u32,
    store: u32,
}

impl Job for Rare {
    const CLASS: &'static str = "RareJob";

    fn limits(&self) -> Limits {
        let hour = Duration::from_secs(60 * 60);
        let rule = Rule::by_key("rare").perform(1).perform_throttle(self.start, hour);
        rule.enqueue_throttle(self.store, hour).into()
    }
}

impl Perform<Arc<AtomicUsize>> for Rare {
    async fn perform(self, cx: Context<Arc<AtomicUsize>>) -> JobResult {
        cx.state().fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn jobs(runs: &Arc<AtomicUsize>) -> Registry<Arc<AtomicUsize>> {
    Registry::new(Arc::clone(runs)).register::<Flaky>().register::<Say>()
}

fn inline(store: &PgStore) -> (Setup, Arc<AtomicUsize>) {
    let runs = Arc::default();
    (Setup::new(ExecutionMode::Inline, Config::default(), jobs(&runs), store), runs)
}

async fn nothing_is_left(store: &PgStore) {
    let processes: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(processes, 0);
}

#[tokio::test]
async fn an_inline_job_has_run_by_the_whole_protocol_when_its_enqueue_returns() {
    let database = crate::database().await;
    for strategy in [LockStrategy::Hybrid, LockStrategy::Advisory, LockStrategy::SkipLocked] {
        let mut options = database.options();
        options.lock_strategy = strategy;
        let store = PgStore::connect(options).await.unwrap();
        let (setup, runs) = inline(&store);
        assert!(setup.start(Role::Server).await.unwrap().is_none(), "inline has no pools");
        let id = setup.adapter().enqueue(Say("ok".into())).await.unwrap();
        let job = store.job(id).await.unwrap().unwrap();
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{strategy}: {job:?}");
        assert_eq!((job.executions_count, job.locked_by), (1, None));
        let attempts = store.executions(id).await.unwrap();
        assert_eq!(attempts.len(), 1);
        assert!(attempts[0].process.is_some() && attempts[0].finished_at.is_some());
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        setup.shutdown(Shutdown::Forever).await;
        nothing_is_left(&store).await;
        store.close().await;
    }
}

#[tokio::test]
async fn inline_retries_that_are_due_follow_at_once_and_the_last_error_comes_back() {
    let database = crate::database().await;
    let store = database.store().await;
    let (setup, runs) = inline(&store);
    let adapter = setup.adapter();
    let id = adapter.enqueue(Flaky { failures: 2 }).await.unwrap();
    assert_eq!(store.executions(id).await.unwrap().len(), 3);
    assert_eq!(runs.swap(0, Ordering::SeqCst), 3);

    let error = adapter.enqueue(Flaky { failures: 9 }).await.unwrap_err();
    let EnqueueError::Failed(failed) = error else { panic!("{error}") };
    assert!(failed.error.source().is::<std::fmt::Error>(), "the error itself: {failed}");
    let job = store.job(failed.job).await.unwrap().unwrap();
    assert_eq!(job.error_event, Some(ErrorEvent::RetryStopped));
    assert_eq!(runs.swap(0, Ordering::SeqCst), 3);

    let error = adapter.enqueue(Say("boom".into())).await.unwrap_err().to_string();
    assert!(error.contains("SayJob") && error.contains("boom"), "{error}");
    // A rule or the job itself handled it.
    adapter.enqueue(Say("discard".into())).await.unwrap();
    setup.shutdown(Shutdown::Forever).await;
    store.close().await;
}

#[tokio::test]
async fn inline_leaves_the_future_to_others_and_goes_on_after_an_error() {
    let database = crate::database().await;
    let store = database.store().await;
    let (setup, runs) = inline(&store);
    let adapter = setup.adapter();
    let later = adapter.enqueue(Say("ok".into())).wait(Duration::from_secs(3600)).await.unwrap();
    let mut at = NewJob::new(&Say("ok".into())).unwrap();
    at.due = Due::At(chrono::Utc::now() + Duration::from_secs(3600));
    adapter.enqueue_all([at]).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 0, "future jobs are only stored");
    assert_eq!(store.job(later).await.unwrap().unwrap().executions_count, 0);

    let many = ["first", "ok", "second", "ok"].map(|text| NewJob::new(&Say(text.into())).unwrap());
    let error = adapter.enqueue_all(many).await.unwrap_err().to_string();
    assert!(error.contains("first"), "{error}");
    assert_eq!(runs.load(Ordering::SeqCst), 4, "all have their turn");
    // A transaction of the caller's: nobody sees the job before its commit.
    let pool = database.pool().await;
    let mut tx = pool.begin().await.unwrap();
    let id = adapter.enqueue(Say("ok".into())).enqueue_in(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    let done = setup.inline().perform_inline(&QueueSelector::All, None).await.unwrap();
    assert_eq!((done, runs.load(Ordering::SeqCst)), (1, 5));
    assert!(store.job(id).await.unwrap().unwrap().finished_at.is_some());
    setup.shutdown(Shutdown::Forever).await;
    pool.close().await;
    store.close().await;
}

#[tokio::test]
async fn by_hand_so_many_jobs_of_these_queues_are_performed() {
    let database = crate::database().await;
    let store = database.store().await;
    let runs = Arc::default();
    let inline = Inline::new(Config::default(), jobs(&runs), &store);
    let adapter = store.adapter();
    for (queue, text) in [("a", "ok"), ("a", "ok"), ("b", "ok"), ("a", "boom"), ("a", "ok")] {
        adapter.enqueue(Say(text.into())).queue(queue).await.unwrap();
    }
    let a = QueueSelector::Only(vec!["a".to_owned()]);
    assert_eq!(inline.perform_inline(&a, Some(2)).await.unwrap(), 2);
    let error = inline.perform_inline(&a, None).await.unwrap_err();
    assert!(matches!(error, InlineError::Job(ref failed) if failed.class == "SayJob"), "{error}");
    assert_eq!(inline.perform_inline(&QueueSelector::All, None).await.unwrap(), 2);
    assert_eq!(inline.perform_inline(&QueueSelector::All, None).await.unwrap(), 0);
    // It may be used again after its end.
    inline.shutdown(Shutdown::Forever).await;
    adapter.enqueue(Say("ok".into())).await.unwrap();
    assert_eq!(inline.perform_inline(&QueueSelector::All, None).await.unwrap(), 1);
    inline.shutdown(Shutdown::Forever).await;
    store.close().await;
}

/// A store serves one process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_hand_jobs_are_performed_beside_pools_in_their_process() {
    let database = crate::database().await;
    let store = database.store().await;
    let runs = Arc::default();
    let pools: Pools = "loud:1".parse().unwrap();
    let config =
        Config { pools: pools.with_default(std::num::NonZeroUsize::MIN), ..Config::default() };
    let setup = Setup::new(ExecutionMode::Async, config, jobs(&runs), &store);
    let adapter = setup.adapter();
    let quiet = || adapter.enqueue(Say("ok".into())).queue("quiet");
    quiet().await.unwrap();
    assert_eq!(setup.inline().perform_inline(&QueueSelector::All, None).await.unwrap(), 1);
    let capsule = setup.start(Role::Server).await.unwrap().unwrap();
    let id = quiet().await.unwrap();
    setup.adapter().enqueue(Say("ok".into())).queue("loud").await.unwrap();
    capsule.drained().await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(setup.inline().perform_inline(&QueueSelector::All, None).await.unwrap(), 1);
    assert_eq!(store.executions(id).await.unwrap()[0].process, Some(capsule.process()));
    setup.shutdown(Shutdown::Forever).await;
    quiet().await.unwrap();
    assert_eq!(setup.inline().perform_inline(&QueueSelector::All, None).await.unwrap(), 1);
    setup.shutdown(Shutdown::Forever).await;
    nothing_is_left(&store).await;
    store.close().await;
}

/// No attempt is begun that a limit forbids, and nobody is told of an error by it.
#[tokio::test]
async fn inline_jobs_keep_to_their_limits_and_one_that_has_to_wait_is_left_to_others() {
    let database = crate::database().await;
    let store = database.store().await;
    let runs: Arc<AtomicUsize> = Arc::default();
    let jobs = Registry::new(Arc::clone(&runs)).register::<Rare>();
    let setup = Setup::new(ExecutionMode::Inline, Config::default(), jobs, &store);
    let adapter = setup.adapter();
    for _ in 0..2 {
        adapter.enqueue(Rare { start: 2, store: 9 }).await.unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2, "one after the other, the room is given on");
    let third = adapter.enqueue(Rare { start: 2, store: 9 }).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    let job = store.job(third).await.unwrap().unwrap();
    assert!(job.scheduled_at > Some(chrono::Utc::now() + Duration::from_secs(60)), "{job:?}");
    let error = adapter.enqueue(Rare { start: 2, store: 3 }).await.unwrap_err();
    assert!(matches!(error, EnqueueError::LimitExceeded(_)), "{error}");
    setup.shutdown(Shutdown::Forever).await;
    nothing_is_left(&store).await;
    store.close().await;
}

/// The gem skips the notice when a local thread is free, which looks before the commit and finds nothing:
/// its job then waits for the next poll (failure model F-4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_transaction_held_for_two_seconds_starts_here_right_after_its_commit() {
    let database = crate::database().await;
    let store = database.store().await;
    let runs = Arc::default();
    let two = std::num::NonZeroUsize::new(2).unwrap();
    let pools: Pools = "loud;quiet".parse().unwrap();
    let config = Config {
        pools: pools.with_default(two),
        poll_interval: Some(Duration::from_secs(60)),
        ..Config::default()
    };
    let setup = Setup::new(ExecutionMode::Async, config, jobs(&runs), &store);
    assert!(setup.start(Role::Other).await.unwrap().is_none(), "only servers have pools");
    let capsule = setup.start(Role::Server).await.unwrap().unwrap();
    let adapter = setup.adapter();
    // Who begins to listen looks for what was missed: that is over.
    eventually("a listener", Duration::from_secs(20), async || {
        capsule.vitals().connected.then_some(())
    })
    .await;
    capsule.drained().await;

    let pool = database.pool().await;
    let mut tx = pool.begin().await.unwrap();
    let loud = adapter.enqueue(Say("ok".into())).queue("loud");
    let loud = loud.enqueue_in(&mut *tx).await.unwrap();
    sqlx::query("SELECT pg_sleep(2)").execute(&mut *tx).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    // The control, committed and due, which nobody is told of: whatever else might wake a pool, a poll, a
    // timer, a resync, would run it too. Not before the two seconds, since what was on its way when the pools
    // began may still arrive then.
    let quiet = adapter.enqueue(Say("ok".into())).queue("quiet").notify(false);
    let quiet = quiet.await.unwrap();
    let committing: Timestamp =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let attempt = eventually("the attempt", Duration::from_secs(20), async || {
        store.executions(loud).await.unwrap().pop()
    })
    .await;
    let waited = (attempt.started_at - committing).to_std().unwrap_or_default();
    println!("held for 2 s, started {waited:?} after its commit");
    assert!(waited < Duration::from_millis(100), "{waited:?}");
    let control = store.job(quiet).await.unwrap().unwrap();
    assert_eq!(control.executions_count, 0, "only a notice can have woken the pool: {control:?}");
    setup.shutdown(Shutdown::Forever).await;
    pool.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capsule_that_was_shut_down_starts_again_as_another_process() {
    let database = crate::database().await;
    let store = database.store().await;
    let runs: Arc<AtomicUsize> = Arc::default();
    let capsule = Capsule::start(Config::default(), jobs(&runs), &store).await.unwrap();
    let clone = capsule.clone();
    let mut seen = vec![capsule.process()];
    for turn in 1..=3 {
        assert!(capsule.vitals().connected && capsule.pulse().await);
        store.adapter().enqueue(Say("ok".into())).await.unwrap();
        capsule.drained().await;
        assert_eq!(runs.load(Ordering::SeqCst), turn);
        capsule.shutdown(Shutdown::Forever).await;
        nothing_is_left(&store).await;
        assert!(!capsule.vitals().started && clone.is_stopping());
        clone.restart(Shutdown::Forever).await.unwrap();
        eventually("its sessions", Duration::from_secs(10), async || {
            Some(()).filter(|()| capsule.vitals().connected)
        })
        .await;
        assert!(!seen.contains(&capsule.process()));
        seen.push(capsule.process());
    }
    capsule.shutdown(Shutdown::Forever).await;
    store.close().await;
}

/// As in a console: `Setup` is made, jobs are enqueued, and no process row, lock or LISTEN comes of it.
#[tokio::test]
async fn a_process_that_only_enqueues_registers_nothing() {
    let database: Database = crate::database().await;
    let store = database.store().await;
    for mode in [ExecutionMode::External, ExecutionMode::Async] {
        let setup = Setup::new(mode, Config::default(), jobs(&Arc::default()), &store);
        assert!(setup.start(Role::Other).await.unwrap().is_none());
        setup.adapter().enqueue(Say("ok".into())).await.unwrap();
        nothing_is_left(&store).await;
        setup.shutdown(Shutdown::Forever).await;
    }
    let setup =
        Setup::new(ExecutionMode::AsyncAll, Config::default(), jobs(&Arc::default()), &store);
    let capsule = setup.start(Role::Other).await.unwrap().unwrap();
    capsule.drained().await;
    assert_eq!(capsule.pools().iter().map(|pool| pool.succeeded).sum::<u64>(), 2);
    setup.shutdown(Shutdown::Forever).await;
    store.close().await;
}

#[test]
fn what_an_application_holds_may_cross_threads_and_is_cheap_to_clone() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Capsule>();
    shared::<Inline>();
    shared::<Setup>();
    shared::<PgStore>();
    shared::<goodjob_core::Adapter>();
    shared::<goodjob_core::Backend>();
    shared::<goodjob_core::Handlers>();
    shared::<Context<Arc<AtomicUsize>>>();
}
