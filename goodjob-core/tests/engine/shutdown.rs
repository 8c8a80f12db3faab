//! How an engine stops: nothing new starts, nothing is lost, and it ends when it said it would.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use goodjob_core::{ErrorEvent, JobState, Shutdown};
use tokio::time::{Instant, timeout};

use crate::rigged::{Kind, Way};
use crate::stage::{Stage, What, job, jobs, millis, secs, soon};

/// The store as another process sees it has nothing running, and `id` waits unharmed.
async fn assert_put_back(stage: &Stage, id: goodjob_core::JobId) {
    let row = stage.row(id).await;
    assert_eq!((row.performed_at, row.locked_by, row.finished_at), (None, None, None));
    assert_eq!(stage.state(id).await, JobState::Queued, "claimable at once");
    assert_eq!(row.payload.executions(), 0, "not failed");
    let attempts = stage.attempts(id).await;
    let last = attempts.last().expect("an attempt");
    assert_eq!(last.error_event, Some(ErrorEvent::Interrupted));
    assert!(last.finished_at.is_some(), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn forever_waits_for_what_runs_and_starts_nothing_more() {
    let stage = Stage::new("*:2").lasting("J", secs(3_600));
    let ids = stage.enqueue_all(jobs(5, "J")).await;
    let capsule = stage.start().await;
    stage.log.until(What::Began, 2, "J").await;
    assert!(!capsule.is_stopping());
    let drained = soon("the shutdown", capsule.shutdown(Shutdown::Forever)).await;
    assert!(drained.cut_off.is_empty() && capsule.is_stopping());
    assert_eq!((stage.log.began("J"), stage.log.ended("J")), (2, 2));
    for id in &ids[..2] {
        assert_eq!(stage.state(*id).await, JobState::Succeeded);
    }
    for id in &ids[2..] {
        assert_eq!(stage.row(*id).await.executions_count, 0);
    }
    assert_eq!(stage.rigged.made(Kind::Leave), 1);
}

/// A watchdog that heard nothing would end the process, and the jobs that the shutdown waits for.
#[tokio::test(start_paused = true)]
async fn a_shutdown_that_waits_for_jobs_has_a_pulse() {
    let stage = Stage::new("*:1").lasting("J", secs(3_600));
    let capsule = stage.start().await;
    stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    assert!(capsule.pulse().await);
    let ending = capsule.shutdown(Shutdown::Forever);
    let asking = async {
        for _ in 0..3 {
            // In the middle of the wait, a quarter of an hour after the last one.
            tokio::time::sleep(secs(900)).await;
            assert!(capsule.is_stopping() && stage.log.ended("J") == 0);
            assert!(timeout(secs(1), capsule.pulse()).await.expect("an answer"));
        }
    };
    tokio::join!(ending, asking);
    assert_eq!(stage.log.ended("J"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_running_job_can_see_that_a_shutdown_waits_for_it() {
    let stage = Stage::new("*:1").job("J", |cx| async move {
        cx.stopping().await;
        assert!(cx.is_stopping() && !cx.is_cancelled());
        Ok(())
    });
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    soon("the shutdown", capsule.shutdown(Shutdown::Forever)).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn now_puts_back_what_runs_after_one_grace() {
    let stage = Stage::new("*:3").lasting("J", secs(3_600));
    let capsule = stage.start().await;
    let mut ids = stage.enqueue_all(jobs(3, "J")).await;
    stage.log.until(What::Began, 3, "J").await;
    let stopped = Instant::now();
    let mut drained = soon("the shutdown", capsule.shutdown(Shutdown::Now)).await;
    assert!(stopped.elapsed() <= millis(2_250), "{:?}", stopped.elapsed());
    ids.sort_unstable();
    drained.cut_off.sort_unstable();
    assert_eq!(drained.cut_off, ids);
    for id in ids {
        assert_put_back(&stage, id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_well_within_its_grace_has_succeeded() {
    let stage = Stage::new("*:2")
        .job("Good", |cx| async move {
            cx.cancelled().await;
            tokio::time::sleep(secs(1)).await;
            Ok(())
        })
        .job("Bad", |cx| async move {
            cx.cancelled().await;
            Err("cancelled".into())
        });
    let capsule = stage.start().await;
    let good = stage.enqueue(job("Good")).await;
    let bad = stage.enqueue(job("Bad")).await;
    stage.log.until(What::Began, 1, "Good").await;
    stage.log.until(What::Began, 1, "Bad").await;
    let drained = soon("the shutdown", capsule.shutdown(Shutdown::Now)).await;
    assert_eq!(drained.cut_off, [bad]);
    assert_eq!(stage.state(good).await, JobState::Succeeded);
    assert_put_back(&stage, bad).await;
}

#[tokio::test(start_paused = true)]
async fn after_waits_that_long_and_no_longer() {
    let stage = Stage::new("*:2").lasting("Short", secs(20)).lasting("Long", secs(3_600));
    let capsule = stage.start().await;
    let (short, long) = (stage.enqueue(job("Short")).await, stage.enqueue(job("Long")).await);
    stage.log.until(What::Began, 1, "Long").await;
    stage.log.until(What::Began, 1, "Short").await;
    let stopped = Instant::now();
    let drained = soon("the shutdown", capsule.shutdown(Shutdown::After(secs(30)))).await;
    assert!(stopped.elapsed() >= secs(30) && stopped.elapsed() <= millis(32_250));
    assert_eq!(drained.cut_off, [long]);
    assert_eq!(stage.state(short).await, JobState::Succeeded);
    assert_put_back(&stage, long).await;
}

#[tokio::test(start_paused = true)]
async fn after_ends_early_when_nothing_runs_any_more() {
    let stage = Stage::new("*:2").lasting("J", secs(5));
    let capsule = stage.start().await;
    stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    let stopped = Instant::now();
    let drained = capsule.shutdown(Shutdown::After(secs(3_600))).await;
    assert!(drained.cut_off.is_empty());
    assert!(stopped.elapsed() <= millis(5_250), "{:?}", stopped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn hurry_ends_the_waiting_and_every_job_cut_off_is_named() {
    // Some end as soon as they are told, so that they are done before the pool hears of the hurry.
    let stage = Stage::new("*:9").lasting("Deaf", secs(3_600)).job("Quick", |cx| async move {
        cx.cancelled().await;
        Err("told to end".into())
    });
    let capsule = stage.start().await;
    let mut ids = stage.enqueue_all([jobs(3, "Deaf"), jobs(3, "Quick")].concat()).await;
    stage.log.until(What::Began, 3, "Deaf").await;
    stage.log.until(What::Began, 3, "Quick").await;
    let waiting = tokio::spawn({
        let capsule = capsule.clone();
        async move { capsule.shutdown(Shutdown::Forever).await }
    });
    assert!(timeout(secs(60), capsule.shutdown(Shutdown::Forever)).await.is_err());
    let hurried = Instant::now();
    capsule.hurry();
    let mut drained = soon("the shutdown", waiting).await.expect("no panic");
    assert!(hurried.elapsed() <= millis(2_250), "{:?}", hurried.elapsed());
    drained.cut_off.sort_unstable();
    ids.sort_unstable();
    assert_eq!(drained.cut_off, ids);
    for id in ids {
        assert_put_back(&stage, id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_waits_for_the_first_and_can_shorten_it() {
    let stage = Stage::new("*:1").lasting("J", secs(100));
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    let began = Instant::now();
    let (first, second) = tokio::join!(
        capsule.shutdown(Shutdown::Forever),
        capsule.shutdown(Shutdown::After(secs(10))),
    );
    assert!(began.elapsed() >= secs(10) && began.elapsed() <= millis(12_250));
    assert_eq!(first.cut_off, [id]);
    assert_eq!(first, second);
    assert_eq!(stage.rigged.made(Kind::Leave), 1);
    let third = capsule.shutdown(Shutdown::Now).await;
    assert_eq!(third, first, "a later one answers the same at once");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_whose_future_is_dropped_can_be_taken_up_again() {
    let stage = Stage::new("*:1").lasting("J", secs(100));
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    let impatient = timeout(secs(5), capsule.shutdown(Shutdown::Forever)).await;
    assert!(impatient.is_err());
    assert_eq!(stage.log.ended("J"), 0, "it is still being waited for");
    let drained = soon("the shutdown", capsule.shutdown(Shutdown::Forever)).await;
    assert!(drained.cut_off.is_empty());
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    assert_eq!(stage.rigged.made(Kind::Leave), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_nothing() {
    let stage = Stage::new("*:1").lasting("J", secs(1));
    let capsule = stage.start().await;
    stage.enqueue_all(jobs(3, "J")).await;
    drop(capsule);
    stage.log.until(What::Ended, 3, "J").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_claim_in_flight_brings_is_handed_back_unrun() {
    let stage = Stage::new("*:5").lasting("J", millis(10));
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
    assert!(timeout(secs(9), capsule.shutdown(Shutdown::Forever)).await.is_err());
    for id in &ids {
        assert_eq!(stage.state(*id).await, JobState::Running, "claimed, and not yet told");
    }
    stage.rigged.claims(Way::Open);
    let drained = soon("the shutdown", stopping).await.expect("no panic");
    assert!(drained.cut_off.is_empty(), "what did not begin was not cut off");
    assert_eq!(stage.log.began("J"), 0);
    for id in ids {
        let row = stage.row(id).await;
        assert_eq!((row.performed_at, row.executions_count, row.locked_by), (None, 0, None));
        assert!(stage.attempts(id).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_never_answers_does_not_hold_up_a_shutdown_that_does_not_wait() {
    let stage = Stage::new("*:2").lasting("J", millis(10));
    let capsule = stage.start().await;
    capsule.idle_for(secs(1)).await;
    stage.rigged.claims(Way::Shut);
    let before = stage.rigged.made(Kind::Claim);
    stage.enqueue(job("J")).await;
    stage.rigged.until(Kind::Claim, before + 1).await;
    let stopped = Instant::now();
    soon("the shutdown", capsule.shutdown(Shutdown::Now)).await;
    assert!(stopped.elapsed() <= secs(10), "{:?}", stopped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_does_not_hold_up_a_shutdown_that_does_not_wait() {
    for mode in [Shutdown::Now, Shutdown::After(secs(1))] {
        let stage = Stage::new("*:2").lasting("J", millis(10));
        let capsule = stage.start().await;
        stage.enqueue(job("J")).await;
        stage.log.until(What::Began, 1, "J").await;
        stage.rigged.all(Way::Broken);
        stage.log.until(What::Ended, 1, "J").await;
        // The pauses between tries are at their longest by then.
        stage.rigged.until(Kind::Settle, 12).await;
        let stopped = Instant::now();
        soon("the shutdown", capsule.shutdown(mode)).await;
        assert!(stopped.elapsed() <= secs(10), "{mode:?} took {:?}", stopped.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_held_back_are_tried_once_more_as_soon_as_a_shutdown_waits_no_longer() {
    let stage = Stage::new("*:2").lasting("J", millis(10));
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    stage.log.until(What::Began, 1, "J").await;
    stage.rigged.settles(Way::Broken);
    stage.rigged.until(Kind::Settle, 12).await;
    stage.rigged.settles(Way::Open);
    let stopped = Instant::now();
    soon("the shutdown", capsule.shutdown(Shutdown::Now)).await;
    assert!(stopped.elapsed() <= millis(100), "{:?}", stopped.elapsed());
    assert_eq!(stage.state(id).await, JobState::Succeeded);
}

/// In real time: only a thread that is blocked can keep a body from being dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_blocks_its_thread_is_put_back_when_a_shutdown_waits_no_longer() {
    let (let_go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let stage =
        Stage::new("*:1").with(|config| config.cancel_grace = millis(20)).job("Stuck", move |_| {
            let held = Arc::clone(&held);
            async move {
                let _ = held.lock().expect("no panic").recv();
                Ok(())
            }
        });
    let capsule = stage.start().await;
    let id = stage.enqueue(job("Stuck")).await;
    stage.log.until(What::Began, 1, "Stuck").await;
    let drained = soon("the shutdown", capsule.shutdown(Shutdown::Now)).await;
    assert_eq!(drained.cut_off, [id]);
    assert_put_back(&stage, id).await;
    drop(let_go);
}
