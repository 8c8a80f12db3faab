//! From a commit in one process to a start in another.

use std::time::Duration;

use goodjob_core::Timestamp;
use goodjob_postgres::EnqueueIn;
use goodjob_testkit::{Database, Runs, eventually};
use rustix::process::Signal;

use crate::worker::{Kind, Nap, Worker};

for_both! {
    a_commit_here_starts_a_job_there_within_a_tenth_of_a_second
    who_lost_its_listener_hears_again_and_missed_nothing
}

async fn a_commit_here_starts_a_job_there_within_a_tenth_of_a_second(kind: Kind) {
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let mut worker = Worker::ready_as(kind, "start --poll-interval 60", &database.url()).await;
    let mut latencies = Vec::new();
    for _ in 0..120 {
        let mut tx = runs.pool().begin().await.unwrap();
        let id = store.adapter().enqueue(Nap { millis: 0 }).enqueue_in(&mut *tx).await.unwrap();
        let committing: Timestamp =
            sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        // All by the server's clock: how often we look does not matter.
        let started: Timestamp = eventually("the start", Duration::from_secs(20), async || {
            sqlx::query_scalar("SELECT started_at FROM runs WHERE job = $1")
                .bind(id.as_uuid())
                .fetch_optional(runs.pool())
                .await
                .unwrap()
        })
        .await;
        latencies.push((started - committing).to_std().unwrap());
    }
    latencies.sort();
    let p95 = latencies[113];
    println!(
        "commit to start in another process, poll 60 s: p50 {:?}, p95 {p95:?}, max {:?}",
        latencies[59], latencies[119]
    );
    assert!(p95 < Duration::from_millis(100), "{p95:?}");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().await.0, Some(0));
    runs.close().await;
    store.close().await;
}

/// Between polls of ten minutes only a notice, or the look around after a reconnect, finds a job.
async fn who_lost_its_listener_hears_again_and_missed_nothing(kind: Kind) {
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let mut worker = Worker::ready_as(kind, "start --poll-interval 600", &database.url()).await;
    for _ in 0..3 {
        let ended = eventually("a listener to end", Duration::from_secs(20), async || {
            let ended: Vec<bool> = sqlx::query_scalar(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name LIKE 'goodjob notify%'",
            )
            .fetch_all(runs.pool())
            .await
            .unwrap();
            Some(ended).filter(|ended| !ended.is_empty())
        })
        .await;
        assert_eq!(ended, [true]);
        let missed = store.adapter().enqueue(Nap { millis: 0 }).await.unwrap();
        for id in [missed, store.adapter().enqueue(Nap { millis: 0 }).await.unwrap()] {
            eventually("its run", Duration::from_secs(15), async || {
                (runs.of(id).await == 1).then_some(())
            })
            .await;
        }
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().await.0, Some(0));
    runs.close().await;
    store.close().await;
}
