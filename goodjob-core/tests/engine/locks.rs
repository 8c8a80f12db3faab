//! What the store says about locks is heeded at once.

use goodjob_core::{
    ErrorEvent, Health, JobState, ProcessRecord, QueueSelector, Shutdown, Store, Wanted,
};
use tokio::time::{Instant, timeout};

use crate::stage::{Stage, What, job, jobs, millis, secs};

#[tokio::test(start_paused = true)]
async fn one_lost_lock_cancels_that_attempt_and_no_other() {
    let stage = Stage::new("*:3").lasting("J", secs(60));
    let capsule = stage.start().await;
    let ids = stage.enqueue_all(jobs(3, "J")).await;
    stage.log.until(What::Began, 3, "J").await;
    let lost = stage.memory.another();
    let token = lost_token(&stage, ids[1]).await;

    // Another process takes the job over before this one can write anything.
    stage.memory.lose(token);
    lost.beat(&ProcessRecord::new("heir")).await.expect("a beat");
    let wanted = Wanted { queues: QueueSelector::All, classes: vec!["J".to_owned()] };
    let heir = lost.claim(&wanted, 9).await.expect("a claim").taken;
    assert_eq!(heir.len(), 1);
    let start = Instant::now();
    stage.log.until(What::Ended, 1, "J").await;
    assert_eq!(start.elapsed(), secs(2), "it is given its grace");
    stage.log.until(What::Ended, 3, "J").await;
    assert_eq!(start.elapsed(), secs(60), "the others run on");
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.row(ids[1]).await, heir[0].job, "the outcome was fenced");
    assert_eq!(stage.state(ids[0]).await, JobState::Succeeded);
    assert_eq!(stage.state(ids[2]).await, JobState::Succeeded);
    assert!(stage.memory.locks().borrow().lost.is_empty(), "what has ended is not lost any more");
}

async fn lost_token(stage: &Stage, id: goodjob_core::JobId) -> goodjob_core::Token {
    let (row, attempts) = (stage.row(id).await, stage.attempts(id).await);
    goodjob_core::Token {
        job: id,
        execution: attempts[0].id,
        performed_at: row.performed_at.expect("a start"),
        executions_count: row.executions_count,
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_lock_that_nobody_took_puts_the_job_back() {
    let stage = Stage::new("*:1").job("J", |cx| async move {
        if cx.state().began("J") > 1 {
            return Ok(());
        }
        cx.cancelled().await;
        Err("told to end".into())
    });
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    stage.memory.lose(lost_token(&stage, id).await);
    stage.log.until(What::Ended, 2, "J").await;
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    let attempts = stage.attempts(id).await;
    assert_eq!(attempts[0].error_event, Some(ErrorEvent::Interrupted));
    assert_eq!(stage.row(id).await.payload.executions(), 0, "no failure of the job");
}

#[tokio::test(start_paused = true)]
async fn while_locks_are_unconfirmed_nothing_starts_and_what_runs_goes_on() {
    let stage = Stage::new("*:3").lasting("J", secs(60));
    let capsule = stage.start().await;
    let ids = stage.enqueue_all(jobs(2, "J")).await;
    stage.log.until(What::Began, 2, "J").await;
    stage.memory.set_health(Health::Unconfirmed);
    let waiting = stage.enqueue(job("J")).await;
    stage.log.until(What::Ended, 2, "J").await;
    capsule.idle_for(secs(60)).await;
    assert_eq!(stage.log.began("J"), 2);
    for id in ids {
        assert_eq!(stage.state(id).await, JobState::Succeeded, "what ends is written");
    }
    stage.memory.set_health(Health::Confirmed);
    capsule.drained().await;
    assert_eq!(stage.state(waiting).await, JobState::Succeeded);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn when_all_locks_are_lost_everything_stops() {
    let stage = Stage::new("a:2;b:1").lasting("a", secs(60)).lasting("b", secs(60));
    let capsule = stage.start().await;
    let ids = stage.enqueue_all([jobs(2, "a"), jobs(1, "b")].concat()).await;
    stage.log.until(What::Began, 2, "a").await;
    stage.log.until(What::Began, 1, "b").await;
    let lost = Instant::now();
    stage.memory.set_health(Health::Lost);
    stage.log.until(What::Ended, 2, "a").await;
    stage.log.until(What::Ended, 1, "b").await;
    assert_eq!(lost.elapsed(), secs(2), "within one grace");
    capsule.idle_for(secs(60)).await;
    assert_eq!(stage.log.began("a"), 2, "and nothing starts");

    stage.memory.set_health(Health::Confirmed);
    capsule.drained().await;
    for id in ids {
        assert_eq!(stage.state(id).await, JobState::Succeeded, "run again from the beginning");
        assert_eq!(stage.row(id).await.executions_count, 2);
    }
    assert!(lost.elapsed() >= millis(60_000));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn locks_are_heeded_while_a_shutdown_waits() {
    let stage = Stage::new("*:1").lasting("J", secs(600));
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    assert!(timeout(secs(5), capsule.shutdown(Shutdown::Forever)).await.is_err());
    let lost = Instant::now();
    stage.memory.set_health(Health::Lost);
    capsule.shutdown(Shutdown::Forever).await;
    assert!(lost.elapsed() <= millis(2_250), "{:?}", lost.elapsed());
    assert_eq!(stage.state(id).await, JobState::Queued);
}
