//! The row of our process: what it holds, how long it stays fresh, and that it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use goodjob_core::{Config, DEFAULT_HEARTBEAT, Handlers, Pools, Timestamp};
use goodjob_testkit::{Database, Harness, Schema, eventually};
use sqlx::PgPool;

use crate::pages;

/// The keys of a state with the types of their values (wire contract 7.2).
const KEYS: [(&str, &[&str]); 12] = [
    ("hostname", &["string"]),
    ("pid", &["number"]),
    ("memory", &["number"]),
    ("proctitle", &["string"]),
    ("preserve_job_records", &["boolean", "string", "object"]),
    ("retry_on_unhandled_error", &["boolean"]),
    ("schedulers", &["array"]),
    ("cron_enabled", &["boolean"]),
    ("total_succeeded_executions_count", &["number"]),
    ("total_errored_executions_count", &["number"]),
    ("database_connection_pool", &["object"]),
    ("lock_strategy", &["string"]),
];

/// Those of one of its schedulers.
const SCHEDULER: [(&str, &[&str]); 14] = [
    ("name", &["string"]),
    ("queues", &["string"]),
    ("max_threads", &["number"]),
    ("active_threads", &["number"]),
    ("available_threads", &["number"]),
    ("max_cache", &["number"]),
    ("active_cache", &["number"]),
    ("available_cache", &["number"]),
    ("empty_executions_count", &["number"]),
    ("errored_executions_count", &["number"]),
    ("succeeded_executions_count", &["number"]),
    ("total_executions_count", &["number"]),
    ("execution_at", &["string", "null"]),
    ("check_queue_at", &["string", "null"]),
];

async fn worker(database: &Database, change: impl FnOnce(&mut Config)) -> Harness {
    Harness::start_with(database, Handlers::default(), |config, _| change(config)).await
}

/// The types of the values of an object, by their keys.
async fn types(pool: &PgPool, object: &'static str) -> BTreeMap<String, String> {
    let types: Vec<(String, String)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT key, jsonb_typeof(value) FROM good_job_processes, jsonb_each({object})"
    )))
    .fetch_all(pool)
    .await
    .unwrap();
    types.into_iter().collect()
}

fn assert_types(types: &BTreeMap<String, String>, keys: &[(&str, &[&str])]) {
    for (key, allowed) in keys {
        let found = types.get(*key).map_or("nothing", String::as_str);
        assert!(allowed.contains(&found), "{key}: found {found}, expected {allowed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_processes_shows_ours_with_all_that_it_computes() {
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    let worker = worker(&database, |config| {
        let pools: Pools = "+urgent,mail:2;-urgent,mail:3".parse().unwrap();
        config.pools = pools.with_default(std::num::NonZeroUsize::MIN);
        config.title = "goodjob start".to_owned();
    })
    .await;
    let processes = pages::processes(&pool).await;
    let [process] = &processes[..] else { panic!("{processes:?}") };
    assert_eq!(process.id, worker.capsule().process().as_uuid());
    assert_eq!(process.pid, std::process::id().to_string());
    assert_eq!(process.title, "goodjob start");
    assert_eq!(process.pools, ["+urgent,mail 2", "-urgent,mail 3"]);
    assert!(process.has_memory && process.aged && !process.cron, "{process:?}");
    assert!(!process.hostname.is_empty());
    assert_types(&types(&pool, "state").await, &KEYS);
    assert_types(&types(&pool, "state->'schedulers'->0").await, &SCHEDULER);
    assert_types(&types(&pool, "state->'schedulers'->1").await, &SCHEDULER);
    let kept = types(&pool, "state->'database_connection_pool'").await;
    assert_types(&kept, &[("size", &["number"]), ("active", &["number"])]);
    worker.stop().await;
    pool.close().await;
}

/// The gem takes a row of 30 seconds for stale and one of 5 minutes for dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heartbeat_is_the_servers_time_and_the_row_goes_with_the_worker() {
    assert!((10..=30).contains(&DEFAULT_HEARTBEAT.as_secs()));
    assert_eq!(Config::default().heartbeat, DEFAULT_HEARTBEAT);
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    let beat = Duration::from_millis(200);
    let worker = worker(&database, |config| config.heartbeat = beat).await;
    // The server's clock, the row's last sign of life and its first one.
    let row = async || -> (Timestamp, Timestamp, Timestamp) {
        sqlx::query_as(
            "SELECT clock_timestamp(), updated_at AT TIME ZONE 'UTC', created_at AT TIME ZONE 'UTC'
             FROM good_job_processes WHERE lock_type IS NULL",
        )
        .fetch_one(&pool)
        .await
        .unwrap()
    };
    let (_, first, born) = row().await;
    assert!(born <= first);
    eventually("three more beats", Duration::from_secs(30), async || {
        let (now, beaten, _) = row().await;
        assert!(beaten <= now, "{beaten} is in the future of {now}");
        if (beaten - first).to_std().is_ok_and(|time| time >= beat * 3) {
            Ok(())
        } else {
            Err(format!("{beaten} after {first}"))
        }
    })
    .await;
    assert_eq!(row().await.2, born, "it is the same row");
    worker.stop().await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((left, pages::processes(&pool).await.len()), (0, 0));
    pool.close().await;
}
