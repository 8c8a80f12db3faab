//! Rows that no enqueue of ours would write: each ends as documented, and the worker goes on.

use std::sync::Arc;

use goodjob_core::{
    Arguments, Backoff, BareContext, ErrorEvent, Handler, Handlers, JobError, JobId, JobState,
    Policy, Registry, Retry, Running, Timestamp,
};
use goodjob_testkit::{Database, Harness};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::engine::Echo;
use crate::stage::secs;

/// A row as Ruby or a person may write it, with `change` to it.
async fn plant(pool: &PgPool, payload: Option<Value>, change: &str) -> JobId {
    let id = JobId::generate();
    let mut tx = pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params,
           scheduled_at, created_at, updated_at)
         VALUES ($1, $1, 'EchoJob', 'default', 0, $2, now(), now(), now())",
    )
    .bind(id.as_uuid())
    .bind(payload)
    .execute(&mut *tx)
    .await
    .unwrap();
    if !change.is_empty() {
        let statement = format!("UPDATE good_jobs SET {change} WHERE id = $1");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(id.as_uuid())
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    sqlx::query("SELECT pg_notify('good_job', '{}')").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    id
}

fn payload(change: impl FnOnce(&mut Value)) -> Option<Value> {
    let mut payload = json!({
        "job_class": "EchoJob", "queue_name": "default", "priority": null, "executions": 0,
        "exception_executions": {}, "arguments": [{"text": "hello", "_aj_ruby2_keywords": ["text"]}],
    });
    change(&mut payload);
    Some(payload)
}

fn arguments(arguments: Value) -> Option<Value> {
    payload(|payload| payload["arguments"] = arguments)
}

async fn worker(database: &Database) -> Harness {
    Harness::start_with(database, Registry::default().register::<Echo>(), |config, _| {
        config.poll_interval = Some(secs(1));
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_that_do_not_fit_end_the_job_with_an_error_that_names_the_field() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let worker = worker(&database).await;
    let keywords = |text: Value| json!([{"text": text, "_aj_ruby2_keywords": ["text"]}]);
    for (row, expected) in [
        (
            arguments(keywords(json!(7))),
            "arguments.text: invalid type: integer `7`, expected a string",
        ),
        (
            arguments(keywords(json!({"deep": [1]}))),
            "arguments.text: invalid type: map, expected a string",
        ),
        (arguments(json!([{"txet": "x", "_aj_ruby2_keywords": ["txet"]}])), "missing field `text`"),
        (arguments(json!([])), "arguments: "),
        (arguments(json!([1, 2])), "arguments"),
        (arguments(json!(null)), "arguments: found none, expected an array"),
        (arguments(json!("x")), "arguments: found none, expected an array"),
        (
            payload(|p| {
                p.as_object_mut().unwrap().remove("arguments");
            }),
            "arguments: found none",
        ),
        (Some(json!(null)), "arguments: found none, expected an array"),
        (Some(json!([1, "x"])), "arguments: found none, expected an array"),
        (Some(json!("text")), "arguments: found none, expected an array"),
        (None, "arguments: found none, expected an array"),
    ] {
        let text = format!("{row:?}");
        let job = worker.finished(plant(&pool, row, "").await).await;
        let error = job.error.clone().unwrap_or_default();
        assert!(
            error.starts_with("ArgumentsError: ") && error.contains(expected),
            "{text}: {error}"
        );
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Discarded, "{text}");
        assert_eq!(job.error_event, Some(ErrorEvent::Discarded), "{text}");
        assert_eq!(worker.attempts(job.id).await.len(), 1, "{text}: never a crash loop");
    }
    assert_goes_on(&worker).await;
    worker.stop().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_rows_whose_arguments_fit_are_done() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let worker = worker(&database).await;
    for (what, row, change) in [
        ("a count that is none", payload(|p| p["executions"] = json!("x")), ""),
        ("counts that are none", payload(|p| p["exception_executions"] = json!([3])), ""),
        ("no queue", payload(|_| {}), "queue_name = NULL"),
        ("no priority", payload(|_| {}), "priority = NULL"),
        ("no labels", payload(|_| {}), "labels = NULL"),
        ("a label that is none", payload(|_| {}), "labels = ARRAY['a', NULL]"),
        ("no count of attempts", payload(|_| {}), "executions_count = NULL"),
        ("due since ever", payload(|_| {}), "scheduled_at = '-infinity'"),
        ("made at no time", payload(|_| {}), "created_at = '-infinity', updated_at = 'infinity'"),
        ("a number out of range", payload(|p| p["x"] = json!(1e300)), ""),
        (
            "1 MB",
            arguments(json!([{"text": "ä".repeat(1 << 19), "_aj_ruby2_keywords": ["text"]}])),
            "",
        ),
    ] {
        let id = plant(&pool, row, change).await;
        let job = worker.finished(id).await;
        assert_eq!(
            (job.state(Timestamp::MAX_UTC), job.error),
            (JobState::Succeeded, None),
            "{what}"
        );
    }
    assert_goes_on(&worker).await;
    // What tools read is as tolerant.
    plant(&pool, payload(|_| {}), "job_class = 'NopeJob', scheduled_at = '-infinity'").await;
    let status = goodjob_postgres::status::status(worker.store()).await.unwrap();
    assert_eq!(status.unserved[0].due, 1);
    worker.stop().await;
    pool.close().await;
}

/// Parked for ever by hand; the timers of other future jobs must not suffer from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_never_due_does_not_keep_others_from_their_time() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let parked = plant(&pool, payload(|_| {}), "scheduled_at = 'infinity'").await;
    let nowhere = plant(&pool, payload(|_| {}), "scheduled_at = NULL").await;
    let soon = plant(&pool, payload(|_| {}), "scheduled_at = now() + interval '5 seconds'").await;
    let worker =
        Harness::start_with(&database, Registry::default().register::<Echo>(), |config, _| {
            // The timetable alone has to know of it.
            config.poll_interval = None;
        })
        .await;
    let job = worker.finished(soon).await;
    let late = job.performed_at.unwrap() - job.scheduled_at.unwrap();
    assert!(late.num_milliseconds() < 500, "{late}");
    let started: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM good_jobs WHERE id = ANY($1) AND performed_at IS NOT NULL",
    )
    .bind([parked.as_uuid(), nowhere.as_uuid()].as_slice())
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(started, 0);
    worker.stop().await;
    pool.close().await;
}

