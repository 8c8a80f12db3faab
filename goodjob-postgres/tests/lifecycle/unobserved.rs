//! Outcomes that the page has no job for. What the gem leaves of them is made from a job of the page and
//! wire contract 4.3 to 4.5.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use goodjob_core::{ErrorEvent, Handlers, JobError, JobId, JobRecord, Policy, Shutdown, Unhandled};
use goodjob_testkit::{Database, Harness, Schema, eventually};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::differences::assert_as_the_gem_leaves_it;
use crate::jobs::{self, Boom, Gate};
use crate::rows::{changed, gem_outcome, stored};
use crate::ruby::{Rails, RubyJob};

const MINUTE: Duration = Duration::from_secs(60);

struct Scene {
    worker: Harness,
    pool: PgPool,
}

impl Scene {
    async fn on(database: &Database, handlers: Handlers) -> Self {
        Self { worker: Harness::start(database, handlers).await, pool: database.pool().await }
    }

    async fn enqueue(&self, class: &str) -> JobId {
        let arguments = if class == "FailJob" { json!([2]) } else { json!([]) };
        let job = RubyJob::new(Rails::V7_1, class, arguments);
        job.column("queue_name", "q").key("queue_name", "q").enqueue(&self.pool).await
    }

    /// Waits until an attempt has ended and the job has not.
    async fn waiting(&self, id: JobId) -> JobRecord {
        eventually("the job waits again", MINUTE, async || {
            let attempts = self.worker.attempts(id).await;
            let job = self.worker.job(id).await;
            let waits =
                job.performed_at.is_none() && attempts.iter().all(|a| a.finished_at.is_some());
            if waits && !attempts.is_empty() { Ok(job) } else { Err(format!("{job:?}")) }
        })
        .await
    }

    /// Waits for the second attempt's row: one that lasts gets it after a quarter of a second.
    async fn shows_two_attempts(&self, id: JobId) {
        eventually("two attempts", Duration::from_secs(30), async || {
            (self.worker.attempts(id).await.len() == 2).then_some(())
        })
        .await;
    }

    async fn stored(&self, id: JobId) -> Value {
        stored(&self.pool, id).await
    }

    async fn end(self) {
        self.worker.stop_with(Shutdown::Now).await;
        self.pool.close().await;
    }
}

