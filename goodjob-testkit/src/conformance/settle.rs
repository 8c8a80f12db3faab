//! Writing down how attempts ended.

use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{
    Claim, ErrorEvent, ErrorNote, Fate, Inspect, JobRecord, JobState, Settled, Settlement, Store,
    Token,
};
use serde_json::json;

use super::trial::{TOOK, any, assert_near, job, near, note, timeless};
use super::{Member, Subject, Trial};

/// A claimed job.
async fn claimed<S: Subject>(member: &Member<S>) -> Claim {
    member.insert(&job()).await;
    member.claim_one().await
}

/// Checks the one attempt at a job, and what is the same after every outcome.
async fn assert_attempt<S: Subject>(
    member: &Member<S>,
    claim: &Claim,
    error: Option<&ErrorNote>,
) -> JobRecord {
    let row = member.row(claim.job.id).await;
    assert_eq!((row.locked_by, row.executions_count), (None, 1));
    let attempts = member.attempts(row.id).await;
    assert_eq!(attempts.len(), 1, "one attempt, found {attempts:?}");
    let attempt = &attempts[0];
    assert_eq!((attempt.id, attempt.job), (claim.token.execution, row.id));
    assert_eq!(attempt.process, Some(member.process.id));
    assert_eq!(attempt.scheduled_at, claim.job.scheduled_at);
    assert!(near(attempt.started_at, claim.token.performed_at), "{attempt:?}");
    assert!(attempt.finished_at >= Some(attempt.started_at), "{attempt:?}");
    let took = attempt.duration.expect("a duration");
    assert!(took.abs_diff(TOOK) < Duration::from_millis(1), "{attempt:?}");
    assert_eq!(attempt.error.as_deref(), error.map(ErrorNote::text));
    assert_eq!(attempt.error_event, error.map(ErrorNote::event));
    assert_eq!(attempt.backtrace, error.map_or(&[][..], ErrorNote::backtrace));
    row
}

/// The job is over and has no error, not even that of an earlier attempt.
pub async fn a_success_ends_the_job<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let claim = claimed(&member).await;
    assert_eq!(member.settle(claim.token, Fate::Succeed).await, Settled::Written);
    let row = assert_attempt(&member, &claim, None).await;
    assert!(row.finished_at >= row.performed_at, "{row:?}");
    assert_eq!(row.performed_at, Some(claim.token.performed_at));
    assert_eq!((row.error.as_deref(), row.error_event), (None, None));
    assert_eq!(row.state(member.beat().await), JobState::Succeeded);

    // Over again with a failure before it.
    let claim = claimed(&member).await;
    let retry = Fate::Retry {
        wait: Duration::ZERO,
        payload: claim.job.payload.clone(),
        error: Some(note(ErrorEvent::Retried)),
    };
    member.settle(claim.token, retry).await;
    let again = member.claim_one().await;
    assert_eq!((again.job.id, again.interruptions), (claim.job.id, 0));
    assert_eq!(again.token.executions_count, 2);
    assert_ne!(again.token.execution, claim.token.execution);
    member.settle(again.token, Fate::Succeed).await;
    let row = member.row(claim.job.id).await;
    assert_eq!((row.error.as_deref(), row.error_event), (None, None));
    let attempts = member.attempts(row.id).await;
    let events: Vec<_> = attempts.iter().map(|attempt| attempt.error_event).collect();
    assert_eq!(events, [Some(ErrorEvent::Retried), None], "oldest first");
}

/// Due `wait` from now, with its raised counts and its error; nobody runs it before that.
pub async fn a_retry_makes_the_job_due_later<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let claim = claimed(&member).await;
    let mut payload = claim.job.payload.clone();
    payload.count_retry(Some("[Weather::Bad]"));
    payload.set("ours", json!({"kept": [1, null]}));
    let error = note(ErrorEvent::Retried);
    let retry = Fate::Retry {
        wait: Duration::from_secs(90),
        payload: payload.clone(),
        error: Some(error.clone()),
    };
    let now = member.beat().await;
    assert_eq!(member.settle(claim.token, retry).await, Settled::Written);
    let row = assert_attempt(&member, &claim, Some(&error)).await;
    assert_eq!((row.performed_at, row.finished_at), (None, None));
    assert_near("scheduled_at", row.scheduled_at, now + TimeDelta::seconds(90));
    assert_eq!(timeless(&row.payload), timeless(&payload));
    assert_eq!((row.payload.executions(), row.created_at), (1, claim.job.created_at));
    assert_eq!(row.error.as_deref(), Some(error.text()));
    assert_eq!(row.error_event, Some(ErrorEvent::Retried));
    assert!(member.claim(&any(), 9).await.is_empty(), "not due for 90 seconds");
}

