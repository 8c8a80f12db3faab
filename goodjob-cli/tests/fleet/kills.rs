//! Workers that are killed at random while they work.

use std::time::Duration;

use goodjob_core::{JobId, NewJob};
use goodjob_testkit::{Database, Runs, eventually};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

use crate::worker::{Blink, Kind, Nap, Stay, Worker};

/// What must be true of every job after all of them are finished, whoever was killed meanwhile.
const STORY: &str = "
WITH attempts AS (
  SELECT active_job_id AS job, count(*) AS attempts,
         count(*) FILTER (WHERE error_event = 0 AND error LIKE '%Interrupted after%') AS interrupted,
         count(*) FILTER (WHERE error IS NULL AND finished_at IS NOT NULL) AS succeeded
  FROM good_job_executions GROUP BY 1
), ran AS (SELECT job, count(*) AS runs FROM runs GROUP BY 1)
SELECT (SELECT count(*) FROM good_jobs WHERE finished_at IS NOT NULL AND error IS NULL),
       count(*) FILTER (WHERE succeeded <> 1 OR attempts <> interrupted + 1),
       count(*) FILTER (WHERE runs > attempts),
       sum(interrupted)::bigint
FROM attempts JOIN ran USING (job)";

/// Seconds from each death to the next start of the jobs that it cut off, in order.
const RECOVERY: &str = "
SELECT extract(epoch FROM (SELECT min(started_at) FROM runs n WHERE n.job = r.job AND n.id > r.id) - d.at)::float8
FROM runs r JOIN deaths d ON d.pid = r.pid
WHERE r.ended_at IS NULL ORDER BY 1";

/// Jobs that were started again later than that, with all their starts and attempts.
const LATE: &str = "
SELECT r.job || ', cut off in ' || r.pid || ', which died at ' || d.at || '; runs: ' ||
       (SELECT string_agg(concat_ws(' ', n.pid, n.started_at, n.ended_at), ', ' ORDER BY n.id)
        FROM runs n WHERE n.job = r.job) || '; attempts: ' ||
       (SELECT string_agg(concat_ws(' ', x.process_id, x.created_at, x.finished_at, x.error), ', ' ORDER BY x.created_at)
        FROM good_job_executions x WHERE x.active_job_id = r.job)
FROM runs r JOIN deaths d ON d.pid = r.pid
WHERE r.ended_at IS NULL
  AND (SELECT min(started_at) FROM runs n WHERE n.job = r.job AND n.id > r.id) - d.at > interval '13 s'";

/// Kills at random may hit one job three times in a row, and such a job is discarded by default, as documented.
/// What is asked here is whether a job is lost, so nobody counts.
const UNCOUNTED: &str = "--max-interruptions 0";

/// How many kills there are in the place of a few, for a run of its own.
const KILLS: &str = "GOODJOB_KILLS";
/// Jobs that are done between two kills at most.
const BETWEEN_KILLS: usize = 250;