/// What is the same in every row that waits again.
fn waiting(outcome: Value, changes: &[(&str, Value)]) -> Value {
    let waiting = [
        ("/job/finished_at", Value::Null),
        ("/job/performed_at", Value::Null),
        ("/job/executions_count", json!(1)),
        ("/job/serialized_params/provider_job_id", json!("<uuid>")),
    ];
    changed(changed(outcome, &waiting), changes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_waits_for_its_retry() {
    let database = Database::with_schema(Schema::GEM).await;
    let handlers =
        jobs::only("FailJob", jobs::retries(MINUTE), |cx| ready(Err(Boom(cx.attempt()).into())));
    let scene = Scene::on(&database, handlers).await;
    let id = scene.enqueue("FailJob").await;
    let job = scene.waiting(id).await;
    let mut gem = waiting(
        gem_outcome("FailJob, which succeeds at last"),
        &[("/job/error", json!("FailJob::Boom: attempt 1")), ("/job/error_event", json!(3))],
    );
    gem["executions"].as_array_mut().unwrap().truncate(1);
    assert_as_the_gem_leaves_it("a retry", gem, &scene.stored(id).await);
    let ended = scene.worker.attempts(id).await[0].finished_at.unwrap();
    assert_eq!(job.scheduled_at, Some(ended + MINUTE), "due a wait after the attempt's end");
    let told = job.payload.get("scheduled_at").and_then(Value::as_str).unwrap();
    assert_eq!(told.parse(), Ok(job.scheduled_at.unwrap()), "the envelope says so too");
    scene.end().await;
}

/// Ruby's `retry_job(wait:)`: counted as an attempt, under no rule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_asks_for_its_retry() {
    let database = Database::with_schema(Schema::GEM).await;
    let handlers = jobs::only("NoopJob", Policy::new(), |_| {
        let error = JobError::retry_in(MINUTE, "busy").with_class("Shop::Busy");
        ready(Err(error))
    });
    let scene = Scene::on(&database, handlers).await;
    let id = scene.enqueue("NoopJob").await;
    scene.waiting(id).await;
    let gem = waiting(
        gem_outcome("NoopJob"),
        &[
            ("/job/error", json!("Shop::Busy: busy")),
            ("/job/error_event", json!(3)),
            ("/job/serialized_params/executions", json!(1)),
            ("/executions/0/error", json!("Shop::Busy: busy")),
            ("/executions/0/error_event", json!(3)),
            ("/executions/0/error_backtrace", json!(["a frame"])),
        ],
    );
    assert_as_the_gem_leaves_it("retry_in", gem, &scene.stored(id).await);
    scene.end().await;
}

/// The gem has no snooze. Its rows are those of a retry that is not counted and has no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_snoozes() {
    let database = Database::with_schema(Schema::GEM).await;
    let handlers = jobs::only("NoopJob", Policy::new(), |_| ready(Err(JobError::snooze(MINUTE))));
    let scene = Scene::on(&database, handlers).await;
    let id = scene.enqueue("NoopJob").await;
    let job = scene.waiting(id).await;
    let gem = waiting(gem_outcome("NoopJob"), &[]);
    assert_as_the_gem_leaves_it("a snooze", gem, &scene.stored(id).await);
    let ended = scene.worker.attempts(id).await[0].finished_at.unwrap();
    assert_eq!(job.scheduled_at, Some(ended + MINUTE));
    scene.end().await;
}

/// A time limit is not the gem's, its error is one that nobody rescued.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_takes_too_long() {
    let database = Database::with_schema(Schema::GEM).await;
    let limit = Policy::new().timeout(Duration::from_millis(20));
    let handlers = jobs::only("UnhandledJob", limit, async |cx| {
        cx.cancelled().await;
        Ok(())
    });
    let scene = Scene::on(&database, handlers).await;
    let id = scene.enqueue("UnhandledJob").await;
    scene.worker.finished(id).await;
    let error = json!("goodjob_core::job::error::TimedOut: took longer than 0.02s");
    let changes = [("/job/error", error.clone()), ("/executions/0/error", error)];
    let gem = changed(gem_outcome("UnhandledJob"), &changes);
    assert_as_the_gem_leaves_it("a time limit", gem, &scene.stored(id).await);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unhandled_error_that_is_retried_at_once() {
    let database = Database::with_schema(Schema::GEM).await;
    let ((gate, mut arrivals), runs) = (Gate::new(), Arc::new(AtomicU32::new(0)));
    let passing = gate.clone();
    let handlers = jobs::only("UnhandledJob", Policy::new(), move |_| {
        let (gate, first) = (passing.clone(), runs.fetch_add(1, Ordering::Relaxed) == 0);
        async move {
            if first {
                return Err(jobs::unhandled());
            }
            gate.pass().await;
            Ok(())
        }
    });
    let worker = Harness::start_with(&database, handlers, |config, _| {
        config.unhandled = Unhandled::RetryAtOnce;
        // No notice is sent, as by the gem.
        config.poll_interval = Some(Duration::from_millis(50));
    })
    .await;
    let scene = Scene { worker, pool: database.pool().await };
    let id = scene.enqueue("UnhandledJob").await;
    let due = scene.worker.job(id).await.scheduled_at;
    arrivals.recv().await.unwrap();

    let mut gem = changed(gem_outcome("UnhandledJob"), &running(2));
    let second = open(&gem["executions"][0]);
    gem["executions"].as_array_mut().unwrap().push(second);
    scene.shows_two_attempts(id).await;
    assert_as_the_gem_leaves_it("the next attempt", gem, &scene.stored(id).await);
    assert_eq!(scene.worker.job(id).await.scheduled_at, due, "its due time is left alone");

    gate.open();
    scene.worker.finished(id).await;
    let mut gem = gem_outcome("UnhandledJob");
    let second = gem_outcome("NoopJob")["executions"][0].clone();
    let second = changed(
        second,
        &[
            ("/job_class", json!("UnhandledJob")),
            ("/serialized_params/job_class", json!("UnhandledJob")),
        ],
    );
    gem["executions"].as_array_mut().unwrap().push(second);
    let gem = changed(
        gem,
        &[
            ("/job/error", Value::Null),
            ("/job/error_event", Value::Null),
            ("/job/executions_count", json!(2)),
        ],
    );
    assert_as_the_gem_leaves_it("its success", gem, &scene.stored(id).await);
    scene.end().await;
}

