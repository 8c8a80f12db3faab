//! Ticks and switches of cron on the tables: shared with other processes, and with Ruby's.

use std::time::Duration;

use chrono::{TimeDelta, Timelike, Utc};
use goodjob_core::{
    Arguments, Context, Cron, CronEntry, CronStore, Job, JobResult, NewJob, Options, Perform,
    Registry, Schedule, Store, Tick, Timestamp,
};
use goodjob_postgres::PgStore;
use goodjob_testkit::{Database, Harness, Runs, eventually};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;

#[derive(Serialize, Deserialize)]
struct Tock {}

impl Job for Tock {
    const CLASS: &'static str = "TockJob";
}

impl Perform<Runs> for Tock {
    async fn perform(self, cx: Context<Runs>) -> JobResult {
        Ok(cx.state().log_as(&cx, async {}).await?)
    }
}

fn entry(key: &str, schedule: impl TryInto<Schedule, Error: std::fmt::Debug>) -> CronEntry {
    let schedule: Schedule = schedule.try_into().unwrap();
    CronEntry::new(key, schedule, Tock {}).unwrap()
}

async fn worker(database: &Database, runs: &Runs, cron: Cron) -> Harness {
    let registry = Registry::new(runs.clone()).register::<Tock>();
    Harness::start_with(database, registry, |config, _| config.cron = cron).await
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

const ROWS: &str = "SELECT count(*) FROM good_jobs WHERE cron_key = 'secondly'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_store_each_tick_once_beside_a_tick_of_ruby() {
    let database = crate::database().await;
    let (pool, runs) = (database.pool().await, Runs::at(&database.url()).await);
    let cron = || Cron { entries: vec![entry("secondly", "* * * * * *")], ..Cron::default() };
    let one = worker(&database, &runs, cron()).await;
    let other = worker(&database, &runs, cron()).await;
    // A process of the gem has been faster with one of the ticks to come.
    let theirs = (Utc::now() + TimeDelta::seconds(4)).with_nanosecond(0).unwrap();
    sqlx::query(
        "INSERT INTO good_jobs (created_at, updated_at, scheduled_at, job_class, queue_name, priority, cron_key,
                                cron_at, serialized_params)
         VALUES (now(), now(), now(), 'RubyJob', 'ruby', 0, 'secondly', $1, '{}')",
    )
    .bind(theirs.naive_utc())
    .execute(&pool)
    .await
    .unwrap();
    eventually("six ticks have run", Duration::from_secs(30), async || {
        count(&pool, "SELECT count(*) FROM good_jobs WHERE cron_key = 'secondly' AND finished_at IS NOT NULL")
            .await
            .ge(&6)
            .then_some(())
    })
    .await;
    one.stop().await;
    other.stop().await;
    let rows: Vec<(Timestamp, String, Timestamp)> = sqlx::query_as(
        "SELECT cron_at AT TIME ZONE 'UTC', job_class, created_at AT TIME ZONE 'UTC'
         FROM good_jobs WHERE cron_key = 'secondly' ORDER BY cron_at",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for pair in rows.windows(2) {
        assert_eq!(
            pair[1].0 - pair[0].0,
            TimeDelta::seconds(1),
            "no tick twice, none lost: {rows:?}"
        );
    }
    for (at, class, created_at) in &rows {
        assert_eq!(class == "RubyJob", *at == theirs, "{rows:?}");
        assert!(class == "RubyJob" || created_at >= at, "never early: {rows:?}");
    }
    runs.close().await;
    pool.close().await;
}

