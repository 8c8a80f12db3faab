//! Jobs of every kind, ours and others' misshapen ones, and the pages after our worker was at them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use goodjob_core::{
    Arguments, Backoff, BareContext, Cleanup, Handler, Handlers, JobError, JobId, JobResult,
    NewJob, Options, Policy, Retention, Retry, Running, Shutdown,
};
use goodjob_postgres::EnqueueIn;
use goodjob_testkit::{Database, Harness, Schema, eventually};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::pages;
use crate::ruby::{Rails, RubyJob};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn add(handlers: &mut Handlers, class: &str, policy: Policy, body: fn() -> JobResult) {
    let run =
        move |_: Option<Arguments>, _: BareContext| Box::pin(async move { body() }) as Running;
    handlers.add(class, Handler { policy, run: Arc::new(run) });
}

/// A class for each way to end, named after it.
fn handlers() -> Handlers {
    let mut handlers = Handlers::default();
    let mut class = |name, policy, body| add(&mut handlers, name, policy, body);
    let later = || Policy::new().retry_on_any(Retry::attempts(9).wait(Backoff::Constant(HOUR)));
    let twice = Retry::attempts(2).wait(Backoff::Constant(Duration::ZERO));
    class("Succeed", Policy::new(), || Ok(()));
    class("Fail", Policy::new(), || Err("it failed".into()));
    class("Retry", later(), || Err("not now".into()));
    class("Exhaust", Policy::new().retry_on_any(twice), || Err("never".into()));
    class("Discard", Policy::new(), || Err(JobError::discard("enough")));
    class("Snooze", Policy::new(), || Err(JobError::snooze(HOUR)));
    class("Panic", Policy::new(), || panic!("on purpose"));
    class("Nul", Policy::new(), || Err("\0 and \u{1}, \u{fffe} and \u{10ffff}: \\ud800 \\".into()));
    class("Colon", Policy::new(), || Err(JobError::from("").with_class("")));
    class("Verbose", Policy::new(), || {
        let frames = (0..20_000).map(|n| format!("frame {n}\0"));
        Err(JobError::from("ä:".repeat(100_000)).with_backtrace(frames))
    });
    handlers
}

const CLASSES: [&str; 10] = [
    "Succeed", "Fail", "Retry", "Exhaust", "Discard", "Snooze", "Panic", "Nul", "Colon", "Verbose",
];

struct Scene {
    worker: Harness,
    pool: PgPool,
}

impl Scene {
    async fn on(database: &Database) -> Self {
        let worker = Harness::start(database, handlers()).await;
        Self { worker, pool: database.pool().await }
    }

