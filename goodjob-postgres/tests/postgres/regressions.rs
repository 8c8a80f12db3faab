//! What once went wrong under load, under faults and at odd rows, and must not again.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use goodjob_core::{
    Arguments, Backoff, BareContext, Capsule, Claim, Config, ErrorEvent, Fate, Handler, Handlers,
    Inspect, JobError, JobId, JobState, NewJob, Options, Policy, Pools, ProcessRecord,
    QueueSelector, Registry, Retry, Running, Settled, Settlement, Shutdown, Store, StoreError,
    Timestamp, Unhandled, Wanted,
};
use goodjob_postgres::migrate::{self, Indexes};
use goodjob_postgres::{LockStrategy, PgStore, advisory_key};
use goodjob_testkit::{Database, Harness, eventually};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::engine::Echo;
use crate::proxy::Proxy;
use crate::stage::{Stage, lock_session, millis, notify_session, secs};

pub(crate) const CLASS: &str = "WorkJob";

/// One class, done by `run`.
fn handlers<F>(policy: Policy, run: impl Fn(BareContext) -> F + Send + Sync + 'static) -> Handlers
where
    F: Future<Output = goodjob_core::JobResult> + Send + 'static,
{
    let run = move |_: Option<Arguments>, cx: BareContext| Box::pin(run(cx)) as Running;
    let mut handlers = Handlers::default();
    handlers.add(CLASS, Handler { policy, run: Arc::new(run) });
    handlers
}

/// A body that takes about this long.
fn naps(nap: Duration) -> Handlers {
    handlers(Policy::new(), move |_| async move {
        tokio::time::sleep(nap).await;
        Ok(())
    })
}

pub(crate) fn job() -> NewJob {
    NewJob::of_class(CLASS, Arguments::default(), Options::new()).unwrap()
}

fn pools(text: &str) -> Vec<goodjob_core::Pool> {
    text.parse::<Pools>().unwrap().with_default(NonZeroUsize::MIN)
}

/// Waits until every job is over, nobody owns one, and no session of a worker holds a job's lock.
async fn all_is_over(pool: &PgPool) {
    eventually("the end of every job, without owners", secs(25), async || {
        let (open, owned): (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE finished_at IS NULL),
                    count(*) FILTER (WHERE locked_by_id IS NOT NULL) FROM good_jobs",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        let open_attempts: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM good_job_executions WHERE finished_at IS NULL",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        match (open, owned, open_attempts) {
            (0, 0, 0) => Ok(()),
            seen => Err(format!("(open, owned, open attempts) {seen:?}")),
        }
    })
    .await;
    // Well before the session compares its locks with what it should hold: none may be left to find.
    eventually("no lock", secs(5), async || {
        let locks: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND a.datname = current_database()
               AND a.application_name LIKE 'goodjob lock%'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        if locks == 0 { Ok(()) } else { Err(format!("{locks} locks without a job")) }
    })
    .await;
}

/// The lock was kept by the job: that of an attempt claimed before the last one was unlocked was lost
/// sight of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_retry_at_once_under_several_pools_leave_no_lock_behind() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&attempts);
    let handlers = handlers(Policy::new(), move |_| {
        let succeeds = count.fetch_add(1, Ordering::Relaxed) % 4 == 3;
        async move { if succeeds { Ok(()) } else { Err("again".into()) } }
    });
    let worker = Harness::start_with(&database, handlers, |config, _| {
        config.unhandled = Unhandled::RetryAtOnce;
        config.pools = pools("*:10;-a:10;-b:10");
        config.poll_interval = Some(secs(1));
    })
    .await;
    worker.adapter().enqueue_all((0..400).map(|_| job())).await.unwrap();
    all_is_over(&pool).await;
    let counted: i64 = sqlx::query_scalar("SELECT sum(executions_count) FROM good_jobs")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(usize::try_from(counted).unwrap(), attempts.load(Ordering::Relaxed));
    worker.stop().await;
    pool.close().await;
}

/// Does `fault` again and again while jobs run.
async fn under(every: Duration, times: usize, mut fault: impl AsyncFnMut()) {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..times {
        pace.tick().await;
        fault().await;
    }
}

