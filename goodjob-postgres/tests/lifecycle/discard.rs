//! A job that the dashboard discards by force while it runs: how the attempt ends, merges with that
//! (wire contract 4.7 and 6).

use goodjob_core::{ErrorEvent, JobId, JobResult, Policy, Shutdown, Timestamp};
use goodjob_testkit::{Database, Harness, Schema, eventually};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::differences::{AFTER_A_FORCED_DISCARD, Comparison, assert_as_the_gem_leaves_it};
use crate::jobs::{self, Boom, Gate};
use crate::rows::{changed, gem_outcome, in_the_form_of, stored};
use crate::ruby::{Rails, RubyJob};

const DISCARDED: &str = "GoodJob::Job::DiscardJobError: Force discarded through dashboard";

/// A job of `class` that is discarded by force while it runs, and then ends as `end` says.
struct Discarded {
    database: Database,
    pool: PgPool,
    worker: Harness,
    id: JobId,
    /// When the dashboard ended it.
    at: Timestamp,
}

impl Discarded {
    async fn which_ends(class: &str, policy: Policy, end: fn() -> JobResult) -> Self {
        let database = Database::with_schema(Schema::GEM).await;
        let pool = database.pool().await;
        let (gate, mut arrivals) = Gate::new();
        let passing = gate.clone();
        let handlers = jobs::only(class, policy, move |_| {
            let gate = passing.clone();
            async move {
                gate.pass().await;
                end()
            }
        });
        let worker = Harness::start(&database, handlers).await;
        let arguments = if class == "FailJob" { json!([2]) } else { json!([]) };
        let job = RubyJob::new(Rails::V7_1, class, arguments);
        let id = job.column("queue_name", "q").key("queue_name", "q").enqueue(&pool).await;
        arrivals.recv().await.unwrap();
        let at = force_discard(&pool, id).await;
        gate.open();
        eventually("the attempt has ended", std::time::Duration::from_secs(30), async || {
            worker.attempts(id).await.first()?.finished_at
        })
        .await;
        Self { database, pool, worker, id, at }
    }

    async fn stored(&self) -> Value {
        stored(&self.pool, self.id).await
    }

    async fn end(self) {
        self.worker.stop_with(Shutdown::Now).await;
        self.pool.close().await;
        drop(self.database);
    }
}

/// What the dashboard writes; it takes no lock.
async fn force_discard(pool: &PgPool, id: JobId) -> Timestamp {
    sqlx::query_scalar(
        "UPDATE good_jobs SET finished_at = now(), error = $2, error_event = 5, updated_at = now()
         WHERE id = $1 AND finished_at IS NULL RETURNING finished_at AT TIME ZONE 'UTC'",
    )
    .bind(id.as_uuid())
    .bind(DISCARDED)
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_keeps_the_error_of_the_discard() {
    let job = Discarded::which_ends("NoopJob", Policy::new(), || Ok(())).await;
    let gem = changed(
        gem_outcome("NoopJob"),
        &[("/job/error", json!(DISCARDED)), ("/job/error_event", json!(5))],
    );
    assert_as_the_gem_leaves_it("a success", gem, &job.stored().await);
    let row = job.worker.job(job.id).await;
    assert_eq!(row.finished_at, job.worker.attempts(job.id).await[0].finished_at);
    assert!(row.finished_at.unwrap() > job.at, "it ends with its own end");
    job.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_brings_its_own_error() {
    let job = Discarded::which_ends("UnhandledJob", Policy::new(), || Err(jobs::unhandled())).await;
    assert_as_the_gem_leaves_it("a failure", gem_outcome("UnhandledJob"), &job.stored().await);
    assert!(job.worker.job(job.id).await.finished_at.unwrap() > job.at);
    job.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_does_not_bring_the_job_back() {
    let policy = jobs::retries(std::time::Duration::ZERO);
    let job = Discarded::which_ends("FailJob", policy, || Err(Boom(1).into())).await;
    let mut gem = changed(
        gem_outcome("FailJob, which succeeds at last"),
        &[
            ("/job/performed_at", Value::Null),
            ("/job/executions_count", json!(1)),
            ("/job/error", json!("FailJob::Boom: attempt 1")),
            ("/job/error_event", json!(3)),
        ],
    );
    gem["executions"].as_array_mut().unwrap().truncate(1);
    let mut comparison = Comparison::excusing(&AFTER_A_FORCED_DISCARD);
    let gem = in_the_form_of(Rails::V7_1, gem);
    comparison.rows("a retry", Rails::V7_1, &gem, &job.stored().await);
    comparison.assert_nothing_unexpected();
    comparison.assert_met(&AFTER_A_FORCED_DISCARD);
    let row = job.worker.job(job.id).await;
    assert_eq!((row.finished_at, row.error_event), (Some(job.at), Some(ErrorEvent::Retried)));
    // Whatever is claimed next, it is not this one, which comes first by its age.
    let other = RubyJob::new(Rails::V7_1, "FailJob", json!([])).enqueue(&job.pool).await;
    eventually("another job is started", std::time::Duration::from_secs(30), async || {
        job.worker.job(other).await.performed_at
    })
    .await;
    assert_eq!(job.worker.attempts(job.id).await.len(), 1);
    job.end().await;
}
