//! Finding, locking and starting jobs.

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{
    Due, Fate, Inspect, JobId, JobState, NewJob, Options, Payload, QueueSelector, Store, Timestamp,
};
use serde_json::json;

use super::trial::{CLASS, any, assert_near, job, job_of, job_on, planted, timeless, wanted};
use super::{Subject, Trial};
use crate::eventually;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn ids(jobs: &[NewJob]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

fn due(at: Timestamp, mut job: NewJob) -> NewJob {
    job.due = Due::At(at);
    job
}

/// A job whose owner nobody has heard of would look like one whose owner died.
pub async fn nothing_is_claimed_before_the_first_beat<S: Subject>(trial: &Trial<S>) {
    let (stranger, member) = (trial.stranger().await, trial.member().await);
    let job = job();
    member.insert_all(std::slice::from_ref(&job)).await;
    let claims = stranger.store.claim(&any(), 1).await;
    assert!(claims.is_err(), "expected an error, found {claims:?}");
    assert_eq!(member.claim_ids(&any(), 9).await, [job.id]);
}

/// For the mode `inline`: somebody waits for these, and for no others.
pub async fn certain_jobs_are_claimed_if_they_are_due_free_and_wanted<S: Subject>(
    trial: &Trial<S>,
) {
    let (member, other) = (trial.member().await, trial.member().await);
    let now = member.beat().await;
    let (free, held, unasked, late) = (job(), job(), job(), due(now + TimeDelta::hours(1), job()));
    let foreign = job_of("SomebodyElsesJob", Options::new());
    member.insert_all(std::slice::from_ref(&held)).await;
    assert_eq!(other.claim_ids(&any(), 1).await, [held.id]);
    let all = [free.clone(), unasked, late.clone(), foreign.clone()];
    member.insert_all(&all).await;
    let asked = [free.id, held.id, late.id, foreign.id];
    let taken = member.claim_jobs(&asked).await;
    assert_eq!(taken.iter().map(|claim| claim.job.id).collect::<Vec<_>>(), [free.id]);
    assert_eq!(taken[0].job.locked_by, Some(member.process.id));
    let again = member.claim_jobs(&asked).await;
    assert_eq!(again.len(), 0, "{again:?}");
}

/// The claim, its token and the row agree on owner, start and count.
pub async fn a_claim_starts_an_attempt<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let before = member.insert(&job()).await;
    let now = member.beat().await;
    let claim = member.claim_one().await;
    let (row, token) = (member.row(before.id).await, claim.token);
    assert_eq!(claim.job, row, "the job is handed over as it stands");
    assert_eq!(claim.interruptions, 0);
    assert_eq!((token.job, token.executions_count), (before.id, 1));
    assert_eq!((row.performed_at, row.executions_count), (Some(token.performed_at), 1));
    assert_near("performed_at", row.performed_at, now);
    assert_eq!(row.locked_by, Some(member.process.id));
    assert_eq!(row.state(now), JobState::Running);
    assert_eq!((row.scheduled_at, row.created_at), (before.scheduled_at, before.created_at));
    assert_eq!(row.payload, before.payload, "the counts rise when an attempt fails");
    // An attempt's row may be written later than its start, but never as ended.
    for attempt in member.attempts(row.id).await {
        assert_eq!((attempt.id, attempt.finished_at), (token.execution, None));
    }
}

/// The order in which jobs start.
pub async fn smaller_priorities_then_earlier_times_then_smaller_ids_come_first<S: Subject>(
    trial: &Trial<S>,
) {
    let member = trial.member().await;
    let now = member.beat().await;
    let at = |seconds, priority| {
        due(now - TimeDelta::seconds(seconds), job_of(CLASS, Options::new().priority(priority)))
    };
    // As they should come; ids grow in the order of creation.
    let jobs = [at(30, -5), at(20, 0), at(10, 0), at(10, 0), at(99, 1), at(10, 1)];
    let mut mixed = jobs.to_vec();
    mixed.rotate_left(2);
    mixed.swap(0, 3);
    member.insert_all(&mixed).await;
    assert_eq!(member.claim_ids(&any(), 4).await, ids(&jobs)[..4]);
    assert_eq!(member.claim_ids(&any(), 9).await, ids(&jobs)[4..]);
}

/// NULL is the least urgent priority; only other clients write it.
pub async fn a_job_without_a_priority_comes_last<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let mut none = planted(member.beat().await);
    none.priority = None;
    trial.subject().plant(none.clone()).await;
    let jobs = [
        job_of(CLASS, Options::new().priority(i32::MIN)),
        job(),
        job_of(CLASS, Options::new().priority(i32::MAX)),
    ];
    member.insert_all(&jobs).await;
    let expected = [ids(&jobs), vec![none.id]].concat();
    assert_eq!(member.claim_ids(&any(), 9).await, expected);
}

