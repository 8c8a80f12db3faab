//! Workers that are told to stop while jobs run, with another worker beside them.

use std::time::Duration;

use goodjob_core::{ErrorEvent, Inspect, JobState, Timestamp};
use goodjob_testkit::{Database, Runs, eventually};
use rustix::process::Signal;

use crate::worker::{Kind, Nap, Stay, Worker};

async fn until_runs(runs: &Runs, id: goodjob_core::JobId, expected: usize) {
    eventually(&format!("run {expected}"), Duration::from_secs(20), async || {
        match runs.of(id).await {
            count if count >= expected => Ok(()),
            count => Err(format!("{count} runs")),
        }
    })
    .await;
}

for_both! {
    a_job_that_is_cut_off_runs_again_elsewhere_at_once
    a_stop_without_a_limit_waits_for_its_jobs_and_leaves_the_rest_to_others
}

async fn a_job_that_is_cut_off_runs_again_elsewhere_at_once(kind: Kind) {
    let database = Database::fresh().await;
    let url = database.url();
    let (store, runs) = (database.store().await, Runs::at(&url).await);
    // How long it waits, how it is told, its exit code, and how long the job may have to wait at most.
    for (timeout, signals, code) in [("0", 1, 4), ("0.5", 1, 4), ("-1", 2, 143), ("600", 2, 143)] {
        let args = format!("start --poll-interval 60 --shutdown-timeout {timeout}");
        let mut stopped = Worker::ready_as(kind, &args, &url).await;
        let id = store.adapter().enqueue(Stay {}).await.unwrap();
        until_runs(&runs, id, 1).await;
        let mut other = Worker::ready_as(kind, "start --poll-interval 60", &url).await;
        stopped.signal(Signal::TERM);
        stopped.until("taking no new jobs").await;
        if signals == 2 {
            // Neither waits for ever: the job is not given away before the second.
            assert_eq!(runs.of(id).await, 1, "{timeout}");
            stopped.signal(Signal::TERM);
        }
        let (ended, log) = stopped.end().await;
        assert_eq!(ended, Some(code), "{timeout}: {log}");
        runs.died(stopped.pid()).await;
        until_runs(&runs, id, 2).await;
        let job = eventually("the end", Duration::from_secs(10), async || {
            store.job(id).await.unwrap().filter(|job| job.finished_at.is_some())
        })
        .await;
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{job:?}");
        let attempts = store.executions(id).await.unwrap();
        assert_eq!(attempts.len(), 2, "{timeout}");
        assert_eq!(attempts[0].error_event, Some(ErrorEvent::Interrupted), "{attempts:?}");
        // From the moment that the first attempt was put back, by the server's clock.
        let idle = attempts[1].started_at - attempts[0].finished_at.unwrap();
        println!("timeout {timeout}, {signals} signals: exit {code}, elsewhere again after {idle}");
        assert!(idle.num_milliseconds() < 1_000, "{idle}");
        other.signal(Signal::TERM);
        assert_eq!(other.end().await.0, Some(0));
    }
    runs.close().await;
    store.close().await;
}

async fn a_stop_without_a_limit_waits_for_its_jobs_and_leaves_the_rest_to_others(kind: Kind) {
    let database = Database::fresh().await;
    let url = database.url();
    let (store, runs) = (database.store().await, Runs::at(&url).await);
    for timeout in ["-1", "20"] {
        let args = format!("start --max-threads 1 --shutdown-timeout {timeout}");
        let mut stopped = Worker::ready_as(kind, &args, &url).await;
        let running = store.adapter().enqueue(Nap { millis: 1_500 }).await.unwrap();
        until_runs(&runs, running, 1).await;
        stopped.signal(Signal::TERM);
        stopped.until("taking no new jobs").await;
        let waiting = store.adapter().enqueue(Nap { millis: 0 }).await.unwrap();
        let (code, log) = stopped.end().await;
        assert_eq!(code, Some(0), "{log}");
        let job = store.job(running).await.unwrap().unwrap();
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded);
        assert_eq!((job.executions_count, runs.of(waiting).await), (1, 0));
        let mut other = Worker::ready("start --once", &url).await;
        assert_eq!(other.end().await.0, Some(0));
        assert_eq!((runs.of(running).await, runs.of(waiting).await), (1, 1));
    }
    runs.close().await;
    store.close().await;
}