/// A retry without an error leaves none in the attempt.
pub async fn a_snooze_is_no_failure<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let claim = claimed(&member).await;
    let payload = claim.job.payload.clone();
    let snooze = Fate::Retry { wait: Duration::from_secs(60), payload, error: None };
    let now = member.beat().await;
    assert_eq!(member.settle(claim.token, snooze).await, Settled::Written);
    let row = assert_attempt(&member, &claim, None).await;
    assert_near("scheduled_at", row.scheduled_at, now + TimeDelta::seconds(60));
    assert_eq!(timeless(&row.payload), timeless(&claim.job.payload));
    assert_eq!(row.error, None);
    assert_eq!(row.performed_at, None);
}

/// The attempt is marked; the job is due as it was, with the counts that it had.
pub async fn a_put_back_job_is_claimable_at_once<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let claim = claimed(&member).await;
    let error = note(ErrorEvent::Interrupted);
    let put_back = Fate::PutBack { error: error.clone() };
    assert_eq!(member.settle(claim.token, put_back).await, Settled::Written);
    let row = assert_attempt(&member, &claim, Some(&error)).await;
    assert_eq!((row.performed_at, row.finished_at), (None, None));
    assert_eq!((row.scheduled_at, &row.payload), (claim.job.scheduled_at, &claim.job.payload));
    assert_eq!(other.claim_one().await.job.id, claim.job.id, "by another process too");
}

/// The job is over, and its error stays.
pub async fn a_discard_ends_the_job_with_its_error<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    for event in [
        ErrorEvent::Unhandled,
        ErrorEvent::RetryStopped,
        ErrorEvent::Discarded,
        ErrorEvent::Interrupted,
    ] {
        let claim = claimed(&member).await;
        let error = note(event);
        let discard = Fate::Discard { error: error.clone() };
        assert_eq!(member.settle(claim.token, discard).await, Settled::Written);
        let row = assert_attempt(&member, &claim, Some(&error)).await;
        assert!(row.finished_at >= row.performed_at, "{row:?}");
        assert_eq!(row.error.as_deref(), Some(error.text()));
        assert_eq!(row.error_event, Some(event));
        assert_eq!(row.payload, claim.job.payload);
        assert_eq!(row.state(member.beat().await), JobState::Discarded);
    }
    assert!(member.claim(&any(), 9).await.is_empty());
}

/// After a lost answer the same call is made again, perhaps when the job is running once more.
pub async fn a_repeated_settle_writes_nothing_twice<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let ended =
        |claim: &Claim, job: Fate| [(claim.token, Settlement { job, keep: true, duration: TOOK })];
    let state =
        async |claim: &Claim| (member.row(claim.job.id).await, member.attempts(claim.job.id).await);

    let claim = claimed(&member).await;
    let success = ended(&claim, Fate::Succeed);
    member.store.settle(&success).await.expect("a settle");
    let before = state(&claim).await;
    member.store.settle(&success).await.expect("a repeated settle");
    assert_eq!(state(&claim).await, before);

    let claim = claimed(&member).await;
    let mut payload = claim.job.payload.clone();
    payload.count_retry(Some("[Weather::Bad]"));
    let error = Some(note(ErrorEvent::Retried));
    let retry = ended(&claim, Fate::Retry { wait: Duration::ZERO, payload, error });
    member.store.settle(&retry).await.expect("a settle");
    let before = state(&claim).await;
    member.store.settle(&retry).await.expect("a repeated settle");
    assert_eq!(state(&claim).await, before);

    let again = other.claim_one().await;
    let before = state(&again).await;
    member.store.settle(&retry).await.expect("a repeated settle");
    assert_eq!(state(&again).await, before, "while another attempt is running");
    assert_eq!(other.settle(again.token, Fate::Succeed).await, Settled::Written);
}

