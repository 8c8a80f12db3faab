//! What becomes of jobs, end to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use goodjob_core::{
    Backoff, Context, ErrorEvent, Job, JobError, JobId, JobRecord, JobResult, JobState, Panicked,
    Payload, Perform, Policy, ProcessRecord, QueueSelector, Registry, Retry, Shutdown, Store, Ties,
    TimedOut, Unhandled, Wanted,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::rigged::Kind;
use crate::stage::{Stage, What, job, jobs, millis, secs};

async fn events(stage: &Stage, id: JobId) -> Vec<Option<ErrorEvent>> {
    stage.attempts(id).await.iter().map(|attempt| attempt.error_event).collect()
}

/// Fails until the `n`-th attempt.
fn nth_time(stage: Stage, n: u32, policy: Policy) -> Stage {
    let times = Arc::new(AtomicU32::new(0));
    stage.job_with("J", policy, move |_| {
        let time = times.fetch_add(1, Ordering::Relaxed) + 1;
        async move { if time < n { Err(std::fmt::Error.into()) } else { Ok(()) } }
    })
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_is_tried_again_with_growing_waits_until_it_succeeds() {
    let rule = Retry::attempts(5).wait(Backoff::Polynomial).jitter(0.0);
    let policy = Policy::new().retry_on::<std::fmt::Error>(rule);
    let stage = nth_time(Stage::new("*:2"), 3, policy);
    let capsule = stage.start().await;
    let start = Instant::now();
    let id = stage.enqueue(job("J")).await;
    stage.log.until(What::Ended, 1, "J").await;
    capsule.drained().await;

    let row = stage.row(id).await;
    assert_eq!((row.performed_at, row.finished_at, row.locked_by), (None, None, None));
    assert_eq!(row.scheduled_at, Some(stage.clock.now() + secs(3)));
    assert_eq!(
        row.error.as_deref(),
        Some("core::fmt::Error: an error occurred when formatting an argument")
    );
    assert_eq!(row.error_event, Some(ErrorEvent::Retried));
    assert_eq!(row.payload.executions(), 1);
    assert_eq!(row.payload.exception_executions("[core::fmt::Error]"), 1);

    stage.log.until(What::Ended, 3, "J").await;
    let began = stage.log.times(What::Began, "J");
    for (n, expected) in [0, 3, 21].into_iter().enumerate() {
        let late = (began[n] - start).checked_sub(secs(expected)).expect("never early");
        assert!(late <= millis(250), "attempt {n} was {late:?} late");
    }
    capsule.shutdown(Shutdown::Forever).await;
    let row = stage.row(id).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    assert_eq!((row.error, row.error_event, row.executions_count), (None, None, 3));
    assert_eq!(row.payload.executions(), 2);
    let retried = Some(ErrorEvent::Retried);
    assert_eq!(events(&stage, id).await, [retried, retried, None]);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_attempts_are_used_up_is_discarded() {
    let rule = Retry::attempts(3).wait(Backoff::Constant(secs(1)));
    let stage = Stage::new("*:2").failing("J", Policy::new().retry_on_any(rule), "no luck");
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    stage.log.until(What::Ended, 3, "J").await;
    capsule.idle_for(secs(60)).await;
    assert_eq!(stage.log.began("J"), 3);
    assert_eq!(stage.state(id).await, JobState::Discarded);
    let row = stage.row(id).await;
    assert_eq!(row.error.as_deref(), Some("JobError: no luck"));
    assert_eq!(row.error_event, Some(ErrorEvent::RetryStopped));
    assert_eq!(capsule.pools()[0].errored, 3);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_that_no_rule_matches_ends_the_job() {
    let stage = Stage::new("*:2").failing("J", Policy::new(), "boom");
    let capsule = stage.start().await;
    let id = stage.enqueue(job("J")).await;
    capsule.drained().await;
    capsule.idle_for(secs(60)).await;
    assert_eq!(stage.log.began("J"), 1);
    assert_eq!(stage.state(id).await, JobState::Discarded);
    assert_eq!(stage.row(id).await.error_event, Some(ErrorEvent::Unhandled));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn with_retry_on_unhandled_error_it_is_due_at_once_and_nothing_is_counted() {
    let stage = Stage::new("*:2").with(|config| config.unhandled = Unhandled::RetryAtOnce);
    let stage = nth_time(stage.unpolled(), 6, Policy::new());
    let capsule = stage.start().await;
    let start = Instant::now();
    let id = stage.enqueue(job("J")).await;
    capsule.drained().await;
    assert!(start.elapsed() <= millis(250), "{:?}", start.elapsed());
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    let row = stage.row(id).await;
    assert_eq!((row.executions_count, row.payload.executions()), (6, 0));
    assert_eq!(events(&stage, id).await[..5], [Some(ErrorEvent::Unhandled); 5]);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_can_discard_and_snooze_itself() {
    let stage = Stage::new("*:2")
        .job_with("D", Policy::new().retry_on_any(Retry::unlimited()), |_| async {
            Err(JobError::discard("enough"))
        })
        .job("S", |cx| async move {
            if cx.state().began("S") < 2 {
                return Err(JobError::snooze(secs(60)));
            }
            Ok(())
        });
    let capsule = stage.start().await;
    let start = Instant::now();
    let (discarded, snoozed) = (stage.enqueue(job("D")).await, stage.enqueue(job("S")).await);
    stage.log.until(What::Ended, 2, "S").await;
    assert!(start.elapsed() >= secs(60) && start.elapsed() <= millis(60_250));
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.state(discarded).await, JobState::Discarded);
    assert_eq!(events(&stage, discarded).await, [Some(ErrorEvent::Discarded)]);
    assert_eq!(stage.state(snoozed).await, JobState::Succeeded);
    assert_eq!(events(&stage, snoozed).await, [None, None]);
    assert_eq!(stage.row(snoozed).await.payload.executions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_recorded_with_its_place_and_harms_no_other_job() {
    let stage = Stage::new("*:3").lasting("G", millis(10)).job("P", |_| async {
        sleep(millis(5)).await;
        panic!("the roof fell in")
    });
    let capsule = stage.start().await;
    let ids = stage.enqueue_all([jobs(3, "P"), jobs(100, "G")].concat()).await;
    capsule.drained().await;
    for id in &ids[..3] {
        let row = stage.row(*id).await;
        assert_eq!(row.error.as_deref(), Some("Panic: the roof fell in"));
        assert_eq!(row.error_event, Some(ErrorEvent::Unhandled));
        let attempts = stage.attempts(*id).await;
        let place = &attempts[0].backtrace[0];
        assert!(place.starts_with("panicked at ") && place.contains("outcomes.rs:"), "{place}");
    }
    for id in &ids[3..] {
        assert_eq!(stage.state(*id).await, JobState::Succeeded);
    }
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_is_recorded_and_can_be_retried() {
    let rule = Retry::attempts(2).wait(Backoff::Constant(secs(1)));
    let policy = Policy::new().retry_on::<Panicked>(rule);
    let stage = Stage::new("*:1").job_with("P", policy, |cx| {
        assert!(cx.attempt() > 1, "not at the {}. time", cx.attempt());
        async { Ok(()) }
    });
    let capsule = stage.start().await;
    let id = stage.enqueue(job("P")).await;
    stage.log.until(What::Ended, 2, "P").await;
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    let attempts = stage.attempts(id).await;
    assert_eq!(attempts[0].error.as_deref(), Some("Panic: not at the 1. time"));
    assert_eq!(attempts[0].error_event, Some(ErrorEvent::Retried));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_told_and_ends_as_timed_out() {
    let rule = Retry::attempts(2).wait(Backoff::Constant(secs(1)));
    let retried = Policy::new().timeout(secs(10)).retry_on::<TimedOut>(rule);
    let discarded = Policy::new().timeout(secs(10));
    let obeys = |cx: Context<crate::stage::Log>| async move {
        cx.cancelled().await;
        Ok(())
    };
    let stage = Stage::new("*:2").job_with("R", retried, obeys).job_with("D", discarded, obeys);
    let capsule = stage.start().await;
    let start = Instant::now();
    let (retried, discarded) = (stage.enqueue(job("R")).await, stage.enqueue(job("D")).await);
    stage.log.until(What::Ended, 2, "R").await;
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.log.times(What::Ended, "D")[0] - start, secs(10), "it was told in time");

    let text = Some("goodjob_core::job::error::TimedOut: took longer than 10s");
    let row = stage.row(discarded).await;
    assert_eq!((row.error.as_deref(), row.error_event), (text, Some(ErrorEvent::Unhandled)));
    assert_eq!(stage.attempts(discarded).await[0].duration, Some(secs(10)));
    let (again, stopped) = (Some(ErrorEvent::Retried), Some(ErrorEvent::RetryStopped));
    assert_eq!(events(&stage, retried).await, [again, stopped]);
    assert_eq!(stage.row(retried).await.error.as_deref(), text);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ignores_its_time_limit_is_dropped_a_grace_later() {
    let stage = Stage::new("*:1").with(|config| config.cancel_grace = secs(3)).job_with(
        "J",
        Policy::new().timeout(secs(10)),
        |_| async { std::future::pending().await },
    );
    let capsule = stage.start().await;
    let start = Instant::now();
    let ids = stage.enqueue_all(jobs(2, "J")).await;
    stage.log.until(What::Ended, 2, "J").await;
    let ended = stage.log.times(What::Ended, "J");
    assert_eq!(ended[0] - start, secs(13));
    assert!(ended[1] - ended[0] <= millis(13_250), "its slot is free again");
    capsule.shutdown(Shutdown::Forever).await;
    for id in ids {
        let error = stage.row(id).await.error.expect("an error");
        assert!(error.contains("TimedOut: took longer than 10s"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_killed_three_processes_in_a_row_is_discarded_unrun() {
    let stage = Stage::new("*:1").lasting("J", millis(10));
    let id = stage.enqueue(job("J")).await;
    let wanted = Wanted { queues: QueueSelector::All, classes: vec!["J".to_owned()] };
    for n in 0..3 {
        let victim = stage.memory.another();
        victim.beat(&ProcessRecord::new("victim")).await.expect("a beat");
        let claims = victim.claim(&wanted, 1).await.expect("a claim");
        assert_eq!(claims.taken[0].interruptions, n);
        victim.vanish();
    }
    let capsule = stage.start().await;
    capsule.drained().await;
    assert_eq!(stage.log.began("J"), 0);
    let row = stage.row(id).await;
    assert_eq!(stage.state(id).await, JobState::Discarded);
    assert_eq!(row.error_event, Some(ErrorEvent::Interrupted));
    let error = row.error.expect("an error");
    assert!(error.contains("3 attempts in a row ended without an outcome"), "{error}");
    assert!(error.contains("last: GoodJob::InterruptedError: Interrupted after"), "{error}");
    assert_eq!(capsule.pools()[0].errored, 1);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn two_interruptions_do_not_stop_a_job_and_it_knows_of_them() {
    let stage = Stage::new("*:1").job("J", |cx| async move {
        Err(JobError::discard(format!("{} before me", cx.interrupted_attempts())))
    });
    let id = stage.enqueue(job("J")).await;
    let wanted = Wanted { queues: QueueSelector::All, classes: vec!["J".to_owned()] };
    for _ in 0..2 {
        let victim = stage.memory.another();
        victim.beat(&ProcessRecord::new("victim")).await.expect("a beat");
        victim.claim(&wanted, 1).await.expect("a claim");
        victim.vanish();
    }
    let capsule = stage.start().await;
    capsule.drained().await;
    assert_eq!(stage.row(id).await.error.as_deref(), Some("JobError: 2 before me"));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_of_an_unknown_class_is_left_for_a_worker_that_knows_it() {
    let stage = Stage::new("*:2").lasting("J", millis(10));
    let capsule = stage.start().await;
    let (foreign, known) = (stage.enqueue(job("Ruby::Job")).await, stage.enqueue(job("J")).await);
    capsule.idle_for(secs(600)).await;
    assert_eq!(stage.state(known).await, JobState::Succeeded);
    let row = stage.row(foreign).await;
    assert_eq!((row.performed_at, row.executions_count, row.locked_by), (None, 0, None));
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.state(foreign).await, JobState::Queued);
}

#[derive(Serialize, Deserialize)]
struct Welcome {
    user: User,
}

#[derive(Serialize, Deserialize)]
struct User {
    id: i64,
}

impl Job for Welcome {
    const CLASS: &'static str = "WelcomeJob";
}

impl Perform for Welcome {
    fn policy() -> Policy {
        // Not even this runs what cannot be read.
        Policy::new().retry_on_any(Retry::unlimited())
    }

    async fn perform(self, _: Context) -> JobResult {
        let User { id } = self.user;
        Err(JobError::discard(format!("ran for user {id}")))
    }
}

fn planted(stage: &Stage, payload: Value) -> JobId {
    let id = JobId::generate();
    let now = stage.clock.now();
    stage.memory.plant(JobRecord {
        id,
        class: "WelcomeJob".to_owned(),
        queue: None,
        priority: None,
        payload: Payload::from_value(payload),
        labels: Vec::new(),
        ties: Ties::default(),
        created_at: now,
        scheduled_at: Some(now),
        performed_at: None,
        finished_at: None,
        error: None,
        error_event: None,
        executions_count: 0,
        locked_by: None,
    });
    id
}

#[tokio::test(start_paused = true)]
async fn arguments_that_cannot_be_read_end_the_job_and_name_the_field() {
    let mut stage = Stage::new("*:2");
    stage.handlers = Registry::default().register::<Welcome>().into();
    let keywords = |user: Value| json!({"arguments": [{"user": user, "_aj_ruby2_keywords": ["user"]}], "executions": 0});
    let good = planted(&stage, keywords(json!({"id": 7})));
    let wrong = planted(&stage, keywords(json!({"id": "seven"})));
    let none = planted(&stage, json!({"executions": 3}));
    let no_array = planted(&stage, json!({"arguments": {"user": 1}}));
    let capsule = stage.start().await;
    capsule.drained().await;
    capsule.idle_for(secs(600)).await;

    let mut errors = Vec::new();
    for id in [good, wrong, none, no_array] {
        let row = stage.row(id).await;
        assert_eq!((stage.state(id).await, row.executions_count), (JobState::Discarded, 1));
        errors.push(row.error.expect("an error"));
    }
    assert_eq!(errors[0], "JobError: ran for user 7");
    assert!(errors[1].starts_with("ArgumentsError: arguments.user.id: "), "{}", errors[1]);
    assert!(errors[1].contains("seven"), "{}", errors[1]);
    for error in &errors[2..] {
        assert_eq!(error, "ArgumentsError: arguments: found none, expected an array");
    }
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_written_in_groups() {
    let stage = Stage::new("*:200").lasting("J", millis(10));
    let capsule = stage.start().await;
    stage.enqueue_all(jobs(1_000, "J")).await;
    capsule.drained().await;
    let settles = stage.rigged.calls(Kind::Settle);
    assert_eq!(settles.iter().map(|call| call.jobs.len()).sum::<usize>(), 1_000);
    assert!(settles.len() < 500, "{} statements for 1,000 outcomes", settles.len());
    capsule.shutdown(Shutdown::Forever).await;
}
