//! Storing jobs.

use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{
    Arguments, BatchId, Due, Inserted, Inspect, JobState, NewJob, Options, Payload, Store, Tick,
    Ties, Timestamp, Wanted,
};
use serde_json::{Value, json};

use super::trial::{CLASS, assert_near, job, job_of, job_on};
use super::{Subject, Trial};

/// The envelope without the time at which it was made, which may be the client's.
fn timeless(payload: &Payload) -> Value {
    let mut payload = payload.clone();
    payload.set("enqueued_at", Value::Null);
    payload.into_value()
}

/// Class, queue, priority, labels, due time, arguments and the envelope's keys are stored as given.
pub async fn every_field_is_kept<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let arguments = json!([1, "two", null, {"k": [1.5, true, {"deep": -9007199254740991_i64}]}]);
    let Value::Array(values) = arguments else { unreachable!("it is an array") };
    let options = Options::new().queue("mice").priority(-7).label("b").label("a");
    let arguments = Arguments::positional(values).expect("arguments that can be stored");
    let mut job = NewJob::of_class(CLASS, arguments.clone(), options).expect("a job");
    let due = member.beat().await + TimeDelta::hours(1);
    job.due = Due::At(due);

    let row = member.insert(&job).await;
    assert_eq!(row.id, job.id);
    assert_eq!(row.class, CLASS);
    assert_eq!(row.queue.as_deref(), Some("mice"));
    assert_eq!(row.priority, Some(-7));
    assert_eq!(row.labels, ["b", "a"]);
    assert_eq!(row.scheduled_at, Some(due), "to the microsecond");
    assert_eq!(row.payload.arguments(), Some(arguments));
    assert_eq!(timeless(&row.payload), timeless(&Payload::of(&job, row.created_at)));
    assert_eq!(row.state(row.created_at), JobState::Scheduled);
}

/// Queue `default`, priority 0 in the row and null in the envelope, due as soon as it is stored.
pub async fn what_is_not_given_gets_its_default<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let now = member.beat().await;
    let row = member.insert(&job()).await;
    assert_eq!(row.queue.as_deref(), Some("default"));
    assert_eq!((row.priority, row.payload.get("priority")), (Some(0), Some(&Value::Null)));
    assert!(row.labels.is_empty());
    assert_near("created_at", Some(row.created_at), now);
    assert_near("scheduled_at", row.scheduled_at, row.created_at);
    assert_eq!((row.performed_at, row.finished_at, row.locked_by), (None, None, None));
    assert_eq!((row.error, row.error_event, row.executions_count), (None, None, 0));
    assert!(member.attempts(row.id).await.is_empty());
}

/// A job due in an hour is due an hour after the store's present time, not the caller's.
pub async fn a_wait_is_counted_by_the_stores_clock<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let now = member.beat().await;
    let mut job = job();
    job.due = Due::In(Duration::from_secs(3600));
    let row = member.insert(&job).await;
    assert_near("scheduled_at", row.scheduled_at, now + TimeDelta::hours(1));
}

/// Also when they are many, and when some are stored already.
pub async fn answers_to_an_insert_come_in_the_order_asked<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let mut jobs: Vec<NewJob> = (0..500).map(|n| job_on(&format!("queue {}", n % 7))).collect();
    jobs.reverse();
    member.insert_all(&jobs[100..200]).await;

    let answers = member.store.insert(&jobs).await.expect("an insert");
    let expected = jobs.iter().enumerate().map(|(n, job)| match n {
        100..200 => Inserted::AlreadyThere(job.id),
        _ => Inserted::New(job.id),
    });
    assert_eq!(answers, expected.collect::<Vec<_>>());
    assert_eq!(member.store.insert(&[]).await.expect("an insert of nothing"), []);
}

/// A repeated insert changes nothing, so a caller may repeat one whose answer was lost.
pub async fn the_same_id_stores_one_job<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let first = job_on("first");
    let row = member.insert(&first).await;
    let second = NewJob { queue: "second".to_owned(), ..first.clone() };
    let answers = member.store.insert(&[second]).await.expect("a repeated insert");
    assert_eq!(answers, [Inserted::AlreadyThere(first.id)]);
    assert_eq!(member.row(first.id).await, row);
}

/// Two jobs of one id in one call are one job.
pub async fn an_id_twice_in_one_insert_stores_one_job<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let job = job();
    let answers = member.store.insert(&[job.clone(), job.clone()]).await.expect("an insert");
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], Inserted::New(job.id));
    assert_eq!(member.claim_one().await.job.id, job.id);
}