/// What was given back as never begun cannot end.
pub async fn a_released_attempt_is_fenced<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let claim = claimed(&member).await;
    member.release(claim.token).await;
    let before = member.row(claim.job.id).await;
    assert_eq!(member.settle(claim.token, Fate::Succeed).await, Settled::Fenced);
    assert_eq!(member.row(claim.job.id).await, before);

    let again = other.claim_one().await;
    assert_eq!(member.settle(claim.token, Fate::Succeed).await, Settled::Fenced);
    assert_eq!(other.row(claim.job.id).await, again.job);
}

/// A process that was thought dead, and its job given to another, cannot write any more.
pub async fn an_attempt_that_was_taken_over_is_fenced<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let claim = claimed(&member).await;
    trial.kill(member).await;
    let heir = other.inherit(claim.job.id).await;
    let before = (other.row(heir.job.id).await, other.attempts(heir.job.id).await);
    let error = note(ErrorEvent::Discarded);
    for late in [Fate::Succeed, Fate::Discard { error }] {
        assert_eq!(other.settle(claim.token, late).await, Settled::Fenced);
    }
    other.release(claim.token).await;
    let after = (other.row(heir.job.id).await, other.attempts(heir.job.id).await);
    assert_eq!(after, before);
    assert_eq!(other.settle(heir.token, Fate::Succeed).await, Settled::Written);
}

/// One group holds outcomes of every kind, and some that are fenced.
pub async fn answers_to_a_settle_come_in_the_order_asked<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let jobs: Vec<_> = (0..6).map(|_| job()).collect();
    member.insert_all(&jobs).await;
    let claims = member.claim(&any(), 6).await;
    member.release(claims[1].token).await;
    member.release(claims[4].token).await;
    let payload = claims[2].job.payload.clone();
    let fates = [
        Fate::Discard { error: note(ErrorEvent::Discarded) },
        Fate::Succeed,
        Fate::Retry { wait: Duration::from_secs(60), payload, error: None },
        Fate::Succeed,
        Fate::Succeed,
        Fate::PutBack { error: note(ErrorEvent::Interrupted) },
    ];
    let ended: Vec<_> = claims
        .iter()
        .zip(fates)
        .map(|(claim, job)| (claim.token, Settlement { job, keep: true, duration: TOOK }))
        .rev()
        .collect();
    let (w, f) = (Settled::Written, Settled::Fenced);
    assert_eq!(member.store.settle(&ended).await.expect("a settle"), [w, f, w, w, f, w]);
    let now = member.beat().await;
    let mut states = Vec::new();
    for claim in &claims {
        states.push(member.row(claim.job.id).await.state(now));
    }
    use JobState::{Discarded, Queued, Scheduled, Succeeded};
    assert_eq!(states, [Discarded, Queued, Scheduled, Succeeded, Queued, Queued]);
}

/// No start, no count, no attempt, no owner; and the job is claimable at once.
pub async fn a_release_leaves_no_trace<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let before = member.insert(&job()).await;
    for _ in 0..2 {
        let claim = member.claim_one().await;
        assert_eq!((claim.interruptions, claim.token.executions_count), (0, 1));
        member.release(claim.token).await;
        assert_eq!(member.row(before.id).await, before);
        assert!(member.attempts(before.id).await.is_empty());
    }
    let claim = other.claim_one().await;
    assert_eq!((claim.interruptions, claim.token.executions_count), (0, 1));
}

/// Nor does a release of an attempt that has ended.
pub async fn a_repeated_release_takes_nothing_back_from_others<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let claim = claimed(&member).await;
    member.release(claim.token).await;
    member.release(claim.token).await;
    let again = other.claim_one().await;
    member.release(claim.token).await;
    assert_eq!(other.row(claim.job.id).await, again.job);
    assert_eq!(other.settle(again.token, Fate::Succeed).await, Settled::Written);
    let before = other.row(claim.job.id).await;
    other.release(again.token).await;
    assert_eq!(other.row(claim.job.id).await, before);
}