/// F-2: the gem reads the setting, and its capsule does not pass it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_missed_while_no_worker_ran_is_there_once_after_the_start() {
    let database = crate::database().await;
    let (pool, runs) = (database.pool().await, Runs::at(&database.url()).await);
    // Due 90 seconds ago and in no other minute of this day.
    let due = Utc::now() - TimeDelta::seconds(90);
    let line = format!("{} {} {} * * *", due.second(), due.minute(), due.hour());
    let cron = |grace: Option<Duration>| Cron {
        entries: vec![entry("secondly", line.as_str())],
        graceful_restart: grace,
        ..Cron::default()
    };
    let without = worker(&database, &runs, cron(None)).await;
    without.stop().await;
    assert_eq!(count(&pool, ROWS).await, 0);
    for _ in 0..2 {
        let with = worker(&database, &runs, cron(Some(Duration::from_secs(180)))).await;
        eventually("the tick has run", Duration::from_secs(30), async || {
            count(&pool, "SELECT count(*) FROM good_jobs WHERE finished_at IS NOT NULL")
                .await
                .eq(&1)
                .then_some(())
        })
        .await;
        with.stop().await;
    }
    assert_eq!(count(&pool, ROWS).await, 1);
    let at: Timestamp = sqlx::query_scalar("SELECT cron_at AT TIME ZONE 'UTC' FROM good_jobs")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(at, due.with_nanosecond(0).unwrap());
    runs.close().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_insert_one_tick_at_once_and_one_of_them_wins() {
    let database = crate::database().await;
    let (one, other) = (database.store().await, database.store().await);
    for second in 0..20 {
        let job = || {
            let mut job =
                NewJob::of_class("TockJob", Arguments::default(), Options::new()).unwrap();
            let at = Timestamp::from_timestamp(1_800_000_000 + second, 0);
            job.ties.tick = Some(Tick { key: "k".to_owned(), at });
            [job]
        };
        let (first, second) = (job(), job());
        let (first, second) = tokio::join!(one.insert(&first), other.insert(&second));
        assert_ne!(is_new(&first.unwrap()), is_new(&second.unwrap()));
    }
    let last = one.last_ticks(&["k".to_owned(), "none".to_owned()]).await.unwrap();
    let [last] = &last[..] else { panic!("{last:?}") };
    let tick = last.ties.tick.as_ref().unwrap();
    assert_eq!(tick.at, Timestamp::from_timestamp(1_800_000_019, 0));
    one.close().await;
    other.close().await;
}

fn is_new(inserted: &[goodjob_core::Inserted]) -> bool {
    matches!(inserted, [goodjob_core::Inserted::New(_)])
}

async fn setting(store: &PgStore, key: &str) -> Value {
    sqlx::query_scalar("SELECT value FROM good_job_settings WHERE key = $1")
        .bind(key)
        .fetch_one(store.pool())
        .await
        .unwrap()
}

/// F-5: the gem reads the lists, changes and writes them, and so loses all but the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_switches_at_once_are_all_kept() {
    let database = crate::database().await;
    let store = database.store().await;
    let switching = (0..50).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let key = format!("key {n}");
            match n % 2 {
                0 => store.enable_cron(&key).await,
                _ => store.disable_cron(&key).await,
            }
        })
    });
    for switched in switching.collect::<Vec<_>>() {
        switched.await.unwrap().unwrap();
    }
    let switches = store.cron_switches().await.unwrap();
    assert_eq!((switches.enabled.len(), switches.disabled.len()), (25, 25), "{switches:?}");
    store.close().await;
}

#[tokio::test]
async fn a_switch_is_written_as_the_gem_does_and_odd_values_are_no_keys() {
    let database = crate::database().await;
    let store = database.store().await;
    assert_eq!(store.cron_switches().await.unwrap(), goodjob_core::CronSwitches::default());
    store.disable_cron("a").await.unwrap();
    store.disable_cron("b").await.unwrap();
    store.disable_cron("a").await.unwrap();
    assert_eq!(setting(&store, "cron_keys_disabled").await, json!(["b", "a"]));
    assert_eq!(setting(&store, "cron_keys_enabled").await, json!([]));
    store.enable_cron("a").await.unwrap();
    assert_eq!(setting(&store, "cron_keys_disabled").await, json!(["b"]));
    assert_eq!(setting(&store, "cron_keys_enabled").await, json!(["a"]));

    let odd = json!({"a": 1, "b": ["c"]});
    sqlx::query("UPDATE good_job_settings SET value = $1")
        .bind(&odd)
        .execute(store.pool())
        .await
        .unwrap();
    assert_eq!(store.cron_switches().await.unwrap(), goodjob_core::CronSwitches::default());
    store.enable_cron("a").await.unwrap();
    assert_eq!(setting(&store, "cron_keys_enabled").await, json!(["a"]));
    let odd = json!([1, null, ["a"], "c"]);
    sqlx::query("UPDATE good_job_settings SET value = $1")
        .bind(&odd)
        .execute(store.pool())
        .await
        .unwrap();
    let switches = store.cron_switches().await.unwrap();
    assert_eq!(switches.enabled.into_iter().collect::<Vec<_>>(), ["c"]);
    store.close().await;
}