async fn survive(kind: Kind, strategy: &str, jobs: usize, kills: usize) {
    let asked = std::env::var(KILLS).ok().map(|kills| kills.parse().expect("a number of kills"));
    let (jobs, kills) = match asked {
        Some(kills) => (jobs.max(kills * BETWEEN_KILLS), kills),
        None => (jobs, kills),
    };
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let args = format!("start --max-threads 10 --lock-strategy {strategy} {UNCOUNTED}");
    let start = async || Worker::ready_as(kind, &args, &database.url()).await;
    let mut workers = [start().await, start().await];

    let naps: Vec<NewJob> = (0..jobs)
        .map(|_| NewJob::new(&Nap { millis: random.random_range(10..110) }).unwrap())
        .collect();
    for naps in naps.chunks(1_000) {
        store.adapter().enqueue_all(naps.to_vec()).await.unwrap();
    }
    for _ in 0..kills {
        // Not a wait for something: the moment of a kill is anybody's guess.
        tokio::time::sleep(Duration::from_millis(random.random_range(300..1_500))).await;
        let victim = random.random_range(0..2usize);
        let fresh = Worker::start_as(kind, &args, &database.url());
        std::mem::replace(&mut workers[victim], fresh).kill(&runs).await;
        workers[victim].until("is ready").await;
    }
    eventually("the end of all jobs", Duration::from_secs(120), async || {
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM good_jobs WHERE finished_at IS NULL")
                .fetch_one(store.pool())
                .await
                .unwrap();
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;
    for worker in &mut workers {
        worker.signal(Signal::TERM);
        let (code, log) = worker.end().await;
        assert_eq!(code, Some(0), "{log}");
    }

    let (completed, odd, unexplained, interrupted): (i64, i64, i64, i64) =
        sqlx::query_as(STORY).fetch_one(store.pool()).await.unwrap();
    let recovery: Vec<Option<f64>> =
        sqlx::query_scalar(RECOVERY).fetch_all(store.pool()).await.unwrap();
    let recovery: Vec<f64> = recovery.into_iter().map(|time| time.expect("a second run")).collect();
    let at = |share: f64| recovery.get((recovery.len() as f64 * share) as usize).copied();
    println!(
        "{kind:?}, {strategy}, seed {seed}: {jobs} jobs, {kills} kills, {interrupted} attempts interrupted; \
         recovery of {} runs cut off: p50 {:.2?} s, p99 {:.2?} s, max {:.2?} s",
        recovery.len(),
        at(0.5),
        at(0.99),
        recovery.last()
    );
    assert_eq!(completed, i64::try_from(jobs).unwrap(), "jobs completed");
    assert_eq!((odd, unexplained), (0, 0), "each job: one success, else interruptions");
    assert_eq!(runs.overlaps().await, Vec::<(JobId, i32, i32)>::new());
    assert!(interrupted > 0 && !recovery.is_empty(), "the kills met nobody at work");
    if recovery.last().is_none_or(|longest| *longest >= 13.0) {
        let stories: Vec<String> = sqlx::query_scalar(LATE).fetch_all(store.pool()).await.unwrap();
        panic!("the longest recovery was {:?}: {stories:#?}", recovery.last());
    }
    let processes: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(processes, 0, "the dead are cleared away");
    runs.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_jobs_survive_ten_kills() {
    survive(Kind::Worker, "hybrid", 5_000, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_survive_kills_under_advisory_locks_alone() {
    survive(Kind::Worker, "advisory", 600, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_survive_kills_under_row_locks_alone() {
    survive(Kind::Worker, "skiplocked", 600, 3).await;
}

/// Jobs that ended well; those whose attempts are not as many as were counted, or not one success and else
/// interruptions; and the interruptions.
const BLINKS: &str = "
SELECT count(*) FILTER (WHERE j.finished_at IS NOT NULL AND j.error IS NULL),
       count(*) FILTER (WHERE e.attempts <> j.executions_count OR e.succeeded <> 1
                              OR e.attempts <> e.interrupted + 1),
       sum(e.interrupted)::bigint
FROM good_jobs j LEFT JOIN LATERAL (
  SELECT count(*) AS attempts,
         count(*) FILTER (WHERE error_event = 0 AND error LIKE '%Interrupted after%') AS interrupted,
         count(*) FILTER (WHERE error IS NULL AND finished_at IS NOT NULL) AS succeeded
  FROM good_job_executions x WHERE x.active_job_id = j.id) AS e ON true";

/// Hundreds of jobs are claimed, read ahead, performed and not yet written down when the process dies: claims
/// have written no execution yet, and outcomes come in groups.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_claim_and_end_at_full_speed_loses_no_job() {
    const JOBS: i64 = 12_000;
    const KILLS: i64 = 5;
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let blinks = (0..JOBS).map(|_| NewJob::new(&Blink {}).unwrap());
    store.adapter().enqueue_all(blinks).await.unwrap();
    let finished = async |least: i64| {
        eventually("jobs that are finished", Duration::from_secs(120), async || {
            let count = "SELECT count(*) FROM good_jobs WHERE finished_at IS NOT NULL";
            let finished: i64 = sqlx::query_scalar(count).fetch_one(store.pool()).await.unwrap();
            if finished >= least { Ok(()) } else { Err(format!("{finished} of {least}")) }
        })
        .await;
    };
    let args = format!("start --max-threads 100 {UNCOUNTED}");
    for kill in 1..=KILLS {
        let worker = Worker::start(&args, &database.url());
        finished(JOBS * kill / (KILLS + 2)).await;
        worker.kill(&runs).await;
    }
    let mut last = Worker::ready(&args, &database.url()).await;
    finished(JOBS).await;
    last.signal(Signal::TERM);
    let (code, log) = last.end().await;
    assert_eq!(code, Some(0), "{log}");

    let (succeeded, odd, interrupted): (i64, i64, i64) =
        sqlx::query_as(BLINKS).fetch_one(store.pool()).await.unwrap();
    println!("{JOBS} jobs at full speed, {KILLS} kills: {interrupted} attempts interrupted");
    assert_eq!((succeeded, odd), (JOBS, 0), "each job: one success, else interruptions");
    assert!(interrupted > 0, "the kills met nobody at work");
    runs.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_survive_kills_of_the_web_servers_that_run_them() {
    survive(Kind::Server, "hybrid", 1_500, 6).await;
}

for_both! { a_neighbour_takes_over_from_one_that_was_killed_and_stays_dead }

/// Nobody starts the dead one again, and nobody tells that it is dead.
async fn a_neighbour_takes_over_from_one_that_was_killed_and_stays_dead(kind: Kind) {
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let victim = Worker::ready_as(kind, "start --poll-interval 60", &database.url()).await;
    let jobs = (0..3).map(|_| NewJob::new(&Stay {}).unwrap());
    let ids: Vec<_> =
        store.adapter().enqueue_all(jobs).await.unwrap().into_iter().map(|job| job.id()).collect();
    let until = async |expected: usize| {
        eventually("the runs", Duration::from_secs(20), async || {
            let mut seen = Vec::new();
            for id in &ids {
                seen.push(runs.of(*id).await);
            }
            if seen.iter().all(|seen| *seen == expected) {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await;
    };
    until(1).await;
    let mut survivor = Worker::ready_as(kind, "start --poll-interval 60", &database.url()).await;
    victim.kill(&runs).await;
    until(2).await;
    let recovery: Vec<f64> = sqlx::query_scalar(RECOVERY).fetch_all(store.pool()).await.unwrap();
    println!("killed and not started again: its jobs run elsewhere after {recovery:.2?} s");
    assert!(recovery.len() == 3 && recovery[2] < 8.0, "{recovery:?}");
    survivor.signal(Signal::TERM);
    assert_eq!(survivor.end().await.0, Some(0));
    runs.close().await;
    store.close().await;
}
