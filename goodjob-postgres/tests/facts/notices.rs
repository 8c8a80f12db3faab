//! Facts 7, 9 and 10: times in notices, the gem's payloads, and keys of locks.

use std::time::Duration;

use chrono::{FixedOffset, TimeDelta, Utc};
use goodjob_core::{Arguments, Due, JobId, NewJob, Options};
use goodjob_postgres::advisory_key;
use goodjob_postgres::jobs::{Acted, Action};
use goodjob_testkit::eventually;
use goodjob_testkit::gem::{GemNotice, GemOptions};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;

use crate::ruby::{Rails, RubyJob};
use crate::scene::{PATIENCE, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_07_a_notice_of_ours_about_the_future_is_a_timer_of_the_gem() {
    let scene = Scene::new().await;
    let options = GemOptions { poll_interval: None, ..GemOptions::default() };
    let ruby = scene.gem_with(options).await;
    let mut job =
        NewJob::of_class("Billing::ReportJob", Arguments::default(), Options::new()).unwrap();
    job.due = Due::In(Duration::from_millis(700));
    let id = scene.worker.adapter().enqueue_all([job]).await.unwrap()[0].id();
    let job = scene.worker.finished(id).await;
    assert!(job.performed_at >= job.scheduled_at, "{job:?}");
    ruby.stop().await;

    // A retry, and a job that a person has put off.
    let mut listener = PgListener::connect(&scene.database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();
    let id = scene.enqueue_with("RetryJob", Options::new().queue("later")).await;
    scene.attempted(id).await;
    told(&scene, &mut listener, id).await;
    let hour = Action::Reschedule(Due::In(Duration::from_secs(60 * 60)));
    eventually("the job can be put off", PATIENCE, async || {
        let acted = scene.worker.store().act(&[id], &hour).await.unwrap();
        (acted == [(id, Acted::Done)]).then_some(())
    })
    .await;
    told(&scene, &mut listener, id).await;
    drop(listener);
    scene.end().await;
}

/// Waits for a notice about the future, which is the time of this job, and not less than that.
async fn told(scene: &Scene, listener: &mut PgListener, id: JobId) {
    loop {
        let notice = GemNotice::parse(listener.recv().await.unwrap().payload()).unwrap();
        let (told, due) = (notice.scheduled_at.unwrap(), scene.job(id).await.scheduled_at.unwrap());
        if notice.queue_name.as_deref() == Some("later") && told > Utc::now() {
            assert!(told >= due && told - due < TimeDelta::milliseconds(1), "{told}, due {due}");
            return;
        }
    }
}

/// Stores a job of Ruby's that is due then and tells nobody.
async fn quietly(scene: &Scene, wait: TimeDelta) -> (JobId, chrono::DateTime<Utc>) {
    let at = Utc::now() + wait;
    let column = at.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let job = RubyJob::new(Rails::V7_1, "QuickJob", json!([])).column("scheduled_at", column);
    (job.quietly(&scene.pool).await, at)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_09_the_gems_notices_are_heeded_in_every_form() {
    // Nothing else would find these jobs.
    let scene = Scene::with(|config, _| config.poll_interval = None).await;
    scene.searched().await;
    let notify = async |payload: Value| {
        sqlx::query("SELECT pg_notify('good_job', $1)")
            .bind(payload.to_string())
            .execute(&scene.pool)
            .await
            .unwrap();
    };
    for payload in [
        json!({"queue_name": "default", "scheduled_at": "2026-11-23T18:17:17.591Z"}),
        json!({"queue_name": "default", "scheduled_at": "2026-11-23T18:17:17.591Z", "count": 7}),
        json!({"queue_name": "default"}),
        json!({"scheduled_at": "2026-11-23T20:17:17.591+02:00", "fanout": true, "new": []}),
        json!({"scheduled_at": 1_795_457_837.591}),
        json!({}),
    ] {
        let (id, _) = quietly(&scene, TimeDelta::zero()).await;
        notify(payload).await;
        scene.worker.finished(id).await;
    }
    for hours in [-7, 0, 2] {
        let (id, at) = quietly(&scene, TimeDelta::milliseconds(600)).await;
        let zone = FixedOffset::east_opt(hours * 3_600).unwrap();
        let text = at.with_timezone(&zone).format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string();
        notify(json!({"queue_name": "default", "scheduled_at": text})).await;
        let job = scene.worker.finished(id).await;
        assert!(job.performed_at >= job.scheduled_at, "{text}: {job:?}");
    }
    // What is no notice is passed over, and the next one is heard.
    for junk in [json!([1]), json!(7), json!({"count": "x"}), json!({"scheduled_at": "soon"})] {
        notify(junk).await;
    }
    let (id, _) = quietly(&scene, TimeDelta::zero()).await;
    notify(json!({"queue_name": "default"})).await;
    scene.worker.finished(id).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_10_keys_of_locks_are_those_of_the_gem_here_and_in_sql() {
    let scene = Scene::new().await;
    for (name, key, classid, objid) in [
        (
            "good_jobs-11111111-2222-4333-8444-555555555555",
            -7_887_181_863_223_987_388,
            2_458_589_666_i64,
            732_001_092,
        ),
        (
            "good_jobs-00000000-0000-0000-0000-000000000000",
            -4_382_913_656_327_369_084,
            3_274_490_688,
            1_365_642_884,
        ),
        (
            "good_job_processes-11111111-2222-4333-8444-555555555555",
            -6_828_645_363_532_250_381,
            2_705_049_400,
            3_112_878_835,
        ),
        (
            "good_job_batches-11111111-2222-4333-8444-555555555555",
            5_788_827_652_182_034_887,
            1_347_816_468,
            1_111_804_359,
        ),
        ("conc-k", 5_712_120_192_860_237_563, 1_329_956_621, 566_570_747),
        ("label:u1", -3_705_238_772_093_220_538, 3_432_274_167, 3_445_688_646),
        ("MyJob", 6_691_429_731_455_185_099, 1_557_969_891, 1_457_500_363_i64),
    ] {
        assert_eq!(advisory_key(name), key, "{name}");
        let mut tx = scene.pool.begin().await.unwrap();
        let (by_sql, halves): (i64, String) = sqlx::query_as(
            "SELECT k.key, (SELECT classid || ' ' || objid FROM pg_locks
                            WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 1)
             FROM (SELECT key, pg_advisory_xact_lock(key)
                   FROM (VALUES (('x' || substr(md5($1), 1, 16))::bit(64)::bigint)) AS v(key) OFFSET 0) AS k",
        )
        .bind(name)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        assert_eq!((by_sql, halves), (key, format!("{classid} {objid}")), "{name}");
        tx.rollback().await.unwrap();
    }
    scene.end().await;
}