async fn succeeded(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM good_jobs WHERE finished_at IS NOT NULL AND error IS NULL",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// A claim or an end that was committed while its answer was lost left a job that nobody ran and
/// nobody freed, or an owner on a finished row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_again_and_again_leave_no_job_owned_and_no_lock() {
    const JOBS: usize = 1_500;
    let database = crate::database().await;
    let pool = database.pool().await;
    let proxy = Proxy::to(&database).await;
    let worker = Harness::start_with(&database, naps(millis(5)), |config, options| {
        config.pools = pools("*:12;-a:12");
        config.poll_interval = Some(millis(500));
        *options = proxy.options();
    })
    .await;
    let near = database.store().await;
    near.adapter().enqueue_all((0..JOBS).map(|_| job())).await.unwrap();
    eventually("the first success", secs(10), async || match succeeded(&pool).await {
        0 => Err("none"),
        _ => Ok(()),
    })
    .await;
    under(millis(90), 25, async || proxy.cut()).await;
    all_is_over(&pool).await;
    assert_eq!(succeeded(&pool).await, 1_500);
    worker.stop().await;
    near.close().await;
    pool.close().await;
}

/// What the server does not notice keeps its locks, and what the worker does not notice keeps its place
/// in the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fall_silent_are_replaced_and_cost_no_job() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let proxy = Proxy::to(&database).await;
    let worker = Harness::start_with(&database, naps(millis(500)), |config, options| {
        config.pools = pools("*:8");
        config.poll_interval = Some(millis(500));
        config.heartbeat = millis(500);
        *options = proxy.options();
        options.pool_size = 2;
    })
    .await;
    let near = database.store().await;
    near.adapter().enqueue_all((0..24).map(|_| job())).await.unwrap();
    until_running(&pool, 8).await;
    let begun = Instant::now();
    proxy.fall_silent();
    all_is_over(&pool).await;
    println!("connections fell silent under 24 jobs: all over after {:?}", begun.elapsed());
    assert_eq!(succeeded(&pool).await, 24);
    worker.stop().await;
    near.close().await;
    pool.close().await;
}

/// Attempts that ended while the session that held their locks was replaced were owned again after
/// their end, or locked for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_session_that_ends_again_and_again_under_load_owns_nothing_afterwards() {
    const JOBS: usize = 3_000;
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, naps(millis(1)), |config, _| {
        config.pools = pools("*:12;-a:12");
        config.poll_interval = Some(millis(500));
    })
    .await;
    let session = lock_session(worker.capsule().process());
    worker.adapter().enqueue_all((0..JOBS).map(|_| job())).await.unwrap();
    let mut ended = 0;
    under(millis(80), 25, async || ended += stage.terminate(&session).await).await;
    assert!(ended > 5, "{ended}");
    all_is_over(&stage.pool).await;
    assert_eq!(succeeded(&stage.pool).await, 3_000);
    worker.stop().await;
    stage.close().await;
}

