//! What makes a pool look for jobs, and that nothing else does.

use goodjob_core::{Backoff, Health, JobState, Pause, PauseStore, Policy, Retry, Shutdown};
use tokio::time::Instant;

use crate::rigged::{Kind, Way};
use crate::stage::{Stage, What, job, job_in, jobs, millis, secs};

#[tokio::test(start_paused = true)]
async fn a_poll_finds_what_no_notice_told() {
    let stage = Stage::new("*:2").deaf().lasting("J", millis(10));
    let capsule = stage.start().await;
    capsule.idle_for(secs(25)).await;
    let enqueued = Instant::now();
    stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    assert!(enqueued.elapsed() <= secs(10), "it took {:?}", enqueued.elapsed());
    assert!(enqueued.elapsed() >= secs(1), "the notice was to be lost");
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_there_at_the_start_is_found_without_polls_and_notices() {
    let stage = Stage::new("*:2").deaf().unpolled().lasting("J", millis(10));
    let due = stage.enqueue(job("J")).await;
    let later = stage.enqueue(job_in(secs(60), "J")).await;
    let start = Instant::now();
    let capsule = stage.start().await;
    stage.log.until(What::Began, 2, "J").await;
    let began = stage.log.times(What::Began, "J");
    assert_eq!(began[0], start, "at once");
    assert!(began[1] - start >= secs(60) && began[1] - start <= millis(60_250));
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.state(due).await, JobState::Succeeded);
    assert_eq!(stage.state(later).await, JobState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_notice_starts_a_job_at_once() {
    let stage = Stage::new("*:2").unpolled().lasting("J", millis(10));
    let capsule = stage.start().await;
    for _ in 0..5 {
        capsule.idle_for(secs(100)).await;
        let (enqueued, before) = (Instant::now(), stage.log.began("J"));
        stage.enqueue(job("J")).await;
        stage.log.until(What::Began, before + 1, "J").await;
        assert_eq!(enqueued.elapsed(), millis(0));
    }
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_future_job_starts_at_its_time_without_polls() {
    let stage = Stage::new("*:2").unpolled().lasting("J", millis(10));
    let capsule = stage.start().await;
    capsule.idle_for(millis(333)).await;
    let enqueued = Instant::now();
    let id = stage.enqueue(job_in(secs(3), "J")).await;
    stage.log.until(What::Began, 1, "J").await;
    let waited = enqueued.elapsed();
    assert!(waited >= secs(3) && waited <= millis(3_250), "it waited {waited:?}");
    capsule.shutdown(Shutdown::Forever).await;
    let row = stage.row(id).await;
    assert!(row.performed_at >= row.scheduled_at, "early: {row:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_starts_at_its_time_without_polls() {
    let rule = Retry::attempts(3).wait(Backoff::Constant(secs(7))).jitter(0.0);
    let stage = Stage::new("*:2").unpolled().failing("J", Policy::new().retry_on_any(rule), "no");
    let capsule = stage.start().await;
    let enqueued = Instant::now();
    stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 3, "J").await;
    let waited = enqueued.elapsed();
    assert!(waited >= secs(14) && waited <= millis(14_500), "it waited {waited:?}");
    capsule.shutdown(Shutdown::Forever).await;
}

/// Ten future jobs, and room to remember two of them.
async fn each_starts_at_its_time(stage: Stage, are_there_at_the_start: bool) {
    let stage = stage.with(|config| config.max_cache = 2).unpolled().lasting("J", millis(10));
    let new = (1..=10).rev().map(|n| job_in(secs(n * 60), "J")).collect();
    let mut start = Instant::now();
    let capsule = if are_there_at_the_start {
        stage.enqueue_all(new).await;
        stage.start().await
    } else {
        let capsule = stage.start().await;
        capsule.idle_for(secs(1)).await;
        start = Instant::now();
        stage.enqueue_all(new).await;
        capsule
    };
    stage.log.until(What::Began, 10, "J").await;
    for (n, began) in (1..).zip(stage.log.times(What::Began, "J")) {
        let late = (began - start).checked_sub(secs(n * 60)).expect("never early");
        assert!(late <= millis(250), "number {n} was {late:?} late");
    }
    assert!(stage.rigged.made(Kind::Upcoming) <= 12, "no more than it takes");
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_timetable_that_notices_overflowed_is_refilled() {
    each_starts_at_its_time(Stage::new("*:2"), false).await;
}

#[tokio::test(start_paused = true)]
async fn a_timetable_that_was_full_at_the_start_is_refilled() {
    each_starts_at_its_time(Stage::new("*:2").deaf(), true).await;
}

#[tokio::test(start_paused = true)]
async fn a_look_ahead_that_failed_is_repeated() {
    let stage = Stage::new("*:2").deaf().unpolled().lasting("J", millis(10));
    stage.enqueue(job_in(secs(300), "J")).await;
    let start = Instant::now();
    let capsule = stage.start().await;
    stage.rigged.others(Way::Broken);
    stage.rigged.until(Kind::Upcoming, 3).await;
    stage.rigged.others(Way::Open);
    stage.log.until(What::Began, 1, "J").await;
    assert!(start.elapsed() <= millis(300_250), "{:?}", start.elapsed());
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_falls_due_during_a_look_ahead_is_found() {
    let stage = Stage::new("*:2").deaf().unpolled().lasting("J", millis(10));
    stage.enqueue(job_in(secs(5), "J")).await;
    let capsule = stage.start().await;
    stage.rigged.others(Way::Shut);
    capsule.idle_for(secs(8)).await;
    stage.rigged.others(Way::Open);
    stage.log.until(What::Began, 1, "J").await;
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_pool_only_polls() {
    let stage = Stage::new("*:2;a:1").lasting("J", millis(10));
    let capsule = stage.start().await;
    capsule.idle_for(secs(3_600)).await;
    let claims = stage.rigged.made(Kind::Claim);
    assert!((720..=726).contains(&claims), "two pools, an hour, every 10 s: {claims} searches");
    assert!(stage.rigged.made(Kind::Upcoming) <= 4);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_a_free_slot_does_not_search() {
    let stage = Stage::new("*:2").lasting("J", secs(1_000));
    stage.enqueue_all(jobs(5, "J")).await;
    let capsule = stage.start().await;
    stage.log.until(What::Ended, 2, "J").await;
    let (claims, ended) = (stage.rigged.calls(Kind::Claim), stage.log.times(What::Ended, "J")[0]);
    assert_eq!(claims.iter().filter(|claim| claim.at < ended).count(), 1, "for a thousand seconds");
    stage.log.until(What::Ended, 5, "J").await;
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_with_unconfirmed_locks_does_not_search() {
    let stage = Stage::new("*:2").lasting("J", millis(10));
    let capsule = stage.start().await;
    capsule.idle_for(secs(1)).await;
    stage.memory.set_health(Health::Unconfirmed);
    let claims = stage.rigged.made(Kind::Claim);
    stage.enqueue(job("J")).await;
    capsule.idle_for(secs(1_000)).await;
    assert_eq!(stage.rigged.made(Kind::Claim), claims);
    stage.memory.set_health(Health::Confirmed);
    let confirmed = Instant::now();
    stage.log.until(What::Began, 1, "J").await;
    assert_eq!(confirmed.elapsed(), millis(0), "what was to be looked for is found at once");
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_stays_queued_until_an_unpause_wakes_the_pools() {
    for pause in [Pause::Queue("J".into()), Pause::Class("J".into())] {
        let stage = Stage::new("*:2").unpolled().lasting("J", millis(10)).lasting("K", millis(10));
        stage.memory.pause(&pause).await.unwrap();
        stage.memory.pause(&pause).await.unwrap();
        let paused: Vec<Pause> = stage.memory.paused().await.unwrap().iter().collect();
        assert_eq!(paused, std::slice::from_ref(&pause));
        let capsule = stage.start().await;
        let id = stage.enqueue(job("J")).await;
        stage.enqueue(job("K")).await;
        capsule.drained().await;
        assert_eq!(stage.state(id).await, JobState::Queued, "{pause}");
        assert_eq!(stage.log.began("K"), 1);
        assert!(stage.memory.unpause(&pause).await.unwrap());
        assert!(!stage.memory.unpause(&pause).await.unwrap());
        stage.log.until(What::Began, 1, "J").await;
        capsule.shutdown(Shutdown::Forever).await;
    }
}
