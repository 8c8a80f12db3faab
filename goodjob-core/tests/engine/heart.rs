//! The heartbeat.

use goodjob_core::{Backend, Capsule, JobState, Shutdown};

use crate::rigged::{Kind, Way};
use crate::stage::{Stage, What, job, millis, secs};

#[tokio::test(start_paused = true)]
async fn a_process_beats_at_each_interval_and_leaves_at_the_end() {
    let stage = Stage::new("*:1").lasting("J", secs(3));
    let capsule = stage.start().await;
    assert_eq!(stage.rigged.made(Kind::Beat), 1, "before anything else");
    stage.rigged.until(Kind::Beat, 7).await;
    let beats = stage.rigged.calls(Kind::Beat);
    for two in beats.windows(2) {
        let pause = two[1].at - two[0].at;
        assert!(pause >= millis(9_990) && pause <= millis(10_010), "{pause:?}");
    }
    // It beats while a shutdown waits, too, and leaves when nothing runs any more.
    stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    capsule.shutdown(Shutdown::Forever).await;
    let leaves = stage.rigged.calls(Kind::Leave);
    assert_eq!(leaves.len(), 1);
    assert!(leaves[0].at >= stage.log.times(What::Ended, "J")[0]);
}

#[tokio::test(start_paused = true)]
async fn a_process_beats_for_as_long_as_a_shutdown_waits() {
    let stage = Stage::new("*:1").lasting("J", secs(100));
    let capsule = stage.start().await;
    stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    let before = stage.rigged.made(Kind::Beat);
    capsule.shutdown(Shutdown::Forever).await;
    assert!(stage.rigged.made(Kind::Beat) >= before + 9);
}

#[tokio::test(start_paused = true)]
async fn missed_heartbeats_end_nothing() {
    let stage = Stage::new("*:1").lasting("J", millis(10));
    let capsule = stage.start().await;
    stage.rigged.others(Way::Broken);
    stage.rigged.until(Kind::Beat, 6).await;
    stage.rigged.others(Way::Open);
    stage.rigged.until(Kind::Beat, 8).await;
    let id = stage.enqueue(job("J")).await;
    capsule.drained().await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_capsule_does_not_start_without_its_store() {
    let stage = Stage::new("*:1").lasting("J", millis(10));
    stage.rigged.others(Way::Broken);
    let backend = Backend::new(stage.rigged.clone(), stage.memory.clone());
    let started = Capsule::start(stage.config.clone(), stage.handlers.clone(), backend).await;
    let error = started.expect_err("the store is away").to_string();
    assert_eq!(error, "the store is not available: it is rigged");
}
