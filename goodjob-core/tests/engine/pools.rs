//! Pools share nothing, and no pool runs more than its slots allow.

use goodjob_core::{Arguments, JobState, NewJob, Options, Shutdown};
use tokio::time::Instant;

use crate::stage::{Stage, What, job, jobs, millis, secs};

fn zoo(pools: &str) -> Stage {
    Stage::new(pools).lasting("mice", millis(10)).lasting("elephants", secs(5))
}

#[tokio::test(start_paused = true)]
async fn mice_do_not_wait_for_elephants_in_a_pool_of_their_own() {
    let stage = zoo("mice:2;elephants:1");
    let capsule = stage.start().await;
    stage.enqueue_all(jobs(50, "elephants")).await;
    let enqueued = Instant::now();
    stage.enqueue_all(jobs(100, "mice")).await;
    stage.log.until(What::Ended, 100, "mice").await;
    stage.log.until(What::Ended, 50, "elephants").await;

    for began in stage.log.times(What::Began, "mice") {
        assert!(began - enqueued < secs(1), "a mouse waited {:?}", began - enqueued);
    }
    assert_eq!(stage.log.peak(&["mice"]), 2);
    assert_eq!(stage.log.peak(&["elephants"]), 1);
    assert!(enqueued.elapsed() < secs(251), "elephants go one after the other without a pause");
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_mouse_waits_for_elephants_in_a_pool_that_they_share() {
    let stage = zoo("*:3");
    let capsule = stage.start().await;
    stage.enqueue_all(jobs(30, "elephants")).await;
    let enqueued = Instant::now();
    stage.enqueue(job("mice")).await;
    stage.log.until(What::Ended, 1, "mice").await;
    assert!(enqueued.elapsed() >= secs(50), "ten rounds of three elephants come first");
    assert_eq!(stage.log.peak(&["mice", "elephants"]), 3);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_never_runs_more_than_its_slots_and_uses_all_of_them() {
    let stage = zoo("*:4");
    let capsule = stage.start().await;
    let ids = stage.enqueue_all(jobs(41, "mice")).await;
    capsule.drained().await;
    assert_eq!(stage.log.peak(&["mice"]), 4);
    assert_eq!(stage.log.ended("mice"), 41);
    for id in ids {
        assert_eq!(stage.state(id).await, JobState::Succeeded);
        assert_eq!(stage.row(id).await.executions_count, 1);
    }
    let states = capsule.pools();
    assert_eq!((states[0].succeeded, states[0].errored, states[0].active), (41, 0, 0));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn pools_that_want_the_same_queue_run_each_job_once() {
    let stage = zoo("mice:2;*:3;-elephants:2");
    let capsule = stage.start().await;
    let ids = stage.enqueue_all(jobs(60, "mice")).await;
    capsule.drained().await;
    assert_eq!(stage.log.began("mice"), 60);
    assert_eq!(stage.log.peak(&["mice"]), 7);
    for id in ids {
        assert_eq!(stage.row(id).await.executions_count, 1);
    }
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn jobs_start_by_priority_and_in_a_signed_pool_by_queue_first() {
    let stage = Stage::new("+b,a:1").lasting("J", millis(10));
    let new = |queue: &str, priority| {
        let options = Options::new().queue(queue).priority(priority);
        NewJob::of_class("J", Arguments::default(), options).expect("a job")
    };
    let ids = stage
        .enqueue_all(vec![new("a", -5), new("a", 0), new("b", 9), new("b", 1), new("c", -9)])
        .await;
    let capsule = stage.start().await;
    capsule.drained().await;
    let entries = stage.log.entries();
    let order: Vec<_> = entries.iter().filter(|e| e.what == What::Began).map(|e| e.job).collect();
    assert_eq!(order, [ids[3], ids[2], ids[0], ids[1]]);
    assert_eq!(stage.state(ids[4]).await, JobState::Queued, "no pool wants it");
    capsule.shutdown(Shutdown::Forever).await;
}
