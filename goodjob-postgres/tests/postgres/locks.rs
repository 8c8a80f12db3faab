//! Which locks there are while jobs run, and what another's lock does.

use std::num::NonZeroUsize;

use goodjob_core::{JobState, NewJob, Timestamp};
use goodjob_postgres::advisory_key;
use goodjob_testkit::Harness;
use tokio::time::Instant;

use crate::stage::{Nap, Stage, lock_session, millis, notify_session, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_running_job_is_one_lock_of_an_idle_session() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, stage.naps(), |config, _| {
        config.pools[0].max_threads = NonZeroUsize::new(12).unwrap();
    })
    .await;
    let process = worker.capsule().process();
    let (lock, notify) = (lock_session(process), notify_session(process));
    let naps = (0..20).map(|_| NewJob::new(&Nap { millis: 3_000 }).unwrap());
    let ids: Vec<_> =
        worker.adapter().enqueue_all(naps).await.unwrap().into_iter().map(|job| job.id()).collect();
    stage.starts(12).await;
    assert_eq!((stage.locks(&lock).await, stage.locks(&notify).await), (12, 1));
    // The keys are the gem's keys of just the running jobs.
    let running: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM good_jobs WHERE performed_at IS NOT NULL")
            .fetch_all(&stage.pool)
            .await
            .unwrap();
    let mut expected: Vec<i64> =
        running.iter().map(|id| advisory_key(&format!("good_jobs-{id}"))).collect();
    let mut keys: Vec<i64> = sqlx::query_scalar(
        "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE locktype = 'advisory' AND application_name = $1",
    )
    .bind(&lock)
    .fetch_all(&stage.pool)
    .await
    .unwrap();
    expected.sort();
    keys.sort();
    assert_eq!(keys, expected);
    // No transaction is open while bodies run; a look at the session takes no time.
    let begun = Instant::now();
    let (mut looks, mut busy) = (0, 0);
    while begun.elapsed() < millis(500) {
        let states: Vec<String> = sqlx::query_scalar(
            "SELECT state FROM pg_stat_activity WHERE datname = current_database()
             AND application_name IN ($1, $2)",
        )
        .bind(&lock)
        .bind(&notify)
        .fetch_all(&stage.pool)
        .await
        .unwrap();
        assert!(states.iter().all(|state| !state.starts_with("idle in")), "{states:?}");
        looks += 1;
        busy += usize::from(states.iter().any(|state| state != "idle"));
    }
    println!("two sessions over {looks} looks while 12 jobs ran: {busy} times not idle");
    assert!(busy * 4 < looks, "{busy} of {looks}");

    worker.all_finished(&ids).await;
    stage.until_locks(&lock, 0).await;
    assert_eq!(stage.locks(&notify).await, 1);
    worker.stop().await;
    stage.close().await;
}

/// As a Ruby worker with the strategy `advisory` holds it, between its lock and its row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_lock_another_holds_is_passed_over_until_it_is_free() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, stage.naps(), |config, _| {
        config.pools[0].max_threads = NonZeroUsize::MIN;
        config.poll_interval = Some(secs(60));
    })
    .await;
    let mut ruby = stage.pool.acquire().await.unwrap();
    let jobs: Vec<NewJob> = (0..4).map(|_| NewJob::new(&Nap { millis: 10 }).unwrap()).collect();
    let key = advisory_key(&format!("good_jobs-{}", jobs[0].id));
    sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut *ruby).await.unwrap();
    let ids: Vec<_> =
        worker.adapter().enqueue_all(jobs).await.unwrap().into_iter().map(|job| job.id()).collect();
    worker.all_finished(&ids[1..]).await;
    let held = worker.job(ids[0]).await;
    assert_eq!(held.state(Timestamp::MAX_UTC), JobState::Queued);
    assert_eq!((held.executions_count, held.locked_by), (0, None));

    sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(&mut *ruby).await.unwrap();
    let released = Instant::now();
    assert_eq!(worker.finished(ids[0]).await.executions_count, 1);
    println!("released by another: over after {:?}, polls being 60 s apart", released.elapsed());
    assert!(released.elapsed() < secs(5));
    drop(ruby);
    worker.stop().await;
    stage.close().await;
}