/// Three queues, and a job without one.
async fn four_queues<S: Subject>(trial: &Trial<S>) -> (super::Member<S>, [JobId; 4]) {
    let member = trial.member().await;
    let jobs = [job_on("mice"), job_on("elephants"), job_on("whales")];
    member.insert_all(&jobs).await;
    let mut none = planted(member.beat().await);
    none.queue = None;
    trial.subject().plant(none.clone()).await;
    (member, [jobs[0].id, jobs[1].id, jobs[2].id, none.id])
}

fn sorted(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.sort_unstable();
    ids
}

/// A job without a queue is on every queue's side.
pub async fn the_selector_all_takes_every_queue<S: Subject>(trial: &Trial<S>) {
    let (member, all) = four_queues(trial).await;
    let found = member.claim_ids(&wanted(QueueSelector::All), 9).await;
    assert_eq!(sorted(found), sorted(all.to_vec()));
}

/// A job without a queue is on none of those named.
pub async fn the_selector_only_takes_the_named_queues<S: Subject>(trial: &Trial<S>) {
    let (member, [mice, _, whales, _]) = four_queues(trial).await;
    let only = QueueSelector::Only(names(&["whales", "mice", "nobody"]));
    assert_eq!(sorted(member.claim_ids(&wanted(only), 9).await), sorted(vec![mice, whales]));
}

/// A job without a queue is taken.
pub async fn the_selector_except_leaves_the_named_queues<S: Subject>(trial: &Trial<S>) {
    let (member, [mice, _, _, none]) = four_queues(trial).await;
    let except = QueueSelector::Except(names(&["elephants", "whales"]));
    assert_eq!(sorted(member.claim_ids(&wanted(except), 9).await), sorted(vec![mice, none]));
}

/// The place in the list counts before priority and time.
pub async fn the_selector_in_order_takes_the_first_queue_first<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let urgent = job_of(CLASS, Options::new().queue("mice").priority(-9));
    let other = job_of(CLASS, Options::new().queue("elephants").priority(-99));
    let jobs = [job_on("whales"), job_on("whales"), urgent, job_on("mice")];
    member.insert_all(&[&jobs[2..], &jobs[..2], &[other]].concat()).await;
    let in_order = wanted(QueueSelector::InOrder(names(&["whales", "mice"])));
    assert_eq!(member.claim_ids(&in_order, 3).await, ids(&jobs)[..3]);
    assert_eq!(member.claim_ids(&in_order, 9).await, ids(&jobs)[3..]);
}

/// `%` and `_` stand for themselves, and case matters.
pub async fn a_queue_name_is_text_and_no_pattern<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let jobs = [job_on("a%"), job_on("ab"), job_on("a_"), job_on("A%"), job_on("{a%,b}")];
    member.insert_all(&jobs).await;
    let only = |name: &str| wanted(QueueSelector::Only(names(&[name])));
    assert_eq!(member.claim_ids(&only("a%"), 9).await, [jobs[0].id]);
    assert_eq!(member.claim_ids(&only("a_"), 9).await, [jobs[2].id]);
    let except = wanted(QueueSelector::Except(names(&["ab", "A%"])));
    assert_eq!(member.claim_ids(&except, 9).await, [jobs[4].id]);
}

/// A worker that does not know a class leaves its jobs to one that does.
pub async fn jobs_of_unknown_classes_are_left_alone<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let foreign = job_of("Ruby::ForeignJob", Options::new().priority(-9));
    let known = job();
    member.insert_all(&[foreign.clone(), known.clone()]).await;
    assert_eq!(member.claim_ids(&any(), 9).await, [known.id]);
    assert_eq!(member.row(foreign.id).await.performed_at, None);

    let mut both = any();
    both.classes = Vec::new();
    assert!(member.claim(&both, 9).await.is_empty(), "who knows no class takes nothing");
    both.classes = names(&[CLASS, "Ruby::ForeignJob"]);
    assert_eq!(member.claim_ids(&both, 9).await, [foreign.id]);
}

/// Not even 1 when 0 were asked for.
pub async fn never_more_jobs_are_claimed_than_asked_for<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let jobs: Vec<NewJob> = (0..10).map(|_| job()).collect();
    member.insert_all(&jobs).await;
    for (max, expected) in [(0, 0), (1, 1), (4, 4), (100, 5), (100, 0)] {
        assert_eq!(member.claim(&any(), max).await.len(), expected, "of at most {max}");
    }
}

/// A future job is found as soon as it is due, and not before by the store's clock.
pub async fn no_job_is_claimed_early<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let mut later = job();
    later.due = Due::In(Duration::from_secs(3));
    let never = due(member.beat().await + TimeDelta::hours(1), job());
    let row = member.insert(&later).await;
    member.insert_all(&[never]).await;
    assert!(member.claim(&any(), 9).await.is_empty(), "nothing is due yet");
    let claims = eventually("the job to be due", Trial::<S>::PATIENCE, async || {
        let found = member.claim(&any(), 9).await;
        (!found.is_empty()).then_some(found)
    });
    let claims = claims.await;
    assert_eq!(claims.len(), 1, "the other one is due in an hour");
    let started = claims[0].token.performed_at;
    assert!(Some(started) >= row.scheduled_at, "started at {started}, due {:?}", row.scheduled_at);
}