/// However long it is and whatever it holds; what cannot be stored was replaced before.
pub async fn any_error_text_can_be_written<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let long = "lång 🐘 ".repeat(30_000);
    let texts = ["nul \0 byte", "it's; 100% \\ \"{x}\"", "\u{1}\u{7f}\u{fffe}\r\n", "", &long];
    for text in texts {
        let claim = claimed(&member).await;
        let backtrace = vec![text.to_owned(), String::new(), "NULL".to_owned()];
        let error = ErrorNote::new("Ünïcode::Error", text, backtrace, ErrorEvent::Unhandled);
        let discard = Fate::Discard { error: error.clone() };
        assert_eq!(member.settle(claim.token, discard).await, Settled::Written);
        let row = assert_attempt(&member, &claim, Some(&error)).await;
        assert_eq!(row.error.as_deref(), Some(error.text()));
    }
}

/// Empty groups are no errors.
pub async fn nothing_at_all_can_be_settled_and_released<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    assert_eq!(member.store.settle(&[]).await.expect("a settle of nothing"), []);
    member.store.release(&[]).await.expect("a release of nothing");
}

/// An outcome after which the job is not to be kept.
fn unkept(token: Token, job: Fate) -> (Token, Settlement) {
    (token, Settlement { job, keep: false, duration: TOOK })
}

/// Whatever attempts there were; and the outcome counts as written however often it is told.
pub async fn a_job_that_is_not_kept_goes_with_its_attempts<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let error = note(ErrorEvent::Discarded);
    for fate in [Fate::Succeed, Fate::Discard { error }] {
        let claim = claimed(&member).await;
        let payload = claim.job.payload.clone();
        let retry = Fate::Retry { wait: Duration::ZERO, payload, error: None };
        member.settle(claim.token, retry).await;
        let again = member.claim_one().await;
        let id = again.job.id;
        assert!(!member.attempts(id).await.is_empty());
        for _ in 0..2 {
            let ended = [unkept(again.token, fate.clone())];
            let settled = member.store.settle(&ended).await.expect("a settle");
            assert_eq!(settled, [Settled::Written]);
            assert_eq!(member.store.job(id).await.expect("a look at a job"), None);
            assert!(member.attempts(id).await.is_empty());
        }
    }
    let kept = claimed(&member).await;
    assert_eq!(member.settle(kept.token, Fate::Succeed).await, Settled::Written);
    assert_eq!(member.row(kept.job.id).await.error, None, "others are kept");
}

/// Nobody may lose a job by a word about its end.
pub async fn a_job_that_will_run_again_is_kept_anyway<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let claim = claimed(&member).await;
    let payload = claim.job.payload.clone();
    let error = note(ErrorEvent::Interrupted);
    let retry = Fate::Retry { wait: Duration::ZERO, payload, error: None };
    let mut token = claim.token;
    for fate in [retry, Fate::PutBack { error }] {
        let settled = member.store.settle(&[unkept(token, fate)]).await.expect("a settle");
        assert_eq!(settled, [Settled::Written]);
        let again = member.claim_one().await;
        assert_eq!(again.job.id, claim.job.id);
        token = again.token;
    }
    assert_eq!(member.settle(token, Fate::Succeed).await, Settled::Written);
}

/// In one group with outcomes that are kept; an attempt that lost its job deletes nothing.
pub async fn a_deletion_is_fenced_like_any_outcome<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let jobs: Vec<_> = (0..3).map(|_| job()).collect();
    member.insert_all(&jobs).await;
    let claims = member.claim(&any(), 3).await;
    member.release(claims[1].token).await;
    let heir = other.claim_one().await;
    let kept = Settlement { job: Fate::Succeed, keep: true, duration: TOOK };
    let ended = [
        unkept(claims[0].token, Fate::Succeed),
        unkept(claims[1].token, Fate::Succeed),
        (claims[2].token, kept),
    ];
    let settled = member.store.settle(&ended).await.expect("a settle");
    assert_eq!(settled, [Settled::Written, Settled::Fenced, Settled::Written]);
    assert_eq!(member.store.job(claims[0].job.id).await.expect("a look at a job"), None);
    assert_eq!(other.row(heir.job.id).await, heir.job, "its new owner still runs it");
    assert!(member.row(claims[2].job.id).await.finished_at.is_some());
    assert_eq!(other.settle(heir.token, Fate::Succeed).await, Settled::Written);
}
