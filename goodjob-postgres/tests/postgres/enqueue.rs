//! Enqueueing on one's own connection and in one's own transaction.

use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{
    Arguments, CronStore, EnqueueError, Inserted, Inspect, JobId, NewJob, Options, Store,
    StoreError,
};
use goodjob_postgres::{EnqueueIn, PgStore, enqueue_in};
use goodjob_testkit::{Database, eventually};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;

use crate::engine::Echo;
use crate::proxy::Proxy;

fn job(class: &str) -> NewJob {
    NewJob::of_class(class, Arguments::default(), Options::new()).unwrap()
}

/// A store whose connections, so many in its pool, can be watched and made silent.
async fn behind_a_network(database: &Database, pool_size: u32) -> (Proxy, PgStore) {
    let proxy = Proxy::to(database).await;
    let mut options = proxy.options();
    options.tables = database.options().tables;
    options.pool_size = pool_size;
    (proxy, PgStore::connect(options).await.unwrap())
}

#[tokio::test]
async fn a_job_in_a_transaction_lives_and_dies_with_it() {
    let database = crate::database().await;
    let store = database.store().await;
    let (adapter, pool) = (store.adapter(), database.pool().await);
    let mut listener = PgListener::connect(&database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();

    let mut tx = pool.begin().await.unwrap();
    let gone = adapter.enqueue(Echo { text: "gone".into() }).enqueue_in(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let kept = adapter.enqueue(Echo { text: "kept".into() }).queue("mice").enqueue_in(&mut *tx);
    let kept = kept.await.unwrap();
    assert_eq!(store.job(kept).await.unwrap(), None, "not before the commit");
    tx.commit().await.unwrap();

    assert_eq!(store.job(gone).await.unwrap(), None);
    assert!(store.job(kept).await.unwrap().is_some());
    // The one notice that comes is the one that was committed.
    let notice: Value = serde_json::from_str(listener.recv().await.unwrap().payload()).unwrap();
    assert_eq!(notice["queue_name"], "mice");
    drop(listener);
    pool.close().await;
    store.close().await;
}

#[tokio::test]
async fn the_row_is_the_gems_and_right_on_a_connection_in_another_time_zone() {
    let database = crate::database().await;
    let store = database.store().await;
    let pool = database.pool().await;
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("SET TimeZone = 'Asia/Tokyo'").execute(&mut *connection).await.unwrap();
    let before = chrono::Utc::now();
    let id = store
        .adapter()
        .enqueue(Echo { text: "ä🐘".into() })
        .priority(-3)
        .label(" a ")
        .wait(Duration::from_secs(60))
        .enqueue_in(&mut *connection)
        .await
        .unwrap();
    drop(connection);
    let row = store.job(id).await.unwrap().unwrap();
    assert!((row.created_at - before).abs() < TimeDelta::seconds(30), "{}", row.created_at);
    assert_eq!(row.scheduled_at.unwrap() - row.created_at, TimeDelta::seconds(60));
    assert_eq!((row.priority, row.queue.as_deref()), (Some(-3), Some("default")));
    assert_eq!(row.labels, ["a"]);
    let payload = row.payload.into_value();
    assert_eq!(payload["arguments"], json!([{"text": "ä🐘", "_aj_ruby2_keywords": ["text"]}]));
    assert_eq!(payload["job_id"], json!(id));
    assert_eq!((payload["executions"].clone(), payload["priority"].clone()), (json!(0), json!(-3)));
    let (same, others): (bool, i64) = sqlx::query_as(
        "SELECT id = active_job_id AND updated_at = created_at,
                num_nonnulls(executions_count, performed_at, finished_at, error, error_event, locked_by_id,
                             locked_at, lock_type, cron_key, batch_id, concurrency_key)::bigint FROM good_jobs",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((same, others), (true, 0));
    pool.close().await;
    store.close().await;
}

#[tokio::test]
async fn many_jobs_are_one_statement_and_one_notice_for_each_queue() {
    let database = crate::database().await;
    let store = database.store().await;
    let mut listener = PgListener::connect(&database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();
    let mut jobs: Vec<NewJob> = (0..500).map(|_| job("A")).collect();
    jobs.iter_mut().step_by(2).for_each(|job| job.queue = "other".into());
    jobs[0].notify = false;
    let inserted = store.insert(&jobs).await.unwrap();
    assert!(inserted.iter().zip(&jobs).all(|(i, job)| *i == Inserted::New(job.id)));
    let again = store.insert(&jobs[..3]).await.unwrap();
    assert_eq!(again[2], Inserted::AlreadyThere(jobs[2].id));
    let mut counts = Vec::new();
    for _ in 0..2 {
        let notice: Value = serde_json::from_str(listener.recv().await.unwrap().payload()).unwrap();
        counts.push((notice["queue_name"].as_str().unwrap().to_owned(), notice["count"].as_u64()));
    }
    counts.sort();
    assert_eq!(counts, [("default".into(), Some(250)), ("other".into(), Some(249))]);
    drop(listener);
    store.close().await;
}

/// A transaction that notifies makes others wait that do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enqueues_at_the_same_time_share_their_notices_and_every_job_is_told_of() {
    const JOBS: u64 = 200;
    let database = crate::database().await;
    let store = database.store().await;
    let mut listener = PgListener::connect(&database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();
    let mut storing = tokio::task::JoinSet::new();
    for _ in 0..JOBS {
        let store = store.clone();
        storing.spawn(async move { store.insert(&[job("A")]).await.unwrap() });
    }
    storing.join_all().await;
    let (mut notices, mut told) = (0, 0);
    while told < JOBS {
        let heard = tokio::time::timeout(Duration::from_secs(5), listener.recv()).await;
        let heard = heard.unwrap_or_else(|_| panic!("{told} of {JOBS} jobs in {notices} notices"));
        let notice: Value = serde_json::from_str(heard.unwrap().payload()).unwrap();
        told += notice["count"].as_u64().unwrap_or(1);
        notices += 1;
    }
    println!("{JOBS} jobs at the same time: {notices} notices");
    assert_eq!(told, JOBS);
    assert!(notices < JOBS / 2, "{notices}");
    drop(listener);
    store.close().await;
}

#[tokio::test]
async fn a_lost_server_is_an_error_that_says_what_may_have_happened() {
    let database = crate::database().await;
    let store = database.store().await;
    let pool = database.pool().await;
    let mut tx = pool.begin().await.unwrap();
    sqlx::raw_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        .execute(&mut *tx)
        .await
        .unwrap_err();
    let error = enqueue_in(&mut *tx, &[job("A")]).await.unwrap_err();
    let EnqueueError::Store(StoreError::Unknown { .. } | StoreError::Unavailable { .. }) = error
    else {
        panic!("{error:?}")
    };
    drop(tx);
    pool.close().await;
    store.close().await;
}

#[tokio::test]
async fn all_or_none_are_stored() {
    let database = crate::database().await;
    let store = database.store().await;
    let mut jobs = vec![job("A"), job("B")];
    jobs[1].id = JobId::generate();
    jobs[1].labels = vec!["a\0".into()];
    assert!(matches!(
        store.adapter().enqueue_all(jobs.clone()).await,
        Err(EnqueueError::Nul { .. })
    ));
    assert!(matches!(store.insert(&jobs).await, Err(StoreError::Rejected { .. })));
    assert_eq!(store.job(jobs[0].id).await.unwrap(), None);
    store.close().await;
}

/// A pool asks each connection that comes back to it whether it lives: that would be a second one.
#[tokio::test]
async fn an_enqueue_is_one_round_trip() {
    let database = crate::database().await;
    let (proxy, store) = behind_a_network(&database, 4).await;
    let adapter = store.adapter();
    // Connects, and prepares the statement.
    adapter.enqueue(Echo { text: "first".into() }).await.unwrap();
    let before = proxy.asked();
    const JOBS: usize = 200;
    for _ in 0..JOBS {
        adapter.enqueue(Echo { text: "one of many".into() }).await.unwrap();
    }
    let asked = proxy.asked() - before;
    // A machine that stops for a while may have a connection go back and come again.
    assert!((JOBS..JOBS + JOBS / 10).contains(&asked), "{asked} round trips for {JOBS} jobs");
    store.close().await;
}

/// What is kept for the next statement goes back when nothing comes for it, and to who waits for one.
#[tokio::test]
async fn connections_at_hand_are_withheld_from_nobody() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    let enqueue = async || adapter.enqueue(Echo { text: "x".into() }).await.unwrap();
    tokio::join!(enqueue(), enqueue(), enqueue(), enqueue());
    // Each waits for as long as the pool has patience, and no longer.
    let mut all = Vec::new();
    for _ in 0..store.options().pool_size {
        all.push(store.pool().acquire().await.unwrap());
    }
    tokio::join!(enqueue(), async { drop(all.pop()) });
    tokio::join!(enqueue(), enqueue(), enqueue());
    drop(all);
    store.close().await;
}

/// A connection that failed is not kept for the next one.
#[tokio::test]
async fn each_connection_that_died_costs_one_enqueue_at_most() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    let two = || [job("EchoJob"), job("EchoJob")];
    let pool = database.pool().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'goodjob' AND pid <> pg_backend_pid()";
    for round in 0..5 {
        adapter.enqueue_all(two()).await.unwrap();
        sqlx::query(end).execute(&pool).await.unwrap();
        let mut failed = 0;
        while adapter.enqueue_all(two()).await.is_err() {
            failed += 1;
            assert!(failed <= store.options().pool_size, "round {round}");
        }
    }
    store.close().await;
    pool.close().await;
}

/// The pool would wait for an answer without end, and have one connection less for ever.
#[tokio::test]
async fn a_connection_at_hand_that_fell_silent_is_replaced() {
    let database = crate::database().await;
    let (proxy, store) = behind_a_network(&database, 1).await;
    let adapter = store.adapter();
    adapter.enqueue(Echo { text: "at hand".into() }).await.unwrap();
    proxy.fall_silent();
    eventually("a connection that answers", Duration::from_secs(20), async || {
        let stored = adapter.enqueue(Echo { text: "again".into() }).into_future();
        tokio::time::timeout(Duration::from_secs(6), stored).await.ok()?.ok()
    })
    .await;
    store.close().await;
}

/// Cron, batches and limits ask over connections of the pool, and whoever stops a worker waits for them.
#[tokio::test]
async fn what_the_engine_asks_over_a_silent_connection_is_given_up() {
    let database = crate::database().await;
    let (proxy, store) = behind_a_network(&database, 1).await;
    store.cron_switches().await.unwrap();
    proxy.fall_silent();
    eventually("a connection that answers", Duration::from_secs(20), async || {
        store.cron_switches().await.ok()
    })
    .await;
    proxy.fall_silent();
    let closed = tokio::time::timeout(Duration::from_secs(30), store.close()).await;
    closed.expect("the store closes");
}
