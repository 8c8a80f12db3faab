//! Processes that live, leave and die.

use std::time::Duration;

use goodjob_core::{Claim, ErrorEvent, ErrorNote, Fate, Health, Settled, Store};

use super::trial::{any, assert_near, job, near, note};
use super::{Member, Subject, Trial};
use crate::eventually;

/// It moves on between two beats, and is the same to everybody.
pub async fn a_beat_tells_the_stores_time<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let first = member.beat().await;
    let second = other.beat().await;
    assert!(near(first, second), "{first} and {second}");
    let third = eventually("time to pass", Trial::<S>::PATIENCE, async || {
        let now = member.beat().await;
        (now > first).then_some(now)
    });
    assert!(near(third.await, first));
}

/// Nothing is lost before anything is held, nor while it is.
pub async fn locks_are_confirmed_at_rest<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let locks = member.store.locks();
    let confirmed = async || {
        eventually("confirmed locks", Trial::<S>::PATIENCE, async || {
            let state = locks.borrow().clone();
            let is_whole = state.health == Health::Confirmed && state.lost.is_empty();
            if is_whole { Ok(()) } else { Err(format!("{state:?}")) }
        })
        .await;
    };
    confirmed().await;
    member.insert(&job()).await;
    let claim = member.claim_one().await;
    confirmed().await;
    member.settle(claim.token, Fate::Succeed).await;
    confirmed().await;
}

/// However often others beat.
pub async fn a_living_process_keeps_its_jobs<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    member.insert(&job()).await;
    let claim = member.claim_one().await;
    for _ in 0..5 {
        other.beat().await;
        member.beat().await;
        assert!(other.claim(&any(), 9).await.is_empty(), "the owner lives");
    }
    assert_eq!(member.settle(claim.token, Fate::Succeed).await, Settled::Written);
}

/// Lets `member` die with the job that it has claimed, and another take that over.
async fn succession<S: Subject>(trial: &Trial<S>, member: Member<S>, claim: &Claim) -> Heir<S> {
    trial.kill(member).await;
    let member = trial.member().await;
    let claim = member.inherit(claim.job.id).await;
    Heir { member, claim }
}

struct Heir<S: Subject> {
    member: Member<S>,
    claim: Claim,
}

/// The vanished attempt is closed with the gem's words, and the new one knows of it.
pub async fn the_job_of_a_dead_process_runs_again_as_interrupted<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let before = member.insert(&job()).await;
    let claim = member.claim_one().await;
    let Heir { member: heir, claim: again } = succession(trial, member, &claim).await;

    assert_eq!((again.interruptions, again.token.executions_count), (1, 2));
    assert_eq!(again.job.locked_by, Some(heir.process.id));
    assert_eq!(again.job.payload, before.payload, "an interruption counts as no failure");
    assert_eq!(again.job.scheduled_at, before.scheduled_at);
    let started = claim.token.performed_at.format("%Y-%m-%d %H:%M:%S UTC");
    let text =
        format!("GoodJob::InterruptedError: Interrupted after starting perform at '{started}'");
    assert_eq!(again.job.error.as_deref(), Some(text.as_str()));
    assert_eq!(again.job.error_event, Some(ErrorEvent::Interrupted));

    assert_eq!(heir.settle(again.token, Fate::Succeed).await, Settled::Written);
    let row = heir.row(before.id).await;
    assert_eq!((row.error, row.error_event), (None, None), "a success clears it");
    let attempts = heir.attempts(before.id).await;
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    let (vanished, done) = (&attempts[0], &attempts[1]);
    assert_eq!(vanished.error.as_deref(), Some(text.as_str()));
    assert_eq!(vanished.error_event, Some(ErrorEvent::Interrupted));
    assert_near("the vanished start", Some(vanished.started_at), claim.token.performed_at);
    assert_near("the vanished end", vanished.finished_at, again.token.performed_at);
    assert_eq!((done.id, done.error_event), (again.token.execution, None));
}

/// One, two, three: what stops a job that kills its process each time.
pub async fn interruptions_in_a_row_are_counted<S: Subject>(trial: &Trial<S>) {
    let mut member = trial.member().await;
    member.insert(&job()).await;
    let mut claim = member.claim_one().await;
    for times in 1..=3 {
        Heir { member, claim } = succession(trial, member, &claim).await;
        assert_eq!(claim.interruptions, times);
    }
    let attempts = member.attempts(claim.job.id).await;
    let vanished = attempts.iter().filter(|a| a.error_event == Some(ErrorEvent::Interrupted));
    assert_eq!(vanished.count(), 3, "{attempts:?}");
}

/// Being cut off by a shutdown is not the job's fault.
pub async fn a_put_back_job_was_not_interrupted<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    member.insert(&job()).await;
    let claim = member.claim_one().await;
    let error = ErrorNote::new(
        "GoodJob::InterruptedError",
        "Cut off by its worker after starting perform at '2027-01-15 08:00:00 UTC'",
        Vec::new(),
        ErrorEvent::Interrupted,
    );
    member.settle(claim.token, Fate::PutBack { error }).await;
    assert_eq!(member.claim_one().await.interruptions, 0);
}

/// Only attempts that vanish one after the other add up.
pub async fn an_outcome_ends_the_row_of_interruptions<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    member.insert(&job()).await;
    let claim = member.claim_one().await;
    let Heir { member, claim } = succession(trial, member, &claim).await;
    assert_eq!(claim.interruptions, 1);
    let retry = Fate::Retry {
        wait: Duration::ZERO,
        payload: claim.job.payload.clone(),
        error: Some(note(ErrorEvent::Retried)),
    };
    member.settle(claim.token, retry).await;
    let claim = member.claim_one().await;
    assert_eq!(claim.interruptions, 0);
    let Heir { claim, .. } = succession(trial, member, &claim).await;
    assert_eq!(claim.interruptions, 1, "the row begins anew");
}

/// As the error of a job that is given up does, which names the last interruption.
pub async fn an_outcome_that_quotes_an_interruption_is_none<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    member.insert(&job()).await;
    let claim = member.claim_one().await;
    let Heir { member, claim } = succession(trial, member, &claim).await;
    let last = claim.job.error.clone().unwrap_or_default();
    let message = format!("1 attempts in a row ended without an outcome; last: {last}");
    let class = "GoodJob::InterruptedError";
    let error = ErrorNote::new(class, &message, Vec::new(), ErrorEvent::Interrupted);
    let outcome = Fate::Retry {
        wait: Duration::ZERO,
        payload: claim.job.payload.clone(),
        error: Some(error),
    };
    assert_eq!(member.settle(claim.token, outcome.clone()).await, Settled::Written);
    assert_eq!(member.settle(claim.token, outcome).await, Settled::Written, "told again");
    let claim = member.claim_one().await;
    assert_eq!(claim.interruptions, 0);
    let Heir { claim, .. } = succession(trial, member, &claim).await;
    assert_eq!(claim.interruptions, 1, "the row begins anew");
}

/// At once, without waiting for its death to be noticed.
pub async fn a_process_that_leaves_frees_its_jobs<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    member.insert(&job()).await;
    let claim = member.claim_one().await;
    trial.leave(member).await;
    assert_eq!(other.inherit(claim.job.id).await.token.executions_count, 2);
}
