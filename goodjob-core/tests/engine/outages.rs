//! A store that fails: nothing is lost, nothing runs twice, and the engine does not spin.

use goodjob_core::{ErrorEvent, Fate, JobState, Policy, Shutdown};
use tokio::time::Instant;

use crate::rigged::{Kind, Way};
use crate::stage::{Stage, What, job, jobs, millis, secs};

#[tokio::test(start_paused = true)]
async fn failed_searches_are_repeated_with_growing_pauses_until_one_succeeds() {
    let stage = Stage::new("*:2").unpolled().lasting("J", millis(10));
    let capsule = stage.start().await;
    capsule.idle_for(secs(1)).await;
    stage.rigged.claims(Way::Broken);
    let before = stage.rigged.made(Kind::Claim);
    let id = stage.enqueue(job("J")).await;
    stage.rigged.until(Kind::Claim, before + 20).await;
    let calls = stage.rigged.calls(Kind::Claim);
    let pauses: Vec<_> = calls[before..].windows(2).map(|two| two[1].at - two[0].at).collect();
    assert!(pauses[0] <= millis(101), "{pauses:?}");
    assert!(pauses[10..].iter().all(|p| *p >= millis(2_500) && *p <= millis(5_001)), "{pauses:?}");

    stage.rigged.claims(Way::Open);
    let back = Instant::now();
    stage.log.until(What::Began, 1, "J").await;
    assert!(back.elapsed() <= millis(5_001), "{:?}", back.elapsed());
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_held_until_the_store_is_back_and_no_body_runs_again() {
    let stage = Stage::new("*:4").lasting("J", millis(10)).failing("F", Policy::new(), "boom");
    let capsule = stage.start().await;
    stage.rigged.settles(Way::Broken);
    let ids = stage.enqueue_all([jobs(20, "J"), jobs(20, "F")].concat()).await;
    stage.log.until(What::Ended, 20, "J").await;
    stage.log.until(What::Ended, 20, "F").await;
    capsule.idle_for(secs(600)).await;
    for id in &ids {
        assert_eq!(stage.state(*id).await, JobState::Running, "nothing is acknowledged yet");
    }
    let tries = stage.rigged.made(Kind::Settle);
    assert!(tries < 300, "{tries} tries in ten minutes");

    stage.rigged.settles(Way::Open);
    capsule.drained().await;
    for (n, id) in ids.into_iter().enumerate() {
        let expected = if n < 20 { JobState::Succeeded } else { JobState::Discarded };
        assert_eq!(stage.state(id).await, expected);
        assert_eq!(stage.row(id).await.executions_count, 1);
    }
    assert_eq!((stage.log.began("J"), stage.log.began("F")), (20, 20));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn with_too_many_outcomes_held_no_job_is_claimed_and_none_is_lost_between_pools() {
    // Two pools ask for the last room at the same time, and get twice as much as there is.
    let stage = Stage::new("J:1500;*:1500").lasting("J", millis(10));
    let capsule = stage.start().await;
    stage.rigged.settles(Way::Broken);
    let ids = stage.enqueue_all(jobs(6_000, "J")).await;
    capsule.idle_for(secs(600)).await;
    let held = stage.log.began("J");
    assert!((3_000..=5_000).contains(&held), "{held} outcomes are held");
    let claims = stage.rigged.made(Kind::Claim);
    capsule.idle_for(secs(1_200)).await;
    assert_eq!(stage.rigged.made(Kind::Claim), claims, "there is no room");

    stage.rigged.settles(Way::Open);
    capsule.drained().await;
    assert_eq!(stage.log.began("J"), 6_000);
    for id in ids {
        let row = stage.row(id).await;
        assert_eq!((row.executions_count, row.locked_by), (1, None));
        assert_eq!(stage.attempts(id).await.len(), 1, "none was taken for interrupted");
    }
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_refused_does_not_hold_up_others_and_is_written_in_plain_words() {
    let stage = Stage::new("*:9").lasting("J", millis(10)).job("U", |_| async {
        tokio::time::sleep(millis(10)).await;
        Err("übel".into())
    });
    // As a database that is not in UTF-8 refuses it.
    stage.rigged.refuse(|settlement| match &settlement.job {
        Fate::Discard { error } => !error.text().is_ascii(),
        Fate::Succeed | Fate::Retry { .. } | Fate::PutBack { .. } => false,
    });
    let capsule = stage.start().await;
    let ids = stage.enqueue_all([jobs(4, "J"), jobs(1, "U"), jobs(4, "J")].concat()).await;
    capsule.drained().await;
    for (n, id) in ids.iter().enumerate() {
        let expected = if n == 4 { JobState::Discarded } else { JobState::Succeeded };
        assert_eq!(stage.state(*id).await, expected);
    }
    let row = stage.row(ids[4]).await;
    assert_eq!(row.error.as_deref(), Some("JobError: \\u{fc}bel"));
    assert_eq!(row.error_event, Some(ErrorEvent::Unhandled));
    assert_eq!(stage.log.began("U"), 1);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_refused_however_it_is_put_ends_the_job_and_says_why() {
    let policy = Policy::new().retry_on_any(goodjob_core::Retry::unlimited());
    let stage = Stage::new("*:1").failing("J", policy, "boom");
    stage.rigged.refuse(|settlement| matches!(settlement.job, Fate::Retry { .. }));
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    capsule.drained().await;
    assert_eq!(stage.state(id).await, JobState::Discarded);
    let error = stage.row(id).await.error.expect("an error");
    assert!(error.contains("the store refused") && error.contains("boom"), "{error}");
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_success_that_is_refused_is_never_written_as_an_error() {
    let stage = Stage::new("*:1").lasting("J", millis(10)).lasting("K", millis(10));
    stage.rigged.refuse(|settlement| settlement.job == Fate::Succeed);
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    capsule.drained().await;
    capsule.idle_for(secs(60)).await;
    let row = stage.row(id).await;
    assert_eq!((row.error, row.finished_at), (None, None));
    stage.rigged.refuse(|_| false);
    let other = stage.enqueue(job("K")).await;
    capsule.drained().await;
    assert_eq!(stage.state(other).await, JobState::Succeeded, "the pool goes on");
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.row(id).await.locked_by, None, "its process has left: it runs again");
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_in_vain_is_given_back_when_the_store_is_back() {
    give_back_after(Way::Broken).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_in_vain_is_given_back_when_the_store_is_mended() {
    give_back_after(Way::Unfit).await;
}

async fn give_back_after(outage: Way) {
    let stage = Stage::new("*:3").lasting("J", millis(10));
    let capsule = stage.start().await;
    capsule.idle_for(secs(1)).await;
    stage.rigged.claims(Way::Mute);
    let before = stage.rigged.made(Kind::Claim);
    let ids = stage.enqueue_all(jobs(3, "J")).await;
    stage.rigged.until(Kind::Claim, before + 1).await;
    let stopping = tokio::spawn({
        let capsule = capsule.clone();
        async move { capsule.shutdown(Shutdown::Forever).await }
    });
    capsule.idle_for(secs(2)).await;
    stage.rigged.settles(outage);
    stage.rigged.claims(Way::Open);
    stage.rigged.until(Kind::Release, 5).await;
    stage.rigged.settles(Way::Open);
    stopping.await.expect("no panic");
    for id in ids {
        let row = stage.row(id).await;
        assert_eq!((row.performed_at, row.executions_count, row.locked_by), (None, 0, None));
    }
}
