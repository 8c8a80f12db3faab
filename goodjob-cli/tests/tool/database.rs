//! With a real Postgres: from `enqueue` to a finished row, and every way for a worker to end.

use goodjob_core::{Inspect, JobId, JobState, Timestamp};
use goodjob_testkit::Database;
use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Ended, goodjob};
use crate::worker::Worker;

fn enqueue<const N: usize>(database: &Database, args: [&str; N]) -> JobId {
    let url = database.url();
    let mut command = goodjob(args).env("DATABASE_URL", &url);
    command.run().with(0).json()["id"].as_str().unwrap().parse().unwrap()
}

fn sleep(database: &Database, seconds: &str) -> JobId {
    let args = format!("{{\"seconds\": {seconds}}}");
    enqueue(database, ["--json", "enqueue", "SleepJob", "--args", &args])
}

async fn state(database: &Database, id: JobId) -> JobState {
    let store = database.store().await;
    let job = store.job(id).await.unwrap().unwrap();
    store.close().await;
    job.state(Timestamp::MAX_UTC)
}

fn run(database: &Database, args: &str) -> Ended {
    let (code, lines) = Worker::start(args, &database.url()).end();
    Ended { code, out: String::new(), err: lines.join("\n") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_from_the_shell_to_the_worker_and_is_seen_on_the_way() {
    let database = Database::empty().await;
    let url = database.url();
    let call = |args: [&str; 2]| goodjob(args).env("DATABASE_URL", &url).run();

    let missing = call(["status", "--json"]).with(78);
    assert!(missing.err.contains("goodjob migrate"), "{missing:?}");
    call(["doctor", "--json"]).with(3);
    assert!(call(["migrate", "--dry-run"]).with(0).out.contains("would apply 0001_tables"));
    assert!(call(["migrate", "--quiet"]).with(0).out.contains("applied 0001_tables"));
    assert!(call(["migrate", "--quiet"]).with(0).out.contains("nothing to do"));
    let doctor = call(["doctor", "--quiet"]).with(0);
    assert!(doctor.out.contains("tables"), "{doctor:?}");

    let id = sleep(&database, "0");
    let status = call(["status", "--json"]).with(0).json();
    assert_eq!(status["queues"][0]["queue"], "default");
    assert_eq!(status["queues"][0]["queued"], 1);
    let unwatched = call(["status", "--check"]).with(3);
    assert!(unwatched.err.contains("no worker is alive"), "{unwatched:?}");
    assert!(unwatched.out.contains("no goodjob worker is running"), "{unwatched:?}");

    let ended = run(&database, "start --once").with(0);
    for line in
        ["is ready", "pool * has slots: 5", "nothing is due any more", "all jobs have ended"]
    {
        assert!(ended.err.contains(line), "{line:?} in {ended:?}");
    }
    assert_eq!(state(&database, id).await, JobState::Succeeded);
    assert_eq!(call(["status", "--json"]).with(0).json()["succeeded"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_at_enqueue_is_what_is_stored() {
    let database = Database::fresh().await;
    let id = "0193f1c0-0000-7000-8000-000000000001";
    for _ in 0..2 {
        enqueue(
            &database,
            [
                "enqueue",
                "ReportJob",
                "--json",
                "--id",
                id,
                "--args",
                "[2024, \"q1\"]",
                "--queue",
                "reports",
                "--priority",
                "-5",
                "--label",
                "nightly",
                "--label",
                "big",
                "--wait",
                "5m",
            ],
        );
    }
    let store = database.store().await;
    let job = store.job(id.parse().unwrap()).await.unwrap().unwrap();
    store.close().await;
    assert_eq!(
        (job.class.as_str(), job.queue.as_deref(), job.priority),
        ("ReportJob", Some("reports"), Some(-5))
    );
    assert_eq!(job.labels, ["nightly", "big"]);
    assert_eq!(
        job.payload.arguments().unwrap().as_stored(),
        [Value::from(2024), Value::from("q1")]
    );
    let wait = job.scheduled_at.unwrap() - job.created_at;
    assert_eq!(wait.num_seconds(), 300);

    let at = ["enqueue", "A", "--json", "--wait-until", "2030-01-31T09:00:00Z"];
    let id = enqueue(&database, at);
    let store = database.store().await;
    let due = store.job(id).await.unwrap().unwrap().scheduled_at.unwrap();
    store.close().await;
    assert_eq!(due.to_rfc3339(), "2030-01-31T09:00:00+00:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_waits_for_running_jobs() {
    let database = Database::fresh().await;
    let mut worker = Worker::start("start", &database.url());
    worker.until("is ready");
    let url = database.url();
    let id = sleep(&database, "1.5");
    worker.until("sleeping");
    goodjob(["status", "--check"]).env("DATABASE_URL", &url).run().with(0);
    worker.signal(Signal::TERM);
    let (code, lines) = worker.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(state(&database, id).await, JobState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_timeout_cuts_jobs_off_and_says_so_by_its_code() {
    for timeout in ["0", "0.2"] {
        let database = Database::fresh().await;
        let id = sleep(&database, "60");
        let mut worker =
            Worker::start(&format!("start --shutdown-timeout {timeout}"), &database.url());
        worker.until("sleeping");
        worker.signal(Signal::TERM);
        let (code, lines) = worker.end();
        assert_eq!(code, Some(4), "{lines:#?}");
        assert_eq!(state(&database, id).await, JobState::Queued, "it is put back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_does_not_wait() {
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let database = Database::fresh().await;
        let id = sleep(&database, "60");
        let mut worker = Worker::start("start --shutdown-timeout -1", &database.url());
        worker.until("sleeping");
        worker.signal(signal);
        worker.until("taking no new jobs");
        worker.signal(signal);
        let (code, lines) = worker.end();
        assert_eq!(code, Some(expected), "{lines:#?}");
        assert_eq!(state(&database, id).await, JobState::Queued, "it is put back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_ends_when_it_is_told_to() {
    let database = Database::fresh().await;
    let ended = run(&database, "start --idle-timeout 300ms --log-format json").with(0);
    let ready = ended.err.lines().find(|line| line.contains("is ready")).unwrap();
    let ready: Value = serde_json::from_str(ready).unwrap();
    assert_eq!((&ready["level"], &ready["classes"]), (&Value::from("INFO"), &Value::from(2)));
    assert!(ended.err.contains("idle: taking no new jobs"), "{ended:?}");
}

/// Under a prefix and in a schema that does not exist yet, every command finds the tables.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_tables_with_other_names() {
    let database = Database::empty().await;
    let url = database.url();
    let call = |args: &[&str]| {
        goodjob(args.iter().copied())
            .env("DATABASE_URL", &url)
            .env("GOOD_JOB_SCHEMA", "jobs")
            .env("GOOD_JOB_TABLE_PREFIX", "acme_")
            .run()
    };
    let pending = call(&["migrate", "--check"]).with(3);
    assert!(pending.err.contains("migrations are pending"), "{pending:?}");
    let announced = call(&["migrate", "--dry-run", "--json"]).with(0);
    for added in [
        "schema jobs",
        "acme_goodjob_migrations",
        "acme_good_jobs",
        "index_acme_goodjob_lanes",
        "index_acme_goodjob_keys_running",
        "index_acme_goodjob_keys_waiting",
        "index_acme_goodjob_keys",
    ] {
        assert!(announced.out.contains(added), "{added}: {announced:?}");
    }
    assert!(call(&["migrate", "--sql"]).with(0).out.contains("\"jobs\".acme_good_jobs"));
    call(&["migrate", "--quiet"]).with(0);
    assert!(call(&["migrate", "--check", "--quiet"]).with(0).out.contains("nothing to do"));
    call(&["doctor", "--quiet"]).with(0);

    let id = call(&["--json", "enqueue", "SleepJob", "--args", "{\"seconds\": 0}"]).with(0).json();
    let id = id["id"].as_str().unwrap().to_owned();
    assert_eq!(call(&["status", "--json"]).with(0).json()["queues"][0]["queued"], 1);
    run(&database, "start --once --schema jobs --table-prefix acme_").with(0);
    let shown = call(&["jobs", "show", &id, "--json"]).with(0);
    assert!(shown.out.contains("succeeded"), "{shown:?}");
    call(&["cleanup-preserved-jobs", "--before-seconds-ago", "0", "--quiet"]).with(0);
    call(&["jobs", "show", &id]).with(1);

    let wrong =
        goodjob(["status", "--table-prefix", "No!"]).env("DATABASE_URL", &url).run().with(2);
    assert!(wrong.err.contains("table prefix: found \"No!\", expected"), "{wrong:?}");
    let elsewhere = goodjob(["status"]).env("DATABASE_URL", &url).run().with(78);
    assert!(elsewhere.err.contains("tables are missing"), "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_unmigrated_tables_says_what_to_run() {
    let database = Database::empty().await;
    let ended = run(&database, "start").with(78);
    assert!(ended.err.contains("goodjob migrate"), "{ended:?}");
}

#[test]
fn a_handler_is_tried_without_a_database() {
    let run = |args: &str| {
        let (code, lines) = Worker::start(args, "").end();
        (code, lines.join("\n"))
    };
    assert_eq!(run("exec --class SleepJob --args {\"seconds\":0}").0, Some(0));
    let (code, err) = run("exec --class FailJob --args [\"broken\"]");
    assert!(code == Some(1) && err.contains("broken"), "{code:?} {err}");
    assert!(err.contains("did not succeed"), "{err}");
    let (code, err) = run("exec --class FailJob --args [\"panic\"]");
    assert!(code == Some(1) && err.contains("panicked"), "{code:?} {err}");
    let (code, err) = run("exec --class SleepJob --args [1]");
    assert!(code == Some(1) && err.contains("ArgumentsError"), "{code:?} {err}");
}
