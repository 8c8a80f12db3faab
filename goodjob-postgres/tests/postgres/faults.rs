//! Sessions that die under a worker, and rows that others change under it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use goodjob_core::{
    Arguments, BareContext, Due, Handler, Handlers, JobId, JobState, NewJob, Options, Policy,
    ProcessId, Running, Timestamp,
};
use goodjob_testkit::{Database, Harness, eventually};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::stage::{Nap, Stage, lock_session, millis, notify_session, secs};

async fn worker(database: &Database, stage: &Stage, slots: usize) -> Harness {
    Harness::start_with(database, stage.naps(), |config, _| {
        config.pools[0].max_threads = NonZeroUsize::new(slots).unwrap();
        config.heartbeat = millis(500);
    })
    .await
}

/// Each has one attempt, which succeeded, and one run.
async fn assert_ran_once(worker: &Harness, stage: &Stage, ids: &[JobId]) {
    for job in worker.all_finished(ids).await {
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{job:?}");
        assert_eq!(job.executions_count, 1, "{job:?}");
        let attempts = worker.attempts(job.id).await;
        assert!(attempts.len() == 1 && attempts[0].error.is_none(), "{attempts:?}");
        assert!(attempts[0].finished_at.is_some(), "{attempts:?}");
        assert_eq!(stage.runs.of(job.id).await, 1, "{job:?}");
    }
    assert_eq!(stage.cancelled(), 0);
}

async fn running_jobs_survive(sessions: impl Fn(ProcessId) -> Vec<String>) {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = worker(&database, &stage, 8).await;
    let process = worker.capsule().process();
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(worker.enqueue(Nap { millis: 6_000 }).await);
    }
    stage.starts(8).await;
    let (lock, notify) = (lock_session(process), notify_session(process));
    assert_eq!(stage.locks(&lock).await, 8);
    let before = stage.pid(&lock).await;

    for session in sessions(process) {
        assert_eq!(stage.terminate(&session).await, 1);
    }
    let ended = Instant::now();
    eventually("another lock session", secs(5), async || match stage.pid(&lock).await {
        Some(pid) if Some(pid) != before => Ok(()),
        seen => Err(format!("{seen:?}")),
    })
    .await;
    stage.until_locks(&lock, 8).await;
    stage.until_locks(&notify, 1).await;
    let again = ended.elapsed();
    println!(
        "sessions {:?} ended: all 8 attempts confirmed again after {again:?}",
        sessions(process)
    );
    assert!(again < secs(2), "{again:?}");

    assert_ran_once(&worker, &stage, &ids).await;
    worker.stop().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_jobs_survive_the_end_of_the_lock_session() {
    running_jobs_survive(|process| vec![lock_session(process)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_jobs_survive_the_end_of_both_sessions() {
    running_jobs_survive(|process| vec![lock_session(process), notify_session(process)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_end_again_and_again_cost_no_job_and_no_second_run() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = worker(&database, &stage, 8).await;
    let other = self::worker(&database, &stage, 8).await;
    let nap = |n: u64| NewJob::new(&Nap { millis: 40 + n * 7 % 60 }).unwrap();
    let ids: Vec<_> = worker
        .adapter()
        .enqueue_all((0..400).map(nap))
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.id())
        .collect();

    let mut pace = interval(millis(150));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut kills, mut turn) = (0, 0);
    let mut done = Box::pin(worker.all_finished(&ids));
    loop {
        tokio::select! {
            _ = &mut done => break,
            _ = pace.tick() => {
                let victim = [&worker, &other][turn % 2].capsule().process();
                let session = [lock_session(victim), notify_session(victim)];
                // The lock session three times of four.
                kills += stage.terminate(&session[usize::from(turn % 8 >= 6)]).await;
                turn += 1;
            }
        }
    }
    drop(done);
    println!("400 jobs while {kills} sessions were ended");
    assert!(kills > 5, "{kills}");
    assert_eq!(stage.runs.overlaps().await, []);
    assert_ran_once(&worker, &stage, &ids).await;
    other.stop().await;
    worker.stop().await;
    stage.close().await;
}

/// What a claim leaves that was committed, but whose answer was lost with the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_was_lost_is_given_back() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = worker(&database, &stage, 2).await;
    let process = worker.capsule().process();
    let running = worker.enqueue(Nap { millis: 2_000 }).await;
    stage.start().await;
    let mut job = NewJob::new(&Nap { millis: 0 }).unwrap();
    job.due = Due::In(secs(3_600));
    worker.adapter().enqueue_all([job.clone()]).await.unwrap();
    sqlx::query(
        "WITH job AS (
           UPDATE good_jobs SET scheduled_at = now(), performed_at = now(), executions_count = 1,
             locked_by_id = $2, locked_at = now(), lock_type = 2 WHERE id = $1 RETURNING *
         ) INSERT INTO good_job_executions (created_at, updated_at, active_job_id, job_class, queue_name, process_id)
           SELECT now(), now(), id, job_class, queue_name, $2 FROM job",
    )
    .bind(job.id.as_uuid())
    .bind(process.as_uuid())
    .execute(&stage.pool)
    .await
    .unwrap();
    stage.terminate(&lock_session(process)).await;
    assert_ran_once(&worker, &stage, &[job.id, running]).await;
    worker.stop().await;
    stage.close().await;
}

/// A Ruby host whose clock is ahead takes this process for dead and cleans up behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_taken_for_dead_has_its_row_and_its_jobs_again() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = worker(&database, &stage, 2).await;
    let other = self::worker(&database, &stage, 2).await;
    let process = worker.capsule().process();
    let mut ids = vec![worker.enqueue(Nap { millis: 6_000 }).await];
    ids.push(worker.enqueue(Nap { millis: 6_000 }).await);
    stage.starts(2).await;
    let owners =
        "SELECT array_agg(locked_by_id ORDER BY id) FROM good_jobs WHERE finished_at IS NULL";
    let before: Vec<Option<uuid::Uuid>> =
        sqlx::query_scalar(owners).fetch_one(&stage.pool).await.unwrap();

    sqlx::raw_sql(
        "DELETE FROM good_job_processes;
         UPDATE good_jobs SET locked_by_id = NULL, locked_at = NULL, lock_type = NULL",
    )
    .execute(&stage.pool)
    .await
    .unwrap();
    let cleaned = Instant::now();
    eventually("the owners", secs(5), async || {
        let now: Vec<Option<uuid::Uuid>> =
            sqlx::query_scalar(owners).fetch_one(&stage.pool).await.unwrap();
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes WHERE id = $1")
            .bind(process.as_uuid())
            .fetch_one(&stage.pool)
            .await
            .unwrap();
        if now == before && rows == 1 { Ok(()) } else { Err(format!("{now:?}, {rows} rows")) }
    })
    .await;
    println!("row and jobs taken away by a clean-up: back after {:?}", cleaned.elapsed());
    assert_ran_once(&worker, &stage, &ids).await;
    assert_eq!(stage.runs.overlaps().await, []);
    other.stop().await;
    worker.stop().await;
    stage.close().await;
}

