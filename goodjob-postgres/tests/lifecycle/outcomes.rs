//! The jobs of the page, performed by our worker.

use goodjob_core::{Backoff, JobError, JobId, Policy, Retry};
use goodjob_postgres::DequeueOrder;
use goodjob_testkit::{Database, Harness, Schema};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::differences::{Comparison, DIFFERENCES};
use crate::jobs::{self, Boom, WAIT};
use crate::rows::{gem_outcome, gem_outcomes, in_the_form_of, stored};
use crate::ruby::{Rails, RubyJob};

/// Enqueues a job of the page as Ruby had enqueued it: the envelope is that of the first attempt.
pub(crate) async fn enqueue(pool: &PgPool, rails: Rails, outcome: &Value) -> JobId {
    let (job, envelope) = (&outcome["job"], &outcome["executions"][0]["serialized_params"]);
    let class = job["job_class"].as_str().unwrap();
    let mut ruby = RubyJob::new(rails, class, with_ids(&envelope["arguments"]));
    for column in
        ["queue_name", "priority", "labels", "concurrency_key", "batch_id", "batch_callback_id"]
    {
        ruby = ruby.column(column, with_ids(&job[column]));
    }
    for key in ["queue_name", "priority", "locale", "timezone"] {
        ruby = ruby.key(key, envelope[key].clone());
    }
    ruby.enqueue(pool).await
}

fn with_ids(value: &Value) -> Value {
    let text = value.to_string().replace("<uuid>", &Uuid::new_v4().to_string());
    serde_json::from_str(&text).unwrap()
}

async fn compare(rails: Rails, order: DequeueOrder) -> Comparison {
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    let worker =
        Harness::start_with(&database, jobs::all(), |_, options| options.order = order).await;
    let mut comparison = Comparison::default();
    for outcome in gem_outcomes() {
        let id = enqueue(&pool, rails, &outcome).await;
        let enqueued = worker.job(id).await;
        let ended = worker.finished(id).await;
        let name = outcome["name"].as_str().unwrap();
        let expected = in_the_form_of(rails, outcome.clone());
        comparison.rows(name, rails, &expected, &stored(&pool, id).await);
        if ended.payload.executions() > 0 {
            // Masked on the page; observed all the same (wire contract 4.3).
            let gem = "created_at is that of the last retry";
            let attempts = worker.attempts(id).await;
            let last_retry = attempts[attempts.len() - 2].finished_at;
            let ours = match ended.created_at {
                // First, for the row may have been read when it had been retried already.
                at if Some(at) == last_retry => gem,
                at if at == enqueued.created_at => "created_at is that of the enqueue",
                _ => "created_at is of nobody knows when",
            };
            // Under the gem's default order, which resets it, there is nothing to excuse.
            match order {
                DequeueOrder::ScheduledAt => {
                    comparison.lines(name, vec![gem.into()], vec![ours.into()]);
                }
                DequeueOrder::CreatedAt => assert_eq!(ours, gem, "{name}"),
            }
        }
    }
    let broken: Vec<String> = sqlx::query_scalar(include_str!("relations.sql"))
        .bind(worker.capsule().process().as_uuid())
        .bind(WAIT.as_secs_f64())
        .fetch_all(&pool)
        .await
        .unwrap();
    assert!(broken.is_empty(), "{broken:#?}");
    worker.stop().await;
    pool.close().await;
    comparison
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_rails_6_1_end_as_the_gem_ends_them() {
    let comparison = compare(Rails::V6_1, DequeueOrder::ScheduledAt).await;
    comparison.assert_nothing_unexpected();
    comparison.assert_met(&DIFFERENCES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_rails_7_1_end_as_the_gem_ends_them() {
    compare(Rails::V7_1, DequeueOrder::ScheduledAt).await.assert_nothing_unexpected();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_gems_default_order_a_retry_counts_as_an_enqueue() {
    compare(Rails::V6_1, DequeueOrder::CreatedAt).await.assert_nothing_unexpected();
}

/// A class that both sides run: with Ruby's names for its error and its rule, they are not told apart by
/// them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_uses_rubys_names_differs_in_no_name() {
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    let retry = Retry::attempts(3).wait(Backoff::Constant(WAIT)).counted_as("FailJob::Boom");
    let policy = Policy::new().retry_on::<Boom>(retry);
    let handlers = jobs::only("FailJob", policy, |cx| {
        let error = JobError::from(Boom(cx.attempt())).with_class("FailJob::Boom");
        std::future::ready(Err(error.with_backtrace(["app/jobs/fail_job.rb:3".to_owned()])))
    });
    let worker = Harness::start(&database, handlers).await;
    let outcome = gem_outcome("FailJob, which fails at last");
    let id = enqueue(&pool, Rails::V6_1, &outcome).await;
    worker.finished(id).await;
    let mut comparison = Comparison::by([]);
    comparison.rows("FailJob", Rails::V6_1, &outcome, &stored(&pool, id).await);
    comparison.assert_nothing_unexpected();
    worker.stop().await;
    pool.close().await;
}