/// One row that could not be read took the whole batch with it, whose jobs were owned and not run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_can_hardly_be_read_do_not_harm_their_neighbours_in_the_batch() {
    let database = crate::database().await;
    let store = database.store().await;
    let mut ids = Vec::new();
    for change in [
        "labels = '{NULL,a,NULL}'",
        "labels = '{{a,b},{c,d}}'",
        "executions_count = 2147483647",
        "executions_count = -2147483648",
        "performed_at = '-infinity'",
        "performed_at = 'infinity'",
        "priority = 2147483647, error = 'of before', error_event = -32768",
        "scheduled_at = '-infinity', created_at = '-infinity'",
        "created_at = 'infinity', updated_at = 'infinity'",
        "serialized_params = serialized_params
           || ('{\"x\":' || repeat('[', 500) || repeat(']', 500) || '}')::jsonb",
        "serialized_params = serialized_params || '{\"x\": 1e400}'",
        "serialized_params = serialized_params || '{\"x\": -1e400}'",
    ] {
        let neighbour = store.adapter().enqueue(Echo { text: "beside".into() }).await.unwrap();
        let id = store.adapter().enqueue(Echo { text: "odd".into() }).await.unwrap();
        let statement = format!("UPDATE good_jobs SET {change} WHERE id = $1");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(id.as_uuid())
            .execute(store.pool())
            .await
            .unwrap();
        ids.push((neighbour, id, change));
    }
    let never = store.adapter().enqueue(Echo { text: "never".into() }).await.unwrap();
    sqlx::query("UPDATE good_jobs SET scheduled_at = 'infinity' WHERE id = $1")
        .bind(never.as_uuid())
        .execute(store.pool())
        .await
        .unwrap();
    let worker =
        Harness::start_with(&database, Registry::default().register::<Echo>(), |config, _| {
            // All in one batch.
            config.pools = pools("*:20");
            config.poll_interval = Some(secs(1));
        })
        .await;
    for (neighbour, id, change) in ids {
        let job = worker.finished(neighbour).await;
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "beside {change}");
        let job = worker.finished(id).await;
        if change.contains("params") {
            // What cannot be read at all is read as no arguments, and says so.
            assert_eq!(job.error_event, Some(ErrorEvent::Discarded), "{change}: {job:?}");
            assert!(job.error.unwrap().starts_with("ArgumentsError: "), "{change}");
        } else {
            assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{change}: {job:?}");
        }
        let starts = match change {
            "executions_count = 2147483647" => i32::MAX,
            "executions_count = -2147483648" => i32::MIN + 1,
            _ => 1,
        };
        assert_eq!(job.executions_count, starts, "{change}");
        for attempt in worker.attempts(id).await {
            let vanished = change.starts_with("performed_at") && attempt.process.is_none();
            assert_eq!(attempt.error_event == Some(ErrorEvent::Interrupted), vanished, "{change}");
            let waited = attempt.started_at - attempt.scheduled_at.unwrap();
            assert!(waited.num_days() < 1, "{change}: {attempt:?}");
        }
    }
    let on = worker.enqueue(Echo { text: "on".into() }).await;
    assert_eq!(worker.finished(on).await.state(Timestamp::MAX_UTC), JobState::Succeeded);
    let job = worker.job(never).await;
    assert_eq!((job.executions_count, job.finished_at), (0, None));
    worker.stop().await;
    store.close().await;
}

/// A worker whose jobs end when they get a permit.
async fn gated(database: &Database, gate: &Arc<Semaphore>) -> Harness {
    let gate = Arc::clone(gate);
    let handlers = handlers(Policy::new(), move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await?.forget();
            Ok(())
        }
    });
    Harness::start_with(database, handlers, |config, _| config.cancel_grace = millis(100)).await
}

async fn until_running(pool: &PgPool, expected: i64) {
    eventually("running jobs", secs(10), async || {
        let running: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM good_jobs WHERE performed_at IS NOT NULL AND finished_at IS NULL",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        if running == expected { Ok(()) } else { Err(format!("{running} of {expected}")) }
    })
    .await;
}

/// The settlement waited for the row's lock, and everything else waited for the settlement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_another_has_locked_holds_up_no_other_outcome() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let gate = Arc::new(Semaphore::new(0));
    let worker = gated(&database, &gate).await;
    let ids: Vec<_> = worker
        .adapter()
        .enqueue_all((0..4).map(|_| job()))
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.id())
        .collect();
    until_running(&pool, 4).await;
    let mut psql = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM good_jobs WHERE id = $1 FOR UPDATE")
        .bind(ids[1].as_uuid())
        .execute(&mut *psql)
        .await
        .unwrap();
    gate.add_permits(4);
    let (begun, others) = (Instant::now(), [ids[0], ids[2], ids[3]]);
    worker.all_finished(&others).await;
    assert!(begun.elapsed() < secs(4), "others were held up for {:?}", begun.elapsed());
    // One that begins only now is not held up, either.
    gate.add_permits(1);
    let later: Vec<_> = worker
        .adapter()
        .enqueue_all([job()])
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.id())
        .collect();
    worker.all_finished(&later).await;
    let held = worker.job(ids[1]).await;
    assert_eq!((held.finished_at, held.locked_by), (None, Some(worker.capsule().process())));

    psql.rollback().await.unwrap();
    let job = worker.finished(ids[1]).await;
    assert_eq!(
        (job.state(Timestamp::MAX_UTC), job.executions_count),
        (JobState::Succeeded, 1),
        "{job:?}"
    );
    all_is_over(&pool).await;
    worker.stop().await;
    pool.close().await;
}

