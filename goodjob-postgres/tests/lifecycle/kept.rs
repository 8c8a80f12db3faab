//! What a job carries for others (labels, keys, ids of batches and ticks) is left alone, whatever happens
//! to it; and rows that have to stay, stay.

use goodjob_core::{Inspect, JobState, Preserve, Timestamp};
use goodjob_postgres::jobs::Acted;
use goodjob_testkit::{Database, Harness, Schema, eventually};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::differences::Comparison;
use crate::jobs;
use crate::rows::{changed, gem_outcome, in_the_form_of, stored};
use crate::ruby::{Rails, RubyJob};

const CARRIED: [&str; 9] = [
    "queue_name",
    "priority",
    "job_class",
    "labels",
    "concurrency_key",
    "batch_id",
    "batch_callback_id",
    "cron_key",
    "cron_at",
];

fn loaded(class: &str, arguments: Value) -> RubyJob {
    RubyJob::new(Rails::V7_1, class, arguments)
        .column("queue_name", "q")
        .column("priority", -7)
        .column("labels", json!(["b", "a", "ä 🐘"]))
        .column("concurrency_key", "shop-7")
        .column("batch_id", json!(Uuid::new_v4()))
        .column("batch_callback_id", json!(Uuid::new_v4()))
        .column("cron_key", "nightly")
        .column("cron_at", "2026-11-24 03:00:00")
        .key("continuation", json!({"completed": ["load"], "current": ["write", 40]}))
        .key("tenant", 12)
}

async fn carried(pool: &PgPool, id: goodjob_core::JobId) -> Value {
    let row = stored(pool, id).await;
    let columns = CARRIED.iter().map(|column| row["job"][column].clone()).collect::<Vec<_>>();
    let envelope = &row["job"]["serialized_params"];
    let keys = ["continuation", "tenant", "locale", "timezone", "arguments", "priority"];
    json!([columns, keys.map(|key| envelope[key].clone())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_carries_survives_retries_and_its_end() {
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    let worker = Harness::start(&database, jobs::all()).await;
    let id = loaded("FailJob", json!([2])).enqueue(&pool).await;
    let before = carried(&pool, id).await;
    eventually("a retry", std::time::Duration::from_secs(30), async || {
        let job = worker.job(id).await;
        if job.payload.executions() == 1 { Ok(()) } else { Err(format!("{job:?}")) }
    })
    .await;
    assert_eq!(carried(&pool, id).await, before, "after the retry");
    let job = worker.finished(id).await;
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded);
    assert_eq!(carried(&pool, id).await, before, "at its end");
    worker.stop().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_preservation_nothing_stays_but_a_row_of_cron() {
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    let worker = Harness::start_with(&database, jobs::all(), |config, _| {
        config.preserve = Preserve::Never;
    })
    .await;
    let cron = loaded("FailJob", json!([2])).enqueue(&pool).await;
    let failed = RubyJob::new(Rails::V6_1, "UnhandledJob", json!([])).enqueue(&pool).await;
    let retried = RubyJob::new(Rails::V6_1, "FailJob", json!([2])).enqueue(&pool).await;
    worker.finished(cron).await;
    for id in [failed, retried] {
        eventually("the job is gone", std::time::Duration::from_secs(30), async || {
            match worker.store().job(id).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    let left: Vec<Uuid> =
        sqlx::query_scalar("SELECT DISTINCT active_job_id FROM good_job_executions")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(left, [cron.as_uuid()]);
    assert_eq!(worker.attempts(cron).await.len(), 2);
    worker.stop().await;
    pool.close().await;
}

/// What `goodjob jobs retry` leaves is what the dashboard's button leaves (wire contract 6.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_a_person_retries() {
    for rails in [Rails::V6_1, Rails::V7_1] {
        let database = Database::with_schema(Schema::GEM).await;
        let pool = database.pool().await;
        let worker = Harness::start(&database, jobs::all()).await;
        let job = RubyJob::new(rails, "UnhandledJob", json!([]));
        let id = job.column("queue_name", "q").key("queue_name", "q").enqueue(&pool).await;
        worker.finished(id).await;
        worker.stop().await;
        let store = database.store().await;
        assert_eq!(store.retry(id).await.unwrap(), Acted::Done);
        let gem = changed(
            gem_outcome("UnhandledJob"),
            &[
                ("/job/finished_at", Value::Null),
                ("/job/performed_at", Value::Null),
                ("/job/error_event", json!(3)),
                ("/job/serialized_params/executions", json!(1)),
                ("/job/serialized_params/provider_job_id", json!("<uuid>")),
            ],
        );
        let mut comparison = Comparison::default();
        let gem = in_the_form_of(rails, gem);
        comparison.rows("by a person", rails, &gem, &stored(&pool, id).await);
        comparison.assert_nothing_unexpected();
        store.close().await;
        pool.close().await;
    }
}
