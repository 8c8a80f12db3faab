//! The server goes away under load, and comes back.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{JobState, NewJob, Timestamp};
use goodjob_testkit::cluster::{Cluster, Settings};
use goodjob_testkit::{Database, Harness};
use tokio::time::Instant;

use crate::stage::{Nap, Stage, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_of_the_server_cost_no_job_and_no_second_outcome() {
    const JOBS: usize = 600;
    let cluster = tokio::task::spawn_blocking(|| Cluster::private(Settings::new())).await.unwrap();
    let cluster = Arc::new(cluster.unwrap());
    let database = Database::on(Arc::clone(&cluster), crate::SCHEMA).await;
    // What happened is written down on a server that nothing happens to.
    let safe = Database::empty().await;
    let stage = Stage::on(&safe).await;
    let worker = async || {
        Harness::start_with(&database, stage.naps(), |config, _| {
            config.pools[0].max_threads = NonZeroUsize::new(8).unwrap();
        })
        .await
    };
    let (one, other) = (worker().await, worker().await);
    let nap = |n: usize| NewJob::new(&Nap { millis: 50 + n as u64 * 7 % 100 }).unwrap();
    let ids: Vec<_> = one
        .adapter()
        .enqueue_all((0..JOBS).map(nap))
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.id())
        .collect();

    let mut starts = Vec::new();
    let mut pauses: Vec<(&str, Duration)> = Vec::new();
    for turn in 0..4 {
        starts.extend(stage.starts(100).await);
        let (server, fast) = (Arc::clone(&cluster), turn % 2 == 0);
        let restart = move || if fast { server.restart_fast() } else { server.restart_immediate() };
        tokio::task::spawn_blocking(restart).await.unwrap().unwrap();
        let accepting = Instant::now();
        // Those that came before, or while the server was away, say nothing.
        let first = loop {
            let start = stage.start().await;
            starts.push(start);
            if start.1 > accepting {
                break start.1.duration_since(accepting);
            }
        };
        pauses.push((if fast { "fast" } else { "immediate" }, first));
    }
    let mut reruns = 0;
    for id in &ids {
        // Each worker is asked after the server's last restart.
        let job = one.finished(*id).await;
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{job:?}");
        let attempts = one.attempts(*id).await;
        let successes = attempts.iter().filter(|attempt| attempt.error.is_none()).count();
        assert_eq!(successes, 1, "{attempts:?}");
        let runs = stage.runs.of(*id).await;
        assert_eq!(runs, attempts.len(), "each run is an attempt: {attempts:?}");
        reruns += runs - 1;
    }
    println!("{JOBS} jobs, restart to first start: {pauses:?}; {reruns} re-runs");
    assert_eq!(reruns, 0, "the owners were alive all the time");
    assert_eq!(stage.runs.overlaps().await, []);
    assert!(pauses.iter().all(|(_, pause)| *pause < secs(3)), "{pauses:?}");
    let rested = Instant::now();
    other.stop().await;
    one.stop().await;
    assert!(rested.elapsed() < secs(10));
    stage.close().await;
}
