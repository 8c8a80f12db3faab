//! What is kept of finished jobs, and for how long.

use chrono::TimeDelta;
use goodjob_core::{
    Cleanup, ErrorEvent, Inspect, JobId, JobRecord, Payload, Policy, Preserve, Retention, Shutdown,
    Ties,
};

use crate::rigged::{Kind, Way};
use crate::stage::{Stage, job, jobs, millis, secs, soon};

/// For no reason but the ones that a test adds.
const NEVER: Cleanup = Cleanup {
    retention: Retention { age: secs(60 * 60), keep_discarded: false },
    interval_jobs: None,
    interval: None,
};

/// Jobs that ended two hours ago.
fn plant_old(stage: &Stage, count: usize) -> Vec<JobId> {
    let (id, at) = (JobId::generate, stage.clock.now() - TimeDelta::hours(2));
    let row = |id| JobRecord {
        id,
        class: "Old".to_owned(),
        queue: None,
        priority: None,
        payload: Payload::default(),
        labels: Vec::new(),
        ties: Ties::default(),
        created_at: at,
        scheduled_at: Some(at),
        performed_at: Some(at),
        finished_at: Some(at),
        error: None,
        error_event: None,
        executions_count: 1,
        locked_by: None,
    };
    let rows: Vec<JobRecord> = (0..count).map(|_| row(id())).collect();
    rows.iter().for_each(|row| stage.memory.plant(row.clone()));
    rows.iter().map(|row| row.id).collect()
}

async fn left(stage: &Stage, ids: &[JobId]) -> usize {
    let mut left = 0;
    for id in ids {
        left += usize::from(stage.memory.job(*id).await.expect("a look").is_some());
    }
    left
}

