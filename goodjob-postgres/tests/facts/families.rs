//! Facts 45 to 50: cron, batches, limits and old rows. What goodjob has no part for yet is shown by the
//! gem's own statements, on rows that our worker was at.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use goodjob_core::{
    Arguments, CronEntry, Inserted, JobId, JobState, Preserve, Retention, Store, Timestamp, Zone,
};
use goodjob_postgres::advisory_key;
use goodjob_testkit::eventually;
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use crate::ruby::{Rails, RubyJob};
use crate::scene::{PATIENCE, Scene};

/// A tick of a cron entry, enqueued as every process of the gem tries to.
fn tick(at: &str) -> RubyJob {
    RubyJob::new(Rails::V7_1, "QuickJob", json!([]))
        .column("cron_key", "nightly")
        .column("cron_at", at)
}

/// An entry of ours whose jobs our worker runs.
fn entry(key: &str, line: &str) -> CronEntry {
    CronEntry::of_class(key, line, "QuickJob", Arguments::default()).unwrap()
}

/// Ours and the gem's enqueue the same ticks, now and at both ends of a change to winter time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_45_an_entry_of_both_is_one_job_for_each_tick_which_we_run_once_and_keep() {
    let scene = Scene::with(|config, _| {
        config.preserve = Preserve::Never;
        config.cron.entries = vec![entry("nightly", "* * * * * *")];
    })
    .await;
    let start = Utc::now();
    let ticks: Vec<String> = (0..4)
        .map(|n| (start + TimeDelta::seconds(n)).format("%Y-%m-%d %H:%M:%S").to_string())
        .collect();
    for at in &ticks {
        // Whoever is first: ours may have the one that is due now.
        let _ = tick(at).try_enqueue(&scene.pool).await;
        assert!(tick(at).try_enqueue(&scene.pool).await.is_none(), "a loser");
    }
    let later =
        "SELECT count(*) FROM good_jobs WHERE cron_key = 'nightly' AND finished_at IS NOT NULL";
    eventually("ours go on where the gem's end", PATIENCE, async || {
        (scene.count(later).await >= 6).then_some(())
    })
    .await;
    let stored = "SELECT cron_at AT TIME ZONE 'UTC' FROM good_jobs WHERE cron_key = 'nightly' ORDER BY cron_at";
    let stored: Vec<Timestamp> = sqlx::query_scalar(stored).fetch_all(&scene.pool).await.unwrap();
    for pair in stored.windows(2) {
        assert_eq!(pair[1] - pair[0], TimeDelta::seconds(1), "{stored:?}");
    }

    let paris = entry("paris", "0 3 * * * Europe/Paris");
    let mut at: Timestamp = "2026-10-24T00:00:00Z".parse().unwrap();
    for theirs in ["2026-10-24 01:00:00", "2026-10-25 02:00:00"] {
        assert!(tick(theirs).column("cron_key", "paris").try_enqueue(&scene.pool).await.is_some());
        at = paris.schedule().next(at, None, Zone::UTC).unwrap();
        let ours = paris.job(at).unwrap().unwrap();
        let id = ours.id;
        let there = scene.worker.store().insert(&[ours]).await.unwrap();
        assert_eq!(there, [Inserted::AlreadyThere(id)], "{theirs}");
    }
    scene
        .until(
            "SELECT count(*) FROM good_jobs WHERE cron_key = 'paris' AND finished_at IS NOT NULL",
            2,
        )
        .await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_46_a_disabled_key_has_no_tick_of_ours_and_its_past_ones_run() {
    let scene = Scene::with(|config, _| {
        config.cron.entries = vec![
            entry("nightly", "* * * * * *"),
            entry("off", "* * * * * *").disabled_by_default(),
            entry("on", "* * * * * *").disabled_by_default(),
        ];
    })
    .await;
    sqlx::raw_sql(
        "INSERT INTO good_job_settings (created_at, updated_at, key, value) VALUES
           (now(), now(), 'cron_keys_disabled', '[\"nightly\"]'), (now(), now(), 'cron_keys_enabled', '[\"on\"]')",
    )
    .execute(&scene.pool)
    .await
    .unwrap();
    let settings = async || -> Value {
        sqlx::query_scalar("SELECT jsonb_agg(s ORDER BY key) FROM good_job_settings s")
            .fetch_one(&scene.pool)
            .await
            .unwrap()
    };
    let before = settings().await;
    scene.until("SELECT least(count(*), 2) FROM good_jobs WHERE cron_key = 'on'", 2).await;
    // One tick may have been before the setting. From here on it counts.
    let ticks = "SELECT count(*) FROM good_jobs WHERE cron_key IN ('nightly', 'off')";
    let nightly = scene.count(ticks).await;
    let id = tick("2026-11-24 03:00:00").enqueue(&scene.pool).await;
    let job = scene.worker.finished(id).await;
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded);
    scene.until("SELECT least(count(*), 4) FROM good_jobs WHERE cron_key = 'on'", 4).await;
    assert_eq!(scene.count(ticks).await, nightly + 1, "but for Ruby's");
    assert_eq!(settings().await, before);
    scene.end().await;
}

