//! What a supervisor asks and is told: probes, metrics, systemd's socket, a pidfile.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use goodjob_testkit::{Database, eventually};
use rustix::process::Signal;

use crate::command::goodjob;
use crate::worker::{Sleep, Worker};

/// Code and body.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn until(port: u16, path: &str, code: u16, text: &str) {
    eventually(&format!("{code} {text}"), Duration::from_secs(20), async || {
        match get(port, path) {
            Some(found) if found == (code, text.to_owned()) => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_tell_what_the_gems_tell_and_metrics_what_was_done() {
    let database = Database::fresh().await;
    let (url, port) = (database.url(), free_port());
    let args = format!("start --queues a:2;b:1 --probe-port {port} --shutdown-timeout 0");
    let mut worker = Worker::start(&args, &url);
    worker.until("is ready");
    until(port, "/", 200, "OK").await;
    until(port, "/status", 200, "OK").await;
    until(port, "/status/started", 200, "Started").await;
    until(port, "/status/connected", 200, "Connected").await;
    until(port, "/nothing", 404, "Not found").await;

    let store = database.store().await;
    let adapter = store.adapter();
    for seconds in [0.0, 0.0, 600.0] {
        adapter.enqueue(Sleep { seconds }).queue("a").await.unwrap();
    }
    // Nobody takes that queue.
    adapter.enqueue(Sleep { seconds: 0.0 }).queue("c").await.unwrap();
    let expected = [
        "goodjob_jobs_ended_total{class=\"SleepJob\",outcome=\"succeeded\"} 2",
        "goodjob_job_duration_seconds_count{class=\"SleepJob\"} 2",
        "goodjob_queue_latency_seconds_count{queue=\"a\"} 3",
        "goodjob_queue_latency_seconds_bucket{queue=\"a\",le=\"3600\"} 3",
        "goodjob_jobs_running{pool=\"a\"} 1",
        "goodjob_slots{pool=\"a\"} 2",
        "goodjob_slots{pool=\"b\"} 1",
        "goodjob_claims_total 3",
        "goodjob_queue_due{queue=\"c\"} 1",
        "goodjob_queue_running{queue=\"a\"} 1",
        "goodjob_queue_oldest_due_seconds{queue=\"c\"}",
        "goodjob_locks_confirmed 1",
        "goodjob_listening 1",
        "goodjob_connections_max 4",
        "goodjob_tables_readable 1",
        "# TYPE goodjob_notices_total counter",
        "# HELP goodjob_queue_latency_seconds From due to started, by queue",
    ];
    eventually("the metrics", Duration::from_secs(20), async || {
        let (code, body) = get(port, "/metrics").ok_or("no answer")?;
        let missing: Vec<_> = expected.iter().filter(|line| !body.contains(**line)).collect();
        match (code, missing.is_empty()) {
            (200, true) => Ok(()),
            _ => Err(format!("{code}, without {missing:?}: {body}")),
        }
    })
    .await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0, Some(4));
    assert_eq!(get(port, "/status"), None);
    store.close().await;
}

/// Bound before anything else, so that a port that is taken is an error at once, and not a probe that
/// silently asks somebody else.
#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let url = "postgres://ada@127.0.0.1:1/app";
    let ended = goodjob(["start", "--probe-port", &port]).env("DATABASE_URL", url).run().with(78);
    let place = format!("probes cannot be answered at 127.0.0.1:{port}");
    assert!(ended.err.contains(&place), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_is_not_connected_and_still_started() {
    let database = Database::fresh().await;
    let (url, port) = (database.url(), free_port());
    let mut worker = Worker::start(&format!("start --probe-port {port}"), &url);
    worker.until("is ready");
    until(port, "/status/connected", 200, "Connected").await;
    let here: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let name = here.get_database().unwrap().to_owned();
    // From another database: of its own none can shut the door.
    let beside = sqlx::PgPool::connect_with(here.database("postgres")).await.unwrap();
    let admit = |yes: bool| format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS {yes}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(admit(false))).execute(&beside).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
        .bind(&name)
        .execute(&beside)
        .await
        .unwrap();
    until(port, "/status/connected", 503, "Not connected").await;
    until(port, "/status/started", 200, "Started").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(admit(true))).execute(&beside).await.unwrap();
    until(port, "/status/connected", 200, "Connected").await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0, Some(0));
    beside.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_is_told_of_the_start_the_end_and_that_the_loops_live() {
    let database = Database::fresh().await;
    let directory = tempfile::tempdir().unwrap();
    let (socket, pidfile) = (directory.path().join("notify"), directory.path().join("goodjob.pid"));
    let heard = UnixDatagram::bind(&socket).unwrap();
    heard.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let next = || {
        let mut buffer = [0; 256];
        let read = heard.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).trim().to_owned()
    };
    let variables = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("WATCHDOG_USEC", "1000000"),
        ("GOOD_JOB_PIDFILE", pidfile.to_str().unwrap()),
    ];
    let mut worker = Worker::start_with("start", &database.url(), &variables);
    worker.until("is ready");
    assert_eq!(next(), "READY=1");
    let begun = std::time::Instant::now();
    let mut pings = 0;
    while pings < 5 {
        assert_eq!(next(), "WATCHDOG=1");
        pings += 1;
    }
    // The first is at once, each other one half an interval later.
    assert!(begun.elapsed() >= Duration::from_millis(1_700), "{:?}", begun.elapsed());
    let pid = std::fs::read_to_string(&pidfile).unwrap();
    let arguments = ["start", "--pidfile", pidfile.to_str().unwrap()];
    let second = goodjob(arguments).env("DATABASE_URL", &database.url()).run().with(78);
    assert!(second.err.contains(&format!("process {} is alive", pid.trim())), "{second:?}");

    // A job that takes a while: the watchdog is told all through the stop.
    let store = database.store().await;
    store.adapter().enqueue(Sleep { seconds: 5.0 }).await.unwrap();
    worker.until("sleeping");
    worker.signal(Signal::TERM);
    worker.until("taking no new jobs");
    let mut told = Vec::new();
    while !told.iter().any(|told| told == "STOPPING=1") {
        told.push(next());
    }
    // The second one comes in the midst of the wait for the job.
    assert_eq!((next(), next()), ("WATCHDOG=1".to_owned(), "WATCHDOG=1".to_owned()));
    assert_eq!(worker.end().0, Some(0));
    assert!(!pidfile.exists());
    store.close().await;
}