    /// Waits until nothing is due any more.
    async fn idle(&self) {
        eventually("every due job was done", Duration::from_secs(60), async || {
            let due: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM good_jobs WHERE finished_at IS NULL AND scheduled_at <= now()",
            )
            .fetch_one(&self.pool)
            .await
            .unwrap();
            if due == 0 { Ok(()) } else { Err(format!("{due} are left")) }
        })
        .await;
    }

    /// Opens every page, and fails if an attempt is not as Ruby needs it.
    async fn read(&self) {
        pages::tabs(&self.pool).await;
        for attempt in pages::attempts(&self.pool).await {
            let (what, latency) = (attempt.what, attempt.latency);
            assert!(latency.is_some_and(f64::is_finite), "{what}: {latency:?}");
            assert_eq!((attempt.sound, attempt.timed), (Some(true), true), "{what}");
        }
        pages::search(&self.pool, "nothing -else").await;
        pages::others(&self.pool).await;
        let types: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT jsonb_typeof(serialized_params->'executions') FROM good_jobs
             WHERE finished_at IS NULL AND scheduled_at > now()",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        assert!(types.iter().all(|kind| kind == "number"), "{types:?}");
    }

    async fn end(self) {
        self.worker.stop_with(Shutdown::Now).await;
        self.pool.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_shows_our_jobs_however_they_end() {
    let database = Database::with_schema(Schema::GEM).await;
    let scene = Scene::on(&database).await;
    let adapter = scene.worker.adapter();
    let text = |text: &str| Arguments::positional(vec![text.into()]).unwrap();
    let options = || Options::new().label("ä \u{1}").label("'; --").priority(-3).queue("Ünï:code");
    let jobs = CLASSES.map(|class| NewJob::of_class(class, text(class), options()).unwrap());
    adapter.enqueue_all(jobs).await.unwrap();
    let large = NewJob::of_class("Retry", text(&"w \\u0000 ".repeat(90_000)), Options::new());
    let mut tx = scene.pool.begin().await.unwrap();
    let large = large.unwrap();
    goodjob_postgres::enqueue_in(&mut *tx, std::slice::from_ref(&large)).await.unwrap();
    adapter.enqueue(Later).wait(HOUR).enqueue_in(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    scene.idle().await;
    scene.read().await;

    let tabs = pages::tabs(&scene.pool).await;
    let expected = [
        ("discarded", 7),
        ("queued", 0),
        ("retried", 0),
        ("running", 0),
        // Retry, the large one, Snooze and Later: a first retry counts as scheduled, as in the gem.
        ("scheduled", 4),
        ("succeeded", 1),
    ];
    let expected = expected.map(|(state, jobs)| (state.to_owned(), jobs));
    assert_eq!(tabs.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(pages::search(&scene.pool, "\"on purpose\"").await, 1, "found by its error");
    assert_eq!(pages::search(&scene.pool, "Verbose").await, 1, "found by its argument");
    let [chart, performance, cleaner, _] = pages::others(&scene.pool).await;
    assert!(chart > 0);
    assert_eq!((performance, cleaner), (CLASSES.len() + 1, 7));
    scene.end().await;
}

/// A job that waits.
#[derive(serde::Serialize, serde::Deserialize)]
struct Later;

impl goodjob_core::Job for Later {
    const CLASS: &'static str = "LaterJob";
}

/// Envelopes that no enqueue of ours, nor of Active Job's, would write.
fn misshapen() -> Vec<Value> {
    let envelope = |key: &str, value: Value| {
        let mut envelope = json!({"executions": 0, "exception_executions": {}, "arguments": []});
        envelope[key] = value;
        envelope
    };
    let counts = [
        json!(null),
        json!("x"),
        json!("1"),
        json!(""),
        json!(1.0),
        json!(2.5),
        json!(-1),
        json!(i32::MAX - 1),
        json!(i32::MAX),
        json!(3_000_000_000_u64),
        json!(u64::MAX),
        json!(1e300),
        json!([1]),
        json!({"a": 1}),
        json!(true),
    ];
    let mut rows: Vec<Value> =
        counts.iter().map(|count| envelope("executions", count.clone())).collect();
    rows.extend(counts.iter().map(|count| envelope("exception_executions", count.clone())));
    let counted =
        |count: &Value| envelope("exception_executions", json!({"[StandardError]": count}));
    rows.extend(counts.iter().map(counted));
    rows.extend([json!(null), json!([1]), json!("x"), json!(7), json!({}), json!(true)]);
    rows.extend(
        [json!(null), json!({"a": 1}), json!("x")].map(|given| envelope("arguments", given)),
    );
    rows.push(envelope("arguments", json!(["x".repeat(1 << 20)])));
    rows.push(envelope("job_id", json!([3])));
    rows.push(envelope("scheduled_at", json!({"not": "a time"})));
    rows.push(envelope("enqueued_at", json!(17)));
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_fails_for_what_we_made_of_rows_of_others() {
    let database = Database::with_schema(Schema::GEM).await;
    let scene = Scene::on(&database).await;
    let mut retried = 0;
    for class in ["Succeed", "Fail", "Retry", "Exhaust", "Snooze"] {
        for envelope in misshapen() {
            let job = RubyJob::new(Rails::V6_1, class, json!([]));
            job.column("serialized_params", envelope).enqueue(&scene.pool).await;
            retried += i64::from(class == "Retry" || class == "Snooze");
        }
        for (column, value) in [
            ("serialized_params", Value::Null),
            ("queue_name", Value::Null),
            ("priority", Value::Null),
            ("labels", json!(["a", null, ""])),
            ("executions_count", json!(-5)),
            ("scheduled_at", json!("-infinity")),
            ("created_at", json!("-infinity")),
            ("error", json!("an error of before")),
            ("error_event", json!(77)),
        ] {
            let job = RubyJob::new(Rails::V7_1, class, json!([]));
            job.column(column, value).enqueue(&scene.pool).await;
            retried += i64::from(class == "Retry" || class == "Snooze");
        }
    }
    scene.idle().await;
    scene.read().await;
    let tabs = pages::tabs(&scene.pool).await;
    let waiting = tabs["scheduled"] + tabs["retried"];
    // Four of them had used up their rule by what stood in the envelope.
    assert_eq!(waiting, retried - 4, "{tabs:?}");
    scene.end().await;
}

/// The attempt that vanished is closed, its job runs on; both are read at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_shows_interruptions_and_what_a_clean_up_left() {
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    let at = (Utc::now() - TimeDelta::hours(2)).format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let mut vanished: Vec<JobId> = Vec::new();
    for class in ["Succeed", "Fail", "Retry", "Snooze"] {
        let job = RubyJob::new(Rails::V7_1, class, json!([]));
        let job = job.column("performed_at", at.as_str()).column("executions_count", 1);
        vanished.push(job.vanished(&pool, Uuid::new_v4()).await);
    }
    let old = RubyJob::new(Rails::V6_1, "Succeed", json!([])).key("executions", "x");
    let old = old.column("performed_at", at.as_str()).column("finished_at", at.as_str());
    let old = old.vanished(&pool, Uuid::new_v4()).await;
    let worker = Harness::start_with(&database, handlers(), |config, _| {
        let retention = Retention { age: Duration::from_secs(60), keep_discarded: false };
        config.cleanup = Cleanup { retention, interval_jobs: Some(0), interval: None };
    })
    .await;
    let scene = Scene { worker, pool };
    scene.idle().await;
    eventually("the old job is cleaned up", Duration::from_secs(30), async || {
        match goodjob_core::Inspect::job(scene.worker.store(), old).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    scene.read().await;
    for id in vanished {
        let attempts = scene.worker.attempts(id).await;
        assert_eq!(attempts.len(), 2, "{attempts:?}");
    }
    assert_eq!(pages::attempts(&scene.pool).await.len(), 8, "those of the old job are gone");
    scene.end().await;
}