/// A batch with these members, enqueued as Ruby does it.
async fn batch(scene: &Scene, classes: &[&str]) -> (Uuid, Vec<JobId>) {
    let batch: Uuid = sqlx::query_scalar(
        "INSERT INTO good_job_batches (created_at, updated_at, enqueued_at, on_finish, serialized_properties)
         VALUES (now(), now(), now(), 'BatchCallbackJob', '{\"_aj_symbol_keys\": []}') RETURNING id",
    )
    .fetch_one(&scene.pool)
    .await
    .unwrap();
    let mut members = Vec::new();
    for class in classes {
        let job = RubyJob::new(Rails::V7_1, class, json!([]));
        members.push(job.column("batch_id", json!(batch)).enqueue(&scene.pool).await);
    }
    (batch, members)
}

/// What the finisher of a member does in the gem; returns how many callbacks it enqueued.
async fn go_on(scene: &Scene, batch: Uuid) -> i64 {
    let mut connection = scene.pool.acquire().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(advisory_key(&format!("good_job_batches-{batch}")))
        .execute(&mut *tx)
        .await
        .unwrap();
    let called = sqlx::query_scalar(include_str!("continue_batch.sql"))
        .bind(batch)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    called
}

async fn state(scene: &Scene, batch: Uuid) -> (bool, bool) {
    sqlx::query_as(
        "SELECT jobs_finished_at IS NOT NULL, finished_at IS NOT NULL FROM good_job_batches WHERE id = $1",
    )
    .bind(batch)
    .fetch_one(&scene.pool)
    .await
    .unwrap()
}

/// The gem's statement finds our members as it has to. When the last is over, ours goes on, too, and whoever
/// is first stores the callback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_47_members_that_we_ran_are_over_for_the_gems_continuation() {
    let scene = Scene::new().await;
    let (batch, members) =
        batch(&scene, &["QuickJob", "UnhandledJob", "RetryJob", "HeldJob"]).await;
    scene.arrival().await;
    for id in &members[..2] {
        scene.worker.finished(*id).await;
    }
    scene.attempted(members[2]).await;
    assert_eq!(go_on(&scene, batch).await, 0, "one runs, one waits for its retry");
    scene.gate.open();
    scene.worker.finished(members[3]).await;
    assert_eq!(go_on(&scene, batch).await, 0, "one waits for its retry");
    scene
        .change(
            "UPDATE good_jobs SET job_class = 'QuickJob', scheduled_at = now() WHERE id = $1",
            members[2],
        )
        .await;
    scene.worker.finished(members[2]).await;
    let discarded =
        "SELECT count(*) FROM good_jobs WHERE batch_id IS NOT NULL AND error IS NOT NULL";
    assert_eq!(scene.count(discarded).await, 1, "what makes the batch a discarded one");
    assert!(go_on(&scene, batch).await <= 1);
    let callback = "SELECT count(*) FROM good_jobs WHERE batch_callback_id IS NOT NULL AND finished_at IS NOT NULL";
    scene.until(callback, 1).await;
    assert_eq!(go_on(&scene, batch).await, 0, "only once");
    let callbacks = "SELECT count(*) FROM good_jobs WHERE batch_callback_id IS NOT NULL";
    assert_eq!(scene.count(callbacks).await, 1);
    assert_eq!(state(&scene, batch).await, (true, true));
    scene.end().await;
}

/// As 47: the outcomes of two members are in one statement of ours, and two finishers of the gem's go on at
/// once, beside ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_48_two_members_that_end_at_once_lead_to_one_callback() {
    let scene = Scene::new().await;
    let callbacks = "SELECT count(*) FROM good_jobs WHERE batch_callback_id IS NOT NULL";
    for round in 1..=5 {
        let (batch, members) = batch(&scene, &["HeldJob", "HeldJob"]).await;
        scene.arrival().await;
        scene.arrival().await;
        scene.gate.open();
        scene.gate.open();
        scene.worker.all_finished(&members).await;
        let (one, other) = tokio::join!(go_on(&scene, batch), go_on(&scene, batch));
        assert!(one + other <= 1, "{one} and {other}");
        scene.until(callbacks, round).await;
        assert_eq!(go_on(&scene, batch).await, 0, "only once");
        assert_eq!(scene.count(callbacks).await, round);
    }
    scene.end().await;
}