/// What a row is while a job runs, in whatever attempt; 2 is the gem's code for `hybrid`.
fn running(attempt: u32) -> [(&'static str, Value); 5] {
    [
        ("/job/finished_at", Value::Null),
        ("/job/executions_count", json!(attempt)),
        ("/job/locked_by_id", json!("<uuid>")),
        ("/job/locked_at", json!("<time>")),
        ("/job/lock_type", json!(2)),
    ]
}

/// An attempt that has not ended.
fn open(attempt: &Value) -> Value {
    let mut open = attempt.clone();
    for column in ["finished_at", "duration", "error", "error_event", "error_backtrace"] {
        open[column] = Value::Null;
    }
    open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_after_one_that_vanished() {
    let database = Database::with_schema(Schema::GEM).await;
    let (gate, mut arrivals) = Gate::new();
    let passing = gate.clone();
    let handlers = jobs::only("NoopJob", Policy::new(), move |_| {
        let gate = passing.clone();
        async move {
            gate.pass().await;
            Ok(())
        }
    });
    let scene = Scene::on(&database, handlers).await;
    // A Ruby process has started it, died, and been cleaned up after.
    let started = Utc::now() - TimeDelta::seconds(77);
    let at = started.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let job = RubyJob::new(Rails::V7_1, "NoopJob", json!([]))
        .column("queue_name", "q")
        .key("queue_name", "q")
        .column("performed_at", at.as_str())
        .column("scheduled_at", at.as_str())
        .column("executions_count", 1);
    let id = job.vanished(&scene.pool, Uuid::new_v4()).await;
    arrivals.recv().await.unwrap();

    let text = format!(
        "GoodJob::InterruptedError: Interrupted after starting perform at '{}'",
        started.format("%Y-%m-%d %H:%M:%S UTC")
    );
    let vanished = changed(
        gem_outcome("NoopJob")["executions"][0].clone(),
        &[("/error", json!(text)), ("/error_event", json!(0))],
    );
    let mut gem = changed(gem_outcome("NoopJob"), &running(2));
    gem = changed(gem, &[("/job/error", json!(text)), ("/job/error_event", json!(0))]);
    gem["executions"] = json!([vanished, open(&vanished)]);
    scene.shows_two_attempts(id).await;
    let ours = scene.stored(id).await;
    assert_as_the_gem_leaves_it("while it runs again", gem, &ours);
    let first = &ours["executions"][0];
    assert_eq!(first["finished_at"], ours["job"]["performed_at"], "closed by the next start");
    assert_eq!(first["updated_at"], first["created_at"], "and not touched");
    assert_eq!(first["duration"], "00:00:00");

    gate.open();
    let job = scene.worker.finished(id).await;
    assert_eq!((job.error_event, job.payload.executions()), (None::<ErrorEvent>, 0));
    let mut gem = changed(gem_outcome("NoopJob"), &[("/job/executions_count", json!(2))]);
    gem["executions"].as_array_mut().unwrap().insert(0, vanished);
    assert_as_the_gem_leaves_it("its success", gem, &scene.stored(id).await);
    scene.end().await;
}
