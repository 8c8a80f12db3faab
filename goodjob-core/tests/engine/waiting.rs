//! Waiting for an engine to be done.

use goodjob_core::{JobState, Shutdown};
use tokio::time::{Instant, timeout};

use crate::rigged::{Kind, Way};
use crate::stage::{Stage, What, job, job_in, jobs, millis, secs, soon};

#[tokio::test(start_paused = true)]
async fn drained_waits_for_jobs_that_jobs_enqueue() {
    // Each enqueues the next one into the other pool.
    let stage = Stage::new("a:1;b:1").unpolled();
    let adapter = stage.adapter.clone();
    let chain = move |cx: goodjob_core::Context<crate::stage::Log>| {
        let adapter = adapter.clone();
        async move {
            tokio::time::sleep(millis(10)).await;
            if cx.state().entries().len() < 20 {
                let next = if cx.class() == "a" { "b" } else { "a" };
                adapter.enqueue_all([job(next)]).await?;
            }
            Ok(())
        }
    };
    let stage = stage.job("a", chain.clone()).job("b", chain);
    let capsule = stage.start().await;
    stage.enqueue(job("a")).await;
    soon("nothing left", capsule.drained()).await;
    assert_eq!((stage.log.ended("a"), stage.log.ended("b")), (6, 5));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn drained_leaves_future_jobs_alone_and_ends_at_once_when_there_is_nothing() {
    let stage = Stage::new("*:2").lasting("J", millis(10));
    let capsule = stage.start().await;
    stage.enqueue(job_in(secs(60), "J")).await;
    let start = Instant::now();
    capsule.drained().await;
    assert_eq!((start.elapsed(), stage.log.began("J")), (millis(0), 0));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn when_drained_returns_outcomes_are_written() {
    let stage = Stage::new("*:2").lasting("J", millis(10));
    let capsule = stage.start().await;
    stage.rigged.settles(Way::Shut);
    let id = stage.enqueue(job("J")).await;
    assert!(timeout(secs(60), capsule.drained()).await.is_err(), "the outcome is under way");
    stage.rigged.settles(Way::Open);
    soon("nothing left", capsule.drained()).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn drained_does_not_take_the_word_of_a_search_that_began_before_it() {
    let stage = Stage::new("*:2").unpolled().lasting("J", millis(10));
    let capsule = stage.start().await;
    capsule.idle_for(secs(1)).await;
    stage.rigged.claims(Way::Mute);
    // Wakes the pool, whose search finds nothing; its answer is under way.
    let before = stage.rigged.made(Kind::Claim);
    let other = stage.enqueue(job("Unknown")).await;
    stage.rigged.until(Kind::Claim, before + 1).await;
    let mut quiet = job("J");
    quiet.notify = false;
    let id = stage.enqueue(quiet).await;
    let mut drained = std::pin::pin!(capsule.drained());
    assert!(timeout(secs(1), &mut drained).await.is_err());
    // The old search answers; the new one does not begin yet.
    stage.rigged.claims(Way::Shut);
    assert!(timeout(secs(1), &mut drained).await.is_err(), "it took the old answer");
    stage.rigged.claims(Way::Open);
    soon("nothing left", drained).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    assert_eq!(stage.state(other).await, JobState::Queued);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn drained_ends_when_the_engine_does() {
    let stage = Stage::new("*:1;a:1").lasting("J", secs(60));
    let capsule = stage.start().await;
    stage.enqueue_all(jobs(3, "J")).await;
    stage.log.until(What::Began, 1, "J").await;
    let (_, ()) = tokio::join!(
        capsule.shutdown(Shutdown::Forever),
        soon("the end of the engine", capsule.drained()),
    );
    soon("nothing at all", capsule.drained()).await;
    assert_eq!(stage.log.began("J"), 1);
}

#[tokio::test(start_paused = true)]
async fn idle_for_waits_for_a_quiet_while_after_the_last_job() {
    let stage = Stage::new("*:2").lasting("J", secs(30));
    let capsule = stage.start().await;
    stage.enqueue(job("J")).await;
    stage.enqueue(job_in(secs(40), "J")).await;
    capsule.idle_for(secs(20)).await;
    assert_eq!(stage.log.ended("J"), 2);
    let last = *stage.log.times(What::Ended, "J").last().expect("an end");
    assert!(last.elapsed() >= secs(20) && last.elapsed() <= secs(50), "{:?}", last.elapsed());
    capsule.shutdown(Shutdown::Forever).await;
}