/// NULL is not a time that has come.
pub async fn a_job_without_a_due_time_is_never_claimed<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let mut row = planted(member.beat().await);
    row.scheduled_at = None;
    trial.subject().plant(row).await;
    let due = job();
    member.insert_all(std::slice::from_ref(&due)).await;
    assert_eq!(member.claim_ids(&any(), 9).await, [due.id]);
}

/// However it ended, and whoever wrote that down.
pub async fn a_finished_job_is_never_claimed<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    member.insert(&job()).await;
    let claim = member.claim_one().await;
    member.settle(claim.token, Fate::Succeed).await;
    let now = member.beat().await;
    let mut forced = planted(now);
    forced.finished_at = Some(now);
    forced.error = Some("GoodJob::Job::DiscardJobError: by hand".to_owned());
    trial.subject().plant(forced).await;
    assert!(member.claim(&any(), 9).await.is_empty());
}

/// Neither by the process that has it, for which its own lock is free to take, nor by another.
pub async fn a_claimed_job_is_not_claimed_again<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    member.insert(&job()).await;
    let claim = member.claim_one().await;
    assert!(member.claim(&any(), 9).await.is_empty(), "taken again by its owner");
    assert!(other.claim(&any(), 9).await.is_empty(), "taken again by another");
    assert_eq!(member.row(claim.job.id).await, claim.job);
}

/// Two processes, eight searchers, fifty jobs: each is found once.
pub async fn processes_that_claim_at_once_share_no_job<S: Subject>(trial: &Trial<S>) {
    let (one, two) = (trial.member().await, trial.member().await);
    let jobs: Vec<NewJob> = (0..50).map(|_| job()).collect();
    one.insert_all(&jobs).await;

    let searchers = (0..8).map(|n| {
        let store = if n % 2 == 0 { one.store.clone() } else { two.store.clone() };
        tokio::spawn(async move {
            let (mut found, mut misses) = (Vec::new(), 0);
            while misses < 3 {
                let claims = store.claim(&any(), 1 + n % 3).await.expect("a claim");
                misses = if claims.taken.is_empty() { misses + 1 } else { 0 };
                found.extend(claims.taken);
                tokio::task::yield_now().await;
            }
            found
        })
    });
    let mut found = Vec::new();
    for searcher in searchers.collect::<Vec<_>>() {
        found.extend(searcher.await.expect("a searcher ends"));
    }
    // Locks held for a moment may have made the last searches miss something.
    loop {
        let missed = one.claim(&any(), 50).await;
        if missed.is_empty() {
            break;
        }
        found.extend(missed);
    }
    let tokens: HashSet<_> = found.iter().map(|claim| claim.token).collect();
    let claimed: HashSet<_> = found.iter().map(|claim| claim.job.id).collect();
    assert_eq!((found.len(), tokens.len(), claimed.len()), (50, 50, 50));
}

/// Who drops the future of a claim has claimed nothing, or else the store gives it back.
pub async fn a_claim_that_is_dropped_loses_no_job<S: Subject>(trial: &Trial<S>) {
    let (member, other) = (trial.member().await, trial.member().await);
    let jobs: Vec<NewJob> = (0..8).map(|_| job()).collect();
    member.insert_all(&jobs).await;
    let mut found = HashSet::new();
    for micros in [0, 50, 200, 1000] {
        let wanted = any();
        let soon = Duration::from_micros(micros);
        if let Ok(claims) = tokio::time::timeout(soon, member.store.claim(&wanted, 1)).await {
            found.extend(claims.expect("a claim").taken.iter().map(|claim| claim.job.id));
        }
    }
    eventually("every job to be claimed once", Trial::<S>::PATIENCE, async || {
        for claim in other.claim(&any(), 9).await {
            assert!(found.insert(claim.job.id), "claimed twice: {}", claim.job.id);
            assert_eq!(claim.interruptions, 0, "a dropped claim is no interruption");
        }
        if found.len() == 8 { Ok(()) } else { Err(format!("{} of 8", found.len())) }
    })
    .await;
}

/// Whatever another client put into an envelope comes back with the claim, and is kept by a retry.
pub async fn an_envelope_is_read_as_it_was_written<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let mut row = planted(member.beat().await);
    row.payload = Payload::from_value(json!({
        "job_class": CLASS, "arguments": {"not": "an array"}, "executions": "many",
        "continuation": {"step": 3}, "locale": "en",
    }));
    trial.subject().plant(row.clone()).await;
    let claim = member.claim_one().await;
    assert_eq!(claim.job.payload, row.payload);
    let mut payload = claim.job.payload.clone();
    payload.count_retry(None);
    let retry = Fate::Retry { wait: Duration::ZERO, payload: payload.clone(), error: None };
    member.settle(claim.token, retry).await;
    let row = member.store.job(row.id).await.expect("a look").expect("a row");
    assert_eq!(timeless(&row.payload), timeless(&payload));
}