/// The outcome is tried to be written for a while, not for ever; nor does leaving wait for the row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_stays_locked_by_another_does_not_keep_a_worker_from_ending() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let gate = Arc::new(Semaphore::new(0));
    let worker = gated(&database, &gate).await;
    let ids: Vec<_> = worker
        .adapter()
        .enqueue_all((0..2).map(|_| job()))
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.id())
        .collect();
    until_running(&pool, 2).await;
    let mut psql = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM good_jobs WHERE id = $1 FOR UPDATE")
        .bind(ids[0].as_uuid())
        .execute(&mut *psql)
        .await
        .unwrap();
    let begun = Instant::now();
    let drained = worker.stop_with(Shutdown::Now).await;
    println!("ended beside a locked row after {:?}", begun.elapsed());
    assert_eq!(drained.cut_off.len(), 2);
    assert!(begun.elapsed() < secs(9), "{:?}", begun.elapsed());
    let free: Vec<JobId> = sqlx::query_scalar(
        "SELECT id FROM good_jobs WHERE performed_at IS NULL AND locked_by_id IS NULL",
    )
    .fetch_all(&pool)
    .await
    .unwrap()
    .into_iter()
    .map(|id: uuid::Uuid| id.into())
    .collect();
    assert_eq!(free, [ids[1]], "the other job was put back");
    psql.rollback().await.unwrap();
    pool.close().await;
}

pub(crate) async fn beating(database: &Database) -> (PgStore, ProcessRecord) {
    let (store, process) = (database.store().await, ProcessRecord::new("test"));
    store.beat(&process).await.unwrap();
    (store, process)
}