fn clean_ups(stage: &Stage) -> usize {
    stage.rigged.made(Kind::CleanUp)
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_comes_after_more_attempts_of_one_pool_than_the_interval() {
    let stage = Stage::new("A:1;B:1").lasting("A", millis(10)).lasting("B", millis(10));
    let stage = stage.with(|config| config.cleanup = Cleanup { interval_jobs: Some(3), ..NEVER });
    let capsule = stage.start().await;
    let old = plant_old(&stage, 5);
    stage.enqueue_all([jobs(3, "A"), jobs(3, "B")].concat()).await;
    capsule.drained().await;
    capsule.idle_for(secs(60)).await;
    assert_eq!(clean_ups(&stage), 0, "no pool has ended more than three");

    stage.enqueue(job("B")).await;
    soon("a clean-up", stage.rigged.until(Kind::CleanUp, 1)).await;
    assert_eq!(left(&stage, &old).await, 0);
    // Both pools begin to count anew.
    stage.enqueue_all([jobs(3, "A"), jobs(3, "B")].concat()).await;
    capsule.drained().await;
    capsule.idle_for(secs(60)).await;
    assert_eq!(clean_ups(&stage), 1, "no pool has ended more than three since");
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_comes_with_the_first_attempt_that_ends_after_the_interval() {
    let stage = Stage::new("*:1").lasting("J", millis(10));
    let stage = stage.with(|config| {
        // Nothing here gets that old, so each clean-up is one call.
        let retention = Retention::default();
        config.cleanup = Cleanup { retention, interval: Some(secs(600)), ..NEVER };
    });
    let capsule = stage.start().await;
    stage.enqueue(job("J")).await;
    capsule.idle_for(secs(3_600)).await;
    assert_eq!(clean_ups(&stage), 0, "an idle worker does not clean up");
    for round in 1..=2 {
        stage.enqueue(job("J")).await;
        stage.rigged.until(Kind::CleanUp, round).await;
        stage.enqueue(job("J")).await;
        capsule.idle_for(secs(700)).await;
        assert_eq!(clean_ups(&stage), round, "the second one came too soon");
    }
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_reason_nothing_is_ever_deleted() {
    let stage = Stage::new("*:5").lasting("J", millis(1));
    let stage = stage.with(|config| config.cleanup = Cleanup::OFF);
    let capsule = stage.start().await;
    let old = plant_old(&stage, 1);
    stage.enqueue_all(jobs(2_000, "J")).await;
    capsule.drained().await;
    capsule.idle_for(secs(3_600)).await;
    stage.enqueue(job("J")).await;
    capsule.idle_for(secs(60)).await;
    assert_eq!((clean_ups(&stage), left(&stage, &old).await), (0, 1));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_goes_on_in_batches_until_nothing_is_left() {
    let stage = Stage::new("*:1").lasting("J", millis(1));
    let stage = stage.with(|config| config.cleanup = Cleanup { interval_jobs: Some(0), ..NEVER });
    let capsule = stage.start().await;
    let old = plant_old(&stage, 2_500);
    let young = stage.enqueue(job("J")).await;
    stage.rigged.until(Kind::CleanUp, 3).await;
    capsule.idle_for(secs(60)).await;
    assert_eq!(clean_ups(&stage), 3, "1,000, 1,000 and 500, which is not a full batch");
    assert_eq!(left(&stage, &old).await, 0);
    assert!(stage.row(young).await.finished_at.is_some());
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_that_fails_is_made_the_next_time() {
    let stage = Stage::new("*:1").lasting("J", millis(1));
    let stage = stage.with(|config| config.cleanup = Cleanup { interval_jobs: Some(0), ..NEVER });
    let capsule = stage.start().await;
    let old = plant_old(&stage, 5);
    for (tries, way) in [(1, Way::Broken), (2, Way::Unfit)] {
        stage.rigged.clean_ups(way);
        stage.enqueue(job("J")).await;
        stage.rigged.until(Kind::CleanUp, tries).await;
        capsule.idle_for(secs(60)).await;
        assert_eq!((clean_ups(&stage), left(&stage, &old).await), (tries, 5));
    }
    stage.rigged.clean_ups(Way::Open);
    stage.enqueue(job("J")).await;
    stage.rigged.until(Kind::CleanUp, 3).await;
    capsule.idle_for(secs(60)).await;
    assert_eq!(left(&stage, &old).await, 0);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_clean_up_and_jobs_do_not_either() {
    let stage = Stage::new("*:1").lasting("J", millis(1));
    let stage = stage.with(|config| config.cleanup = Cleanup { interval_jobs: Some(0), ..NEVER });
    let capsule = stage.start().await;
    let old = plant_old(&stage, 5);
    stage.rigged.clean_ups(Way::Shut);
    stage.enqueue(job("J")).await;
    stage.rigged.until(Kind::CleanUp, 1).await;
    let ids = stage.enqueue_all(jobs(50, "J")).await;
    capsule.drained().await;
    for id in ids {
        assert!(stage.row(id).await.finished_at.is_some());
    }
    soon("the end of the shutdown", capsule.shutdown(Shutdown::Forever)).await;
    stage.rigged.clean_ups(Way::Open);
    assert_eq!((clean_ups(&stage), left(&stage, &old).await), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_its_row_as_its_class_says_or_else_the_worker() {
    let stage = Stage::new("*:2")
        .with(|config| config.preserve = Preserve::OnUnhandledError)
        .lasting("Good", millis(1))
        .failing("Bad", Policy::new(), "boom")
        .failing("Gone", Policy::new().preserve(Preserve::Never), "boom")
        .failing("Torn", Policy::new().preserve(Preserve::When(|_, _| panic!("torn"))), "boom");
    let judged = Preserve::When(|job, error| {
        assert!(error.is_some_and(|error| error.event() == ErrorEvent::Unhandled));
        job.class == "Judged"
    });
    let stage = stage.failing("Judged", Policy::new().preserve(judged), "boom");
    let capsule = stage.start().await;
    let classes = ["Good", "Bad", "Gone", "Torn", "Judged"];
    let ids = stage.enqueue_all(classes.map(job).to_vec()).await;
    capsule.drained().await;
    let mut kept = Vec::new();
    for (id, class) in ids.iter().zip(classes) {
        if stage.memory.job(*id).await.expect("a look").is_some() {
            assert_eq!(stage.attempts(*id).await.len(), 1, "{class}");
            kept.push(class);
        } else {
            assert!(stage.attempts(*id).await.is_empty(), "{class}");
        }
    }
    assert_eq!(kept, ["Bad", "Torn", "Judged"]);
    capsule.shutdown(Shutdown::Forever).await;
}
