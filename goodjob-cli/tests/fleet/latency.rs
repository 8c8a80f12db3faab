//! From a commit in one process to a start in another.

use std::time::Duration;

use goodjob_core::Timestamp;
use goodjob_postgres::EnqueueIn;
use goodjob_testkit::{Database, Runs, eventually};
use rustix::process::Signal;

use crate::worker::{Nap, Worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_here_starts_a_job_there_within_a_tenth_of_a_second() {
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let mut worker = Worker::ready("start --poll-interval 60", &database.url()).await;
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