pub(crate) async fn claim(store: &PgStore) -> Claim {
    let wanted = Wanted { queues: QueueSelector::All, classes: vec![CLASS.to_owned()] };
    // The sessions of a process that has only just begun may still be opening.
    eventually("a claim", secs(10), async || match store.claim(&wanted, 1).await {
        Ok(mut claims) => claims.taken.pop().ok_or_else(|| "nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await
}

/// As a clean-up does that takes the owner for dead.
pub(crate) async fn take_from_owner(pool: &PgPool) {
    sqlx::raw_sql(
        "UPDATE good_jobs SET locked_by_id = NULL, locked_at = NULL, lock_type = NULL
         WHERE finished_at IS NULL",
    )
    .execute(pool)
    .await
    .unwrap();
}

pub(crate) fn ended(fate: Fate) -> Settlement {
    Settlement { job: fate, keep: true, duration: millis(3) }
}

/// What belonged to one of them was written for the other, since they were joined by their job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_attempts_at_one_job_that_end_in_one_batch_are_told_apart() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let (store, process) = beating(&database).await;
    // One that holds no locks, so that its job can be taken; a process does not take its own.
    let mut options = database.options();
    options.lock_strategy = LockStrategy::SkipLocked;
    let (lockless, earlier) =
        (PgStore::connect(options).await.unwrap(), ProcessRecord::new("earlier"));
    lockless.beat(&earlier).await.unwrap();
    for first_is_first in [true, false] {
        let id = job();
        store.insert(std::slice::from_ref(&id)).await.unwrap();
        let fenced = claim(&lockless).await;
        take_from_owner(&stage.pool).await;
        let current = claim(&store).await;
        assert_eq!(current.token.job, fenced.token.job);
        let error = JobError::from("too late").note(ErrorEvent::Discarded);
        let mut batch = vec![
            (fenced.token, ended(Fate::Discard { error })),
            (current.token, ended(Fate::Succeed)),
        ];
        let mut answers = [Settled::Fenced, Settled::Written];
        if !first_is_first {
            batch.reverse();
            answers.reverse();
        }
        assert_eq!(store.settle(&batch).await.unwrap(), answers);
        assert_eq!(store.settle(&batch).await.unwrap(), answers, "and told again");
        let job = store.job(fenced.token.job).await.unwrap().unwrap();
        assert_eq!(
            (job.state(Timestamp::MAX_UTC), job.error, job.locked_by),
            (JobState::Succeeded, None, None)
        );
        let attempts = store.executions(job.id).await.unwrap();
        let events: Vec<_> = attempts.iter().map(|attempt| attempt.error_event).collect();
        assert_eq!(events, [Some(ErrorEvent::Interrupted), None], "{attempts:?}");
        stage.until_locks(&lock_session(process.id), 0).await;
    }
    for (store, process) in [(store, process), (lockless, earlier)] {
        store.leave(&process).await.unwrap();
        store.close().await;
    }
    stage.close().await;
}

async fn start(store: &PgStore) -> Result<Capsule, StoreError> {
    let config = Config { poll_interval: Some(secs(1)), ..Config::default() };
    Capsule::start(config, naps(millis(1)), store).await
}

async fn works(store: &PgStore) {
    let capsule = start(store).await.unwrap();
    let id = job();
    store.insert(std::slice::from_ref(&id)).await.unwrap();
    eventually("the end of a job", secs(10), async || {
        store.job(id.id).await.ok().flatten().and_then(|job| job.finished_at)
    })
    .await;
    capsule.shutdown(Shutdown::Forever).await;
}

/// The store took itself for the first start's process for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_failed_since_nobody_listened_can_be_repeated_on_the_same_store() {
    let database = crate::database().await;
    let (port, options) = Proxy::free_port(&database).await;
    let store = PgStore::lazy(options);
    for _ in 0..2 {
        let error = start(&store).await.map(drop).unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    let proxy = Proxy::at(&database, port).await;
    works(&store).await;
    store.close().await;
    drop(proxy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_failed_for_want_of_tables_can_be_repeated_on_the_same_store() {
    let database = Database::empty().await;
    let store = PgStore::lazy(database.options());
    for _ in 0..2 {
        let error = start(&store).await.map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Unfit(_)), "{error}");
        assert!(error.to_string().contains("good_job_processes"), "{error}");
    }
    migrate::run(store.pool(), Indexes::Lean).await.unwrap();
    works(&store).await;
    store.close().await;
}

/// The lock was asked for once, while the session before still held it; without it and without jobs
/// the process was dead in the eyes of its peers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_process_whose_notify_session_was_replaced_takes_its_lock_again() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, naps(millis(1)), |config, _| {
        config.heartbeat = millis(300);
    })
    .await;
    let process = worker.capsule().process();
    let session = notify_session(process);
    stage.until_locks(&session, 1).await;
    // The next in the queue for the lock: it has it before any successor of the session asks.
    let mut next = stage.pool.acquire().await.unwrap();
    let key = advisory_key(&format!("good_job_processes-{process}"));
    let waiting = tokio::spawn(async move {
        sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut *next).await.unwrap();
        next
    });
    eventually("a session that waits for the lock", secs(5), async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND NOT l.granted AND a.datname = current_database()",
        )
        .fetch_one(&stage.pool)
        .await
        .unwrap();
        (waiting == 1).then_some(())
    })
    .await;
    let before = stage.pid(&session).await;
    assert_eq!(stage.terminate(&session).await, 1);
    let mut next = waiting.await.unwrap();
    eventually("another session that listens", secs(10), async || {
        let after: Option<i32> = sqlx::query_scalar(
            "SELECT a.pid FROM pg_stat_activity a, good_job_processes p
             WHERE a.application_name = $1 AND a.datname = current_database()
               AND p.updated_at > a.backend_start AND a.query NOT LIKE 'LISTEN%'",
        )
        .bind(&session)
        .fetch_optional(&stage.pool)
        .await
        .unwrap();
        after.filter(|after| Some(*after) != before)
    })
    .await;
    assert_eq!(stage.locks(&session).await, 0, "somebody else has it");
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(&mut *next).await.unwrap();
    drop(next);
    stage.until_locks(&session, 1).await;
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes WHERE id = $1")
        .bind(process.as_uuid())
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(known, 1);
    worker.stop().await;
    stage.close().await;
}