/// Jobs that block every thread of the application's runtime for longer than a heartbeat.
#[test]
fn a_runtime_whose_threads_are_all_blocked_costs_neither_locks_nor_heartbeats() {
    const BLOCKED: Duration = secs(13);
    let runtime = |threads| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).enable_all().build().unwrap()
    };
    let (watcher, application) = (runtime(1), runtime(2));
    let database = watcher.block_on(crate::database());
    let stage = watcher.block_on(Stage::on(&database));
    let (blocking, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut handlers = Handlers::default();
    let (begun, release) = (Arc::clone(&blocking), Arc::clone(&over));
    let run = move |_: Option<Arguments>, _: BareContext| {
        let (begun, release) = (Arc::clone(&begun), Arc::clone(&release));
        Box::pin(async move {
            begun.fetch_add(1, Ordering::SeqCst);
            while !release.load(Ordering::SeqCst) {
                std::thread::sleep(millis(10));
            }
            Ok(())
        }) as Running
    };
    handlers.add("BlockJob", Handler { policy: Policy::new(), run: Arc::new(run) });

    let longest_gap = std::thread::scope(|scope| {
        let database = &database;
        scope.spawn(move || {
            application.block_on(async {
                let worker = Harness::start(database, handlers).await;
                let block = || NewJob::of_class("BlockJob", Arguments::default(), Options::new());
                let jobs = (0..4).map(|_| block().unwrap());
                let ids: Vec<_> = worker
                    .adapter()
                    .enqueue_all(jobs)
                    .await
                    .unwrap()
                    .into_iter()
                    .map(|job| job.id())
                    .collect();
                worker.all_finished(&ids).await;
                worker.stop().await;
            });
        });
        // Also when the watch fails, lest this waits for blocked threads for ever.
        let _over = Over(&over);
        watcher.block_on(watch(&stage, &blocking, BLOCKED))
    });
    println!("all threads blocked for {BLOCKED:?}: longest gap between beats {longest_gap:.1} s");
    assert!(longest_gap < 12.5, "{longest_gap}");
    watcher.block_on(stage.close());
}

/// Sets the flag when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The longest time between heartbeats while both threads are blocked; the locks stay all the time.
async fn watch(stage: &Stage, blocking: &AtomicUsize, over: Duration) -> f64 {
    eventually("two blocked threads", secs(10), async || match blocking.load(Ordering::SeqCst) {
        2.. => Ok(()),
        fewer => Err(format!("{fewer}")),
    })
    .await;
    let (begun, mut longest) = (Instant::now(), 0.0f64);
    let mut looks = interval(millis(200));
    while begun.elapsed() < over {
        looks.tick().await;
        let (gap, locks): (f64, i64) = sqlx::query_as(
            "SELECT (SELECT extract(epoch FROM now() - min(updated_at))::float8 FROM good_job_processes),
                    (SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                     WHERE l.locktype = 'advisory' AND a.datname = current_database())",
        )
        .fetch_one(&stage.pool)
        .await
        .unwrap();
        longest = longest.max(gap);
        assert_eq!(locks, 5, "four jobs and the process, after {:?}", begun.elapsed());
    }
    longest
}