/// What ties a job to others is stored, and comes with its claim.
pub async fn ties_are_kept_and_claimed<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let tick = Tick { key: "nightly".to_owned(), at: Some(tick_at()) };
    let ties = Ties {
        concurrency_key: Some("shop-7".to_owned()),
        batch: Some(BatchId::generate()),
        batch_callback: Some(BatchId::generate()),
        tick: Some(tick),
    };
    let row = member.insert(&NewJob { ties: ties.clone(), ..job() }).await;
    assert_eq!(row.ties, ties);
    assert_eq!(member.claim_one().await.job.ties, ties);
}

/// Of all who store the same tick of a cron entry one succeeds, and the others are told; in one call, too.
pub async fn a_tick_is_stored_once<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let ticking = |key: &str, at| {
        let tick = Some(Tick { key: key.to_owned(), at });
        NewJob { ties: Ties { tick, ..Ties::default() }, ..job() }
    };
    let at = Some(tick_at());
    let (first, second) = (ticking("nightly", at), ticking("nightly", at));
    let answers = member.store.insert(std::slice::from_ref(&first)).await.expect("an insert");
    assert_eq!(answers, [Inserted::New(first.id)]);
    let hourly = ticking("hourly", at);
    let answers = member.store.insert(&[second.clone(), hourly.clone()]).await.expect("an insert");
    assert_eq!(answers, [Inserted::AlreadyThere(second.id), Inserted::New(hourly.id)]);
    assert_eq!(member.store.job(second.id).await.expect("a look"), None);
    // Without a time they never collide, as in the gem's index.
    for job in [ticking("nightly", None), ticking("nightly", None)] {
        let answers = member.store.insert(std::slice::from_ref(&job)).await.expect("an insert");
        assert_eq!(answers, [Inserted::New(job.id)]);
    }
}

fn tick_at() -> Timestamp {
    "2026-11-23T03:00:00Z".parse().expect("a time")
}

/// A store that refuses one job of a call stores none of the others.
pub async fn an_insert_stores_all_or_none<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let mut jobs = vec![job(), job(), job()];
    // Made by hand, since no constructor lets it through.
    jobs[1].queue = "a\0b".to_owned();
    let inserted = member.store.insert(&jobs).await;
    for job in [&jobs[0], &jobs[2]] {
        let row = member.store.job(job.id).await.expect("a look at a job");
        assert_eq!(row.is_some(), inserted.is_ok(), "the answer was {inserted:?}");
    }
}

/// Dropping the future leaves no half of its jobs behind, and repeating the call is safe.
pub async fn an_insert_that_is_dropped_stores_all_or_none<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let jobs: Vec<NewJob> = (0..20).map(|_| job()).collect();
    let soon = tokio::time::timeout(Duration::from_micros(200), member.store.insert(&jobs));
    let _ = soon.await;
    let answers = member.store.insert(&jobs).await.expect("a repeated insert");
    let stored_before =
        answers.iter().filter(|answer| matches!(answer, Inserted::AlreadyThere(_))).count();
    assert!([0, 20].contains(&stored_before), "{stored_before} of 20 were stored");
}

/// The largest arguments that an adapter lets through come back whole.
pub async fn a_mebibyte_of_arguments_is_kept<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    // Four bytes of JSON are `["` and `"]`.
    let text = "x".repeat(NewJob::MAX_ARGUMENTS - 4);
    let arguments = Arguments::positional(vec![text.into()]).expect("arguments");
    let job = NewJob::of_class(CLASS, arguments.clone(), Options::new()).expect("a large job");
    member.insert_all(&[job]).await;
    assert_eq!(member.claim_one().await.job.payload.arguments(), Some(arguments));
}

/// Quotes, patterns, separators, control characters and any script are text in a name, a label and
/// an argument.
pub async fn any_text_is_kept<S: Subject>(trial: &Trial<S>) {
    const TEXTS: [&str; 9] = [
        "it's \"quoted\"",
        "100% _of_ \\n \\",
        "a;b,c:2 -- {d}",
        "🐘🐁 e\u{301}",
        "Ω\u{202e}right to left",
        " led and trailed ",
        "tab\tand\nnewline\u{1}",
        "$1 ${x} :name",
        "NULL",
    ];
    let member = trial.member().await;
    for text in TEXTS {
        let mut job = job_of(text, Options::new().queue(text));
        // Past the trimming that the builder does.
        job.labels = vec![text.to_owned(), "plain".to_owned()];
        job.arguments = Arguments::positional(vec![json!({ text: text })]).expect("arguments");
        let row = member.insert(&job).await;
        assert_eq!((row.class.as_str(), row.queue.as_deref()), (text, Some(text)));
        assert_eq!(row.labels, job.labels);
        assert_eq!(row.payload.arguments(), Some(job.arguments));

        let wanted = Wanted {
            queues: goodjob_core::QueueSelector::Only(vec![text.to_owned()]),
            classes: vec![text.to_owned()],
        };
        assert_eq!(member.claim_ids(&wanted, 9).await, [job.id], "claimed from {text:?}");
    }
}