/// A notice has to be shorter than 8,000 bytes; one that was not failed the statement around it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_in_a_queue_with_a_very_long_name_is_stored_done_retried_and_freed() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&attempts);
    let twice =
        Policy::new().retry_on_any(Retry::attempts(2).wait(Backoff::Constant(Duration::ZERO)));
    let handlers = handlers(twice, move |_| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { Err("once more".into()) } else { Ok(()) } }
    });
    let worker = Harness::start_with(&database, handlers, |config, _| {
        config.heartbeat = millis(300);
        config.poll_interval = Some(millis(300));
    })
    .await;
    let named = || NewJob { queue: "q".repeat(9_000), ..job() };
    let retried = worker.adapter().enqueue_all([named()]).await.unwrap()[0].id();
    let job = worker.finished(retried).await;
    assert_eq!(
        (job.state(Timestamp::MAX_UTC), job.executions_count),
        (JobState::Succeeded, 2),
        "{:?}",
        job.error
    );

    // Owned by a process whose lock is gone.
    let orphan = named();
    let mut tx = pool.begin().await.unwrap();
    worker.store().insert(std::slice::from_ref(&orphan)).await.unwrap();
    sqlx::query(
        "WITH dead AS (
           INSERT INTO good_job_processes (id, created_at, updated_at, state, lock_type)
           VALUES (gen_random_uuid(), now(), now(), '{}', 0) RETURNING id
         ) UPDATE good_jobs SET performed_at = now(), executions_count = 1, finished_at = NULL,
             locked_by_id = dead.id, locked_at = now(), lock_type = 2
           FROM dead WHERE good_jobs.id = $1",
    )
    .bind(orphan.id.as_uuid())
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let job = worker.finished(orphan.id).await;
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{:?}", job.error);
    let processes: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(processes, 1);
    worker.stop().await;
    pool.close().await;
}

/// A job that somebody had locked in that moment was left to a look that is taken once a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_job_of_a_dead_process_is_freed_soon_after_its_lock() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let near = database.store().await;
    let ids: Vec<JobId> = near
        .adapter()
        .enqueue_all((0..2).map(|_| job()))
        .await
        .unwrap()
        .iter()
        .map(|stored| stored.id())
        .collect();
    sqlx::raw_sql(
        "INSERT INTO good_job_processes (id, created_at, updated_at, state)
         VALUES ('00000000-0000-4000-8000-00000000dead', now() - interval '1 day', now() - interval '1 day', '{}');
         UPDATE good_jobs SET locked_by_id = '00000000-0000-4000-8000-00000000dead', locked_at = now(),
           performed_at = now(), executions_count = 1",
    )
    .execute(&stage.pool)
    .await
    .unwrap();
    let mut somebody = stage.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM good_jobs WHERE id = $1 FOR UPDATE")
        .bind(ids[0].as_uuid())
        .execute(&mut *somebody)
        .await
        .unwrap();
    let worker = Harness::start_with(&database, naps(millis(1)), |config, _| {
        config.heartbeat = millis(300);
    })
    .await;
    worker.finished(ids[1]).await;
    let dead =
        "SELECT count(*) FROM good_job_processes WHERE id = '00000000-0000-4000-8000-00000000dead'";
    let count: i64 = sqlx::query_scalar(dead).fetch_one(&stage.pool).await.unwrap();
    assert_eq!(count, 1, "it is looked at again");
    somebody.rollback().await.unwrap();
    let begun = Instant::now();
    worker.finished(ids[0]).await;
    println!("freed and done {:?} after its lock", begun.elapsed());
    eventually("the dead process is gone", secs(10), async || {
        let count: i64 = sqlx::query_scalar(dead).fetch_one(&stage.pool).await.unwrap();
        (count == 0).then_some(())
    })
    .await;
    worker.stop().await;
    near.close().await;
    stage.close().await;
}