/// A handler that needs no arguments may retry whatever the envelope is; the retry is counted in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_are_counted_in_an_envelope_that_is_none() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let mut handlers = Handlers::default();
    let twice = Retry::attempts(2).wait(Backoff::Constant(std::time::Duration::ZERO));
    let fail = |_: Option<Arguments>, _: BareContext| {
        Box::pin(async { Err(JobError::from("no")) }) as Running
    };
    let handler = Handler { policy: Policy::new().retry_on_any(twice), run: Arc::new(fail) };
    handlers.add("EchoJob", handler);
    let worker = Harness::start(&database, handlers).await;
    for row in [None, Some(json!(null)), Some(json!([1])), Some(json!("x")), payload(|_| {})] {
        let id = plant(&pool, row.clone(), "").await;
        let job = worker.finished(id).await;
        assert_eq!(job.error_event, Some(ErrorEvent::RetryStopped), "{row:?}: {job:?}");
        assert_eq!(worker.attempts(id).await.len(), 2, "{row:?}");
    }
    worker.stop().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_nobody_knows_is_never_claimed() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let worker = worker(&database).await;
    let unknown = plant(&pool, payload(|_| {}), "job_class = 'NopeJob', priority = -100").await;
    let nameless = plant(&pool, payload(|_| {}), "job_class = NULL, priority = -100").await;
    assert_goes_on(&worker).await;
    for id in [unknown, nameless] {
        let job = worker.job(id).await;
        assert_eq!((job.executions_count, job.performed_at), (0, None), "{job:?}");
    }
    let status = goodjob_postgres::status::status(worker.store()).await.unwrap();
    let seen: Vec<_> = status.unserved.iter().map(|u| (u.class.as_deref(), u.due)).collect();
    assert_eq!(seen, [(Some("NopeJob"), 1), (None, 1)]);
    assert_eq!(status.unserved[0].reason, "no goodjob worker knows the class \"NopeJob\"");
    worker.stop().await;
    pool.close().await;
}

async fn assert_goes_on(worker: &Harness) {
    let good = worker.enqueue(Echo { text: "on".into() }).await;
    assert_eq!(worker.finished(good).await.state(Timestamp::MAX_UTC), JobState::Succeeded);
}
