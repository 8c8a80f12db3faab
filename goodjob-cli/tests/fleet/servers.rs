//! Several web servers on one port, each with its own pools.

use std::collections::HashSet;
use std::time::Duration;

use goodjob_core::JobId;
use goodjob_testkit::{Database, Runs, eventually};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::worker::Worker;

const SERVERS: usize = 4;
const REQUESTS: i64 = 100;
const JOBS_EACH: i64 = 10;

async fn enqueue(port: u16) {
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request =
        format!("POST /naps/{JOBS_EACH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 201"), "{response}");
}

/// The parent, this test, makes its store before it starts them, and has no part in their work. Each makes its
/// configuration and client before its runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_on_one_port_share_a_thousand_jobs_and_each_job_runs_once() {
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut servers: Vec<Worker> = (0..SERVERS)
        .map(|_| Worker::serve(port, "start --max-threads 3", &database.url()))
        .collect();
    for server in &servers {
        server.until("is ready").await;
    }
    let processes: Vec<(String, i64)> =
        sqlx::query_as("SELECT id::text, (state->>'pid')::bigint FROM good_job_processes")
            .fetch_all(store.pool())
            .await
            .unwrap();
    let ids: HashSet<&String> = processes.iter().map(|(id, _)| id).collect();
    let pids: HashSet<i64> = processes.iter().map(|(_, pid)| *pid).collect();
    assert_eq!((ids.len(), pids.len()), (SERVERS, SERVERS), "{processes:?}");
    let parent = i64::from(std::process::id());
    assert!(!pids.contains(&parent), "the parent runs no job");
    assert_eq!(pids, servers.iter().map(|server| i64::from(server.pid())).collect());

    for _ in 0..REQUESTS {
        enqueue(port).await;
    }
    eventually("the end of all jobs", Duration::from_secs(60), async || {
        let done: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM good_jobs WHERE finished_at IS NOT NULL AND error IS NULL",
        )
        .fetch_one(store.pool())
        .await
        .unwrap();
        if done == REQUESTS * JOBS_EACH { Ok(()) } else { Err(format!("{done} done")) }
    })
    .await;
    let (jobs, ran, by): (i64, i64, i64) =
        sqlx::query_as("SELECT count(DISTINCT job), count(*), count(DISTINCT pid) FROM runs")
            .fetch_one(runs.pool())
            .await
            .unwrap();
    println!("{ran} runs of {jobs} jobs by {by} servers");
    assert_eq!((jobs, ran), (REQUESTS * JOBS_EACH, REQUESTS * JOBS_EACH));
    assert!(by > 1, "one server did it all");
    assert_eq!(runs.overlaps().await, Vec::<(JobId, i32, i32)>::new());
    for server in &mut servers {
        server.signal(Signal::TERM);
    }
    for server in &mut servers {
        let (code, log) = server.end().await;
        assert_eq!(code, Some(0), "{log}");
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
    runs.close().await;
    store.close().await;
}