/// A Ruby worker counts what we run, before it runs another of the same key. That we count what Ruby runs, and
/// put ours off with the gem's error, is in `postgres/limits.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_49_what_we_run_counts_for_the_limits_that_ruby_checks() {
    let scene = Scene::new().await;
    let keyed = |class: &str| {
        RubyJob::new(Rails::V7_1, class, json!([])).column("concurrency_key", "shop-7")
    };
    let running = keyed("HeldJob").enqueue(&scene.pool).await;
    scene.arrival().await;
    // A job that Ruby has just started competes in the order of the starts (wire contract 10.3).
    let rubys = keyed("RubysJob").enqueue(&scene.pool).await;
    scene.change("UPDATE good_jobs SET performed_at = now() WHERE id = $1", rubys).await;
    let allowed = async |limit: i64| -> Vec<JobId> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT active_job_id FROM good_jobs
             WHERE concurrency_key = 'shop-7' AND performed_at IS NOT NULL AND finished_at IS NULL
             ORDER BY COALESCE(performed_at, scheduled_at, created_at) ASC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&scene.pool)
        .await
        .unwrap();
        ids.into_iter().map(JobId::from).collect()
    };
    assert_eq!(allowed(1).await, [running], "Ruby's is one too many, and is put back by Ruby");
    assert_eq!(allowed(2).await, [running, rubys]);
    let throttled =
        "SELECT count(*) FROM good_job_executions e JOIN good_jobs j ON j.id = e.active_job_id
                     WHERE j.concurrency_key = 'shop-7' AND e.created_at > now() - interval '1 hour'
                       AND (e.error IS NULL OR e.error <> 'any other')";
    assert_eq!(scene.count(throttled).await, 1, "our attempt counts for a throttle from its start");
    scene.gate.open();
    scene.worker.finished(running).await;
    assert_eq!(allowed(1).await, [rubys], "and makes room when it is over");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_50_either_side_cleans_up_what_the_other_kept_and_ticks_survive_their_end() {
    let scene = Scene::with(|config, _| config.preserve = Preserve::OnUnhandledError).await;
    // By the gem: what we kept, with its attempts.
    let kept = scene.enqueue("UnhandledJob").await;
    let cron = tick("2026-11-24 03:00:00").enqueue(&scene.pool).await;
    for id in [kept, cron] {
        scene.worker.finished(id).await;
    }
    let unkept = scene.enqueue("QuickJob").await;
    scene.until("SELECT count(*) FROM good_jobs WHERE finished_at IS NULL", 0).await;
    let left = async || -> Vec<JobId> {
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM good_jobs ORDER BY created_at")
            .fetch_all(&scene.pool)
            .await
            .unwrap();
        ids.into_iter().map(JobId::from).collect()
    };
    scene.until("SELECT count(*) FROM good_job_executions", 2).await;
    assert!(!left().await.contains(&unkept));
    let mut of_the_gem = scene.pool.begin().await.unwrap();
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT active_job_id FROM good_jobs WHERE finished_at <= now() ORDER BY finished_at LIMIT 1000",
    )
    .fetch_all(&mut *of_the_gem)
    .await
    .unwrap();
    for statement in [
        "DELETE FROM good_job_executions WHERE active_job_id = ANY($1)",
        "DELETE FROM good_jobs WHERE active_job_id = ANY($1)",
    ] {
        let deleted = sqlx::query(statement).bind(&ids).execute(&mut *of_the_gem).await.unwrap();
        assert_eq!(deleted.rows_affected(), 2, "{statement}");
    }
    of_the_gem.commit().await.unwrap();
    assert_eq!(left().await, []);

    // By us: what Ruby kept, a batch with it; what waits and what is young stays.
    let old = "2026-01-01 00:00:00";
    let over = RubyJob::new(Rails::V6_1, "RubysJob", json!([]))
        .column("performed_at", old)
        .column("finished_at", old);
    over.vanished(&scene.pool, Uuid::new_v4()).await;
    let waits = RubyJob::new(Rails::V6_1, "RubysJob", json!([])).enqueue(&scene.pool).await;
    let (batch, _) = batch(&scene, &[]).await;
    sqlx::query("UPDATE good_job_batches SET finished_at = $2::timestamp WHERE id = $1")
        .bind(batch)
        .bind(chrono::NaiveDateTime::parse_from_str(old, "%Y-%m-%d %H:%M:%S").unwrap())
        .execute(&scene.pool)
        .await
        .unwrap();
    let keep = Retention { age: Duration::from_secs(60 * 60), keep_discarded: false };
    let cleaned = scene.worker.store().clean_up(&keep, 1_000).await.unwrap();
    assert_eq!((cleaned.jobs, cleaned.executions, cleaned.batches), (1, 1, 1));
    assert_eq!(left().await, [waits]);
    scene.end().await;
}
