//! Attempts that are claimed before there is a slot for them.

use goodjob_core::{JobId, Shutdown};
use tokio::time::{Instant, sleep};

use crate::stage::{Stage, What, jobs, millis, secs};

/// How many of these jobs are claimed.
async fn claimed(stage: &Stage, ids: &[JobId]) -> usize {
    let mut claimed = 0;
    for id in ids {
        claimed += usize::from(stage.row(*id).await.performed_at.is_some());
    }
    claimed
}

/// A worker whose jobs were short until now, and that has read ahead of one that lasts.
async fn surprised(stage: &Stage) -> (goodjob_core::Capsule, Vec<JobId>) {
    stage.enqueue_all(jobs(50, "Short")).await;
    let capsule = stage.start().await;
    stage.log.until(What::Ended, 50, "Short").await;
    let ids = stage.enqueue_all(jobs(20, "Long")).await;
    stage.log.until(What::Began, 1, "Long").await;
    assert!(claimed(stage, &ids).await > 1, "something was read ahead");
    (capsule, ids)
}

fn stage() -> Stage {
    Stage::new("*:1").lasting("Short", millis(0)).lasting("Long", secs(3_600))
}

async fn until_one_is_claimed(stage: &Stage, ids: &[JobId]) {
    while claimed(stage, ids).await > 1 {
        sleep(millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_of_a_job_that_lasts_is_given_back_within_milliseconds() {
    let stage = stage();
    let (capsule, ids) = surprised(&stage).await;
    let begun = Instant::now();
    until_one_is_claimed(&stage, &ids).await;
    assert!(begun.elapsed() < millis(100), "{:?}", begun.elapsed());
    for id in &ids[1..] {
        assert_eq!(stage.row(*id).await.executions_count, 0, "as if it had not been claimed");
    }
    capsule.shutdown(Shutdown::Now).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_is_given_back_at_once_when_a_shutdown_begins() {
    let stage = stage();
    let (capsule, ids) = surprised(&stage).await;
    let begun = Instant::now();
    let ending = tokio::spawn(async move { capsule.shutdown(Shutdown::Forever).await });
    until_one_is_claimed(&stage, &ids).await;
    assert!(begun.elapsed() < millis(20), "{:?}", begun.elapsed());
    assert!(ending.await.unwrap().cut_off.is_empty());
    assert_eq!(stage.log.began("Long"), 1, "nothing more was started");
}
