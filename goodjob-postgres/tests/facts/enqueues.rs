//! Facts 1 to 6 and 8: what we enqueue, and how others hear of it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{Arguments, Due, Job, JobId, NewJob, Options, Shutdown, Timestamp, ruby};
use goodjob_postgres::{EnqueueIn, enqueue_in};
use goodjob_testkit::gem::{GemNotice, GemOptions};
use goodjob_testkit::{GemWorker, eventually};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;

use crate::ruby::{Rails, RubyJob};
use crate::scene::{PATIENCE, STRATEGIES, Scene};

/// Only Ruby knows this class.
const RUBYS: &str = "Billing::ReportJob";

/// A process of the gem that nothing but notices wakes.
async fn unpolled(scene: &Scene, strategy: goodjob_testkit::gem::GemStrategy) -> GemWorker {
    let options = GemOptions { poll_interval: None, ..GemOptions::locking_by(strategy) };
    scene.gem_with(options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_01_a_row_of_ours_has_the_columns_of_an_enqueue_and_is_run_under_each_strategy() {
    for strategy in STRATEGIES {
        let scene = Scene::new().await;
        let id = scene.enqueue(RUBYS).await;
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT key FROM good_jobs j, jsonb_each(to_jsonb(j)) WHERE value <> 'null' ORDER BY key",
        )
        .fetch_all(&scene.pool)
        .await
        .unwrap();
        let expected = [
            "active_job_id",
            "created_at",
            "id",
            "job_class",
            "priority",
            "queue_name",
            "scheduled_at",
            "serialized_params",
            "updated_at",
        ];
        assert_eq!(columns, expected);
        let ruby = scene.gem(strategy).await;
        assert_eq!(scene.worker.finished(id).await.error, None, "{strategy:?}");
        assert_eq!(scene.worker.attempts(id).await[0].process, Some(ruby.process()));
        ruby.stop().await;
        scene.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_02_we_never_write_a_job_without_a_due_time_which_nobody_would_run() {
    let scene = Scene::new().await;
    let dues = [
        Due::Now,
        Due::In(Duration::ZERO),
        Due::In(Duration::from_secs(365 * 24 * 60 * 60)),
        Due::At(Timestamp::UNIX_EPOCH),
        Due::At(Timestamp::UNIX_EPOCH + TimeDelta::days(100_000)),
    ];
    let jobs = dues.map(|due| {
        let mut job = NewJob::of_class(RUBYS, Arguments::default(), Options::new()).unwrap();
        job.due = due;
        job
    });
    scene.worker.adapter().enqueue_all(jobs).await.unwrap();
    let retried = scene.enqueue("RetryJob").await;
    scene.attempted(retried).await;
    assert_eq!(scene.count("SELECT count(*) FROM good_jobs WHERE scheduled_at IS NULL").await, 0);

    // What a person wrote without one is passed over by both.
    let mut parked = Vec::new();
    for class in [RUBYS, "QuickJob"] {
        let job = RubyJob::new(Rails::V7_1, class, json!([])).column("scheduled_at", Value::Null);
        parked.push(job.enqueue(&scene.pool).await);
    }
    let ruby = scene.gem(STRATEGIES[0]).await;
    let other = scene.enqueue(RUBYS).await;
    scene.worker.finished(other).await;
    scene.searched().await;
    for id in parked {
        assert_eq!(scene.job(id).await.performed_at, None);
    }
    ruby.stop().await;
    scene.end().await;
}

#[derive(Serialize, Deserialize)]
struct Report(i64, ruby::Keywords<Format>);

#[derive(Serialize, Deserialize)]
struct Format {
    format: ruby::Symbol,
    dry_run: bool,
}

impl Job for Report {
    const CLASS: &'static str = RUBYS;
}

/// That Ruby passes the marked hash on as keywords was observed (wire contract 2.3); here is the mark.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_03_keywords_are_marked_as_ruby_marks_them() {
    let scene = Scene::new().await;
    let report = Report(7, ruby::Keywords(Format { format: "pdf".into(), dry_run: true }));
    let id = scene.worker.enqueue(report).await;
    let arguments = &scene.column(id, "serialized_params").await["arguments"];
    let symbol =
        json!({"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": "pdf"});
    let mut last = arguments[1].clone();
    let mut marked: Vec<Value> = last["_aj_ruby2_keywords"].as_array().unwrap().clone();
    marked.sort_by_key(Value::to_string);
    assert_eq!(marked, [json!("dry_run"), json!("format")]);
    last.as_object_mut().unwrap().remove("_aj_ruby2_keywords");
    assert_eq!((&arguments[0], last), (&json!(7), json!({"format": symbol, "dry_run": true})));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_04_a_notice_of_ours_wakes_an_idle_process_of_the_gem() {
    for strategy in STRATEGIES {
        let scene = Scene::new().await;
        let ruby = unpolled(&scene, strategy).await;
        for _ in 0..3 {
            let id = scene.enqueue(RUBYS).await;
            scene.worker.finished(id).await;
        }
        assert_eq!(ruby.errors(), [""; 0]);
        ruby.stop().await;
        scene.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_05_a_transaction_that_is_rolled_back_leaves_no_row_and_wakes_nobody() {
    let scene = Scene::new().await;
    let mut listener = PgListener::connect(&scene.database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();
    let enqueue = || {
        let job = NewJob::of_class(RUBYS, Arguments::default(), Options::new().queue("gone"));
        [job.unwrap()]
    };
    let mut tx = scene.pool.begin().await.unwrap();
    enqueue_in(&mut *tx, &enqueue()).await.unwrap();
    tx.rollback().await.unwrap();
    let kept = scene.enqueue_with(RUBYS, Options::new().queue("kept")).await;
    // Notices come in the order of their commits, so that the first would be the one of the other.
    let notice = GemNotice::parse(listener.recv().await.unwrap().payload()).unwrap();
    assert_eq!(notice.queue_name.as_deref(), Some("kept"));
    assert_eq!(scene.count("SELECT count(*) FROM good_jobs").await, 1);
    assert_eq!(scene.job(kept).await.queue.as_deref(), Some("kept"));
    drop(listener);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_06_many_jobs_are_one_notice_for_each_queue_and_time() {
    let scene = Scene::new().await;
    let mut listener = PgListener::connect(&scene.database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();
    // A timer of the gem must not fire before it, by however little.
    let later: Timestamp = "2030-01-01T00:00:00.500001Z".parse().unwrap();
    let told: Timestamp = "2030-01-01T00:00:00.501Z".parse().unwrap();
    let mut jobs = Vec::new();
    for (queue, due, times) in [("a", Due::Now, 3), ("a", Due::At(later), 2), ("b", Due::Now, 1)] {
        for _ in 0..times {
            let options = Options::new().queue(queue);
            let mut job = NewJob::of_class(RUBYS, Arguments::default(), options).unwrap();
            job.due = due;
            jobs.push(job);
        }
    }
    scene.worker.adapter().enqueue_all(jobs).await.unwrap();
    let mut heard = BTreeMap::new();
    for _ in 0..3 {
        let notice = GemNotice::parse(listener.recv().await.unwrap().payload()).unwrap();
        let future = notice.scheduled_at.unwrap() == told;
        heard.insert((notice.queue_name.unwrap(), future), notice.count);
    }
    let expected = [(("a".into(), false), 3), (("a".into(), true), 2), (("b".into(), false), 1)];
    assert_eq!(heard, BTreeMap::from(expected));
    drop(listener);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_08_the_listener_of_the_gem_understands_every_notice_of_ours() {
    let scene = Scene::new().await;
    let mut listener = PgListener::connect(&scene.database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();
    let ruby = scene.gem(STRATEGIES[0]).await;
    let adapter = scene.worker.adapter();
    let long = "q".repeat(999);
    // Of a queue with a longer name nothing is said, which the next one shows.
    let queues =
        ["a", "\"};ä🐘\\ \n'", long.as_str(), &"q".repeat(1_000), &"🐘".repeat(2_000), "end"];
    let mut sent: Vec<JobId> = Vec::new();
    for queue in queues {
        sent.push(scene.enqueue_with(RUBYS, Options::new().queue(queue)).await);
    }
    let bulk = (0..50).map(|n| {
        let options = Options::new().queue(queues[n % queues.len()]);
        NewJob::of_class(RUBYS, Arguments::default(), options).unwrap()
    });
    adapter.enqueue_all(bulk).await.unwrap();
    adapter
        .enqueue(Report(1, ruby::Keywords(Format { format: "a".into(), dry_run: false })))
        .wait(Duration::from_millis(300))
        .enqueue_in(&scene.pool)
        .await
        .unwrap();
    // A retry, a job that is put back, one of a process that is gone, and what a person does.
    let retried = scene.enqueue("RetryJob").await;
    scene.attempted(retried).await;
    let discarded = scene.enqueue("UnhandledJob").await;
    scene.worker.finished(discarded).await;
    scene.worker.store().retry(discarded).await.unwrap();
    let held = scene.enqueue_with("HeldJob", Options::new().queue("rust")).await;
    scene.arrival().await;
    scene.worker.capsule().shutdown(Shutdown::Now).await;
    scene.gate.open();
    eventually("the job that was put back is run by Ruby", PATIENCE, async || {
        scene.job(held).await.finished_at
    })
    .await;
    scene.enqueue_with(RUBYS, Options::new().queue("the last one")).await;
    let mut payloads = 0;
    loop {
        let heard = listener.recv().await.unwrap();
        let notice = GemNotice::parse(heard.payload()).unwrap();
        assert!(heard.payload().len() < 8_000);
        assert!(heard.payload().starts_with('{'), "{}", heard.payload());
        payloads += 1;
        if notice.queue_name.as_deref() == Some("the last one") {
            break;
        }
    }
    assert!(payloads > 10, "{payloads}");
    assert_eq!(ruby.errors(), [""; 0]);
    drop(listener);
    ruby.stop().await;
    scene.end().await;
}
