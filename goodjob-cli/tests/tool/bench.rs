//! `goodjob bench`: figures on stdout, and nothing left behind, however it ends.

use std::process::{Command, Stdio};
use std::time::Duration;

use goodjob_testkit::{Database, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::PgPool;

use crate::command::{Ended, goodjob};

/// Somebody else's jobs: one that waits, one that has ended.
async fn plant(pool: &PgPool) {
    sqlx::raw_sql(
        "INSERT INTO good_jobs (active_job_id, job_class, queue_name, serialized_params, created_at, updated_at,
                                scheduled_at, finished_at)
         VALUES (gen_random_uuid(), 'TheirJob', 'default', '{}', now(), now(), now(), NULL),
                (gen_random_uuid(), 'TheirJob', 'default', '{}', now(), now(), now(), now() - interval '1 year')",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Jobs, executions and processes.
async fn rows(pool: &PgPool) -> (i64, i64, i64) {
    let count =
        "SELECT (SELECT count(*) FROM good_jobs), (SELECT count(*) FROM good_job_executions),
                        (SELECT count(*) FROM good_job_processes)";
    sqlx::query_as(count).fetch_one(pool).await.unwrap()
}

fn bench(database: &Database, args: &str) -> Ended {
    let args = ["bench", "--json"].into_iter().chain(args.split(' '));
    goodjob(args).env("DATABASE_URL", &database.url()).run()
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bench_measures_and_leaves_nothing_behind() {
    let database = Database::fresh().await;
    let pool = database.pool().await;
    plant(&pool).await;
    for (args, expected) in [
        (
            "drain --jobs 300 --runs 1 --limit --slots 2,8 --queues 3 --priorities 2",
            &["2 slots, 3 queues, 2 priorities", "8 slots, 3 queues, 2 priorities"][..],
        ),
        (
            "drain --jobs 200 --runs 1 --limit --no-history --processes 2",
            &["10 slots, 2 processes"],
        ),
        (
            "latency --jobs 20 --gap 5ms --runs 2 --limit",
            &["10 slots, p50", "10 slots, p95", "10 slots, p99", "10 slots, longest"],
        ),
        (
            "enqueue --jobs 40 --many 200 --runs 1 --limit",
            &["one by one", "4 at once", "200 in one call"],
        ),
        (
            "sustained --time 300ms --waiting 100 --runs 1 --limit --every-queue",
            &["10 slots, 100 waiting"],
        ),
        (
            "backlog --jobs 100 --rows 500 --runs 1 --backlog-queues 7",
            &[
                "10 slots, nothing else",
                "10 slots, 500 future",
                "10 slots, 500 due in other queues",
                "10 slots, 500 finished",
                "10 slots, 500 of each",
            ],
        ),
    ] {
        let ended = bench(&database, args).with(0);
        let lines = lines(&ended);
        let names: Vec<_> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{args}");
        for line in &lines {
            let figure = line.get("jobs_per_s").or_else(|| line.get("ms")).unwrap();
            assert!(figure.as_f64().unwrap() > 0.0, "{line}");
            if args.contains("--limit") {
                assert!(line["limits"][0]["ratio"].as_f64().unwrap() > 0.0, "{line}");
            }
        }
        assert_eq!(rows(&pool).await, (2, 0, 0), "{args}: only their jobs are there");
    }
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bench_that_is_interrupted_removes_what_it_made() {
    let database = Database::fresh().await;
    let pool = database.pool().await;
    plant(&pool).await;
    let child = Command::new(env!("CARGO_BIN_EXE_goodjob"))
        .args(["bench", "sustained", "--time", "60s", "--waiting", "50"])
        .env_clear()
        .env("DATABASE_URL", database.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("jobs of the bench", Duration::from_secs(30), async || {
        let seen = rows(&pool).await;
        if seen.1 > 100 { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap()).with(130);
    assert!(ended.err.contains("SIGINT ended the measurement"), "{ended:?}");
    assert_eq!(ended.out, "");
    assert_eq!(rows(&pool).await, (2, 0, 0), "only their jobs are there");
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bench_does_not_change_the_indexes_of_a_database_that_is_set() {
    let database = Database::fresh().await;
    let ended = bench(&database, "drain --gem-indexes").with(2);
    assert!(ended.err.contains("--gem-indexes: a database that is set"), "{ended:?}");
}
