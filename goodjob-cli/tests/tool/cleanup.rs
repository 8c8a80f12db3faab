//! `goodjob cleanup-preserved-jobs`, and a worker that keeps only what it is told to.

use goodjob_testkit::Database;
use serde_json::json;

use crate::command::{Ended, goodjob};
use crate::worker::Worker;

/// Six jobs with an attempt each: successes that ended 1, 3 and 20 days ago, and as many discards.
async fn plant(database: &Database) {
    let pool = database.pool().await;
    for days in [1, 3, 20] {
        sqlx::query(
            "WITH job AS (
               INSERT INTO good_jobs (id, active_job_id, job_class, serialized_params, created_at,
                                      updated_at, finished_at, error)
               SELECT id, id, 'OldJob', '{}', now(), now(), now() - make_interval(days => $1), error
               FROM (SELECT gen_random_uuid() AS id, error
                     FROM (VALUES (NULL), ('A: b')) AS e(error)) AS r
               RETURNING id)
             INSERT INTO good_job_executions (active_job_id, created_at, updated_at)
             SELECT id, now(), now() FROM job",
        )
        .bind(days)
        .execute(&pool)
        .await
        .unwrap();
    }
    sqlx::query(
        "INSERT INTO good_job_batches (created_at, updated_at, finished_at)
         VALUES (now(), now(), now() - interval '20 days')",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
}

async fn jobs(database: &Database) -> i64 {
    let pool = database.pool().await;
    let jobs = sqlx::query_scalar("SELECT count(*) FROM good_jobs").fetch_one(&pool).await.unwrap();
    pool.close().await;
    jobs
}

fn cleanup<const N: usize>(database: &Database, args: [&str; N]) -> Ended {
    goodjob(args).env("DATABASE_URL", &database.url()).run()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_jobs_are_counted_and_then_deleted() {
    let database = Database::fresh().await;
    plant(&database).await;
    let fortnight = cleanup(&database, ["cleanup-preserved-jobs", "--dry-run", "--json"]).with(0);
    let expected = |dry_run: bool| {
        json!({
            "older_than": 1_209_600.0, "include_discarded": true, "dry_run": dry_run,
            "destroyed_jobs_count": 2, "destroyed_executions_count": 2,
            "destroyed_batches_count": 1, "destroyed_records_count": 5,
        })
    };
    assert_eq!(fortnight.json(), expected(true));
    assert_eq!(jobs(&database).await, 6, "nothing is deleted");

    // By the gem's name of the command.
    let deleted = cleanup(&database, ["cleanup_preserved_jobs", "--json"]).with(0);
    assert_eq!(deleted.json(), expected(false));
    assert_eq!(jobs(&database).await, 4);

    let two_days = ["cleanup-preserved-jobs", "--before-seconds-ago", "172800", "--keep-discarded"];
    let text = cleanup(&database, two_days).with(0).out;
    assert_eq!(
        text.trim(),
        "deleted: jobs 1, attempts 1, batches 0 (ended 2days ago or earlier, discarded ones left)"
    );
    let rest = ["cleanup-preserved-jobs", "--before-seconds-ago", "0"];
    let text = cleanup(&database, rest).with(0).out;
    assert_eq!(text.trim(), "deleted: jobs 3, attempts 3, batches 0 (ended 0s ago or earlier)");
    let text = cleanup(&database, rest).with(0).out;
    assert!(text.starts_with("deleted: jobs 0,"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_say_what_is_old_unless_a_flag_does() {
    let database = Database::fresh().await;
    plant(&database).await;
    let toml = "cleanup_preserved_jobs_before_seconds_ago = \"2d\"\ncleanup_discarded_jobs = false";
    let counts = |args: &[&str]| {
        let mut all = ["--json", "cleanup-preserved-jobs", "--dry-run"].to_vec();
        all.extend(args);
        let all: [&str; 5] = all.try_into().unwrap();
        let json =
            goodjob(all).env("DATABASE_URL", &database.url()).toml(toml).run().with(0).json();
        json["destroyed_jobs_count"].as_i64().unwrap()
    };
    assert_eq!(counts(&["--before-seconds-ago", "2d"]), 2);
    assert_eq!(counts(&["--before-seconds-ago", "12h"]), 3);
    assert_eq!(counts(&["--before-seconds-ago=12h", "--include-discarded"]), 6);
    assert_eq!(counts(&["--include-discarded", "--quiet"]), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_ends_as_the_exit_codes_say() {
    let database = Database::empty().await;
    let unmigrated = cleanup(&database, ["cleanup-preserved-jobs"]).with(78);
    assert!(unmigrated.err.contains("goodjob migrate"), "{unmigrated:?}");
    goodjob(["cleanup-preserved-jobs"]).run().with(78);
    let away = ["cleanup-preserved-jobs", "--database-url", "postgres://u@127.0.0.1:1/x"];
    goodjob(away).run().with(69);
    let wrong = goodjob(["cleanup-preserved-jobs", "--before-seconds-ago", "soon"]).run().with(2);
    assert!(wrong.err.contains("--before-seconds-ago: found \"soon\""), "{wrong:?}");
    let both = ["cleanup-preserved-jobs", "--keep-discarded", "--include-discarded"];
    goodjob(both).run().with(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_the_rows_that_its_settings_say() {
    let database = Database::fresh().await;
    let url = database.url();
    let store = |preserve: &str, class: &str| {
        let toml = format!(
            "preserve_job_records = \"{preserve}\"\n[jobs.\"KeptJob\"]\ncommand = [\"true\"]\n\
             preserve = \"always\"\n[jobs.\"PlainJob\"]\ncommand = [\"true\"]\n\
             [jobs.\"FailingJob\"]\ncommand = [\"false\"]\nattempts = 1"
        );
        goodjob(["enqueue", class]).env("DATABASE_URL", &url).run().with(0);
        let path = std::env::var("PATH").unwrap();
        let mut start = goodjob(["start", "--once"]).env("DATABASE_URL", &url).env("PATH", &path);
        start = start.toml(&toml);
        start.run().with(0);
    };
    for (preserve, class, rows) in [
        ("false", "PlainJob", 0),
        ("false", "FailingJob", 0),
        ("on_unhandled_error", "PlainJob", 0),
        ("on_unhandled_error", "FailingJob", 1),
        ("false", "KeptJob", 2),
        ("true", "PlainJob", 3),
    ] {
        store(preserve, class);
        assert_eq!(jobs(&database).await, rows, "{preserve} {class}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_cleans_up_while_it_runs_jobs() {
    let database = Database::fresh().await;
    plant(&database).await;
    let url = database.url();
    let mut worker = Worker::start_with("start", &url, &[("GOOD_JOB_CLEANUP_INTERVAL_JOBS", "-1")]);
    worker.until("is ready");
    goodjob(["enqueue", "SleepJob", "--args", "{\"seconds\": 0}"])
        .env("DATABASE_URL", &url)
        .run()
        .with(0);
    worker.until("deleted old jobs jobs=2 executions=2 batches=1");
    worker.signal(rustix::process::Signal::TERM);
    let (code, lines) = worker.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(jobs(&database).await, 5);
}
