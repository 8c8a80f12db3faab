//! Throwaway clusters from outside: who shares one, who stops it, what survives a restart.
//!
//! Tests about the end of a shared cluster run this very binary as other processes, in a temporary
//! directory of their own, so that they neither disturb nor await the cluster of other tests.

#![expect(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use goodjob_testkit::cluster::{Binaries, Cluster, ClusterError, Environment, Settings};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

const ROLE: &str = "GOODJOB_CLUSTER_TEST_ROLE";
const ANNOUNCEMENT: &str = "cluster is at ";
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_shared_cluster_answers_queries_over_its_socket() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url("postgres");
    let answer = ask(&url, "SELECT current_user || ' ' || current_database()").await;
    assert_eq!(answer, "goodjob postgres");
    assert_eq!(ask(&url, "SHOW max_connections").await, "200");
    assert_eq!(ask(&url, "SHOW is_superuser").await, "on");
}

#[tokio::test]
async fn a_database_may_have_any_name() {
    let cluster = Cluster::private(Settings::new()).unwrap();
    ask(&cluster.url("postgres"), r#"CREATE DATABASE "jobs/ä ?&%41""#).await;
    let answer = ask(&cluster.url("jobs/ä ?&%41"), "SELECT current_database()::text").await;
    assert_eq!(answer, "jobs/ä ?&%41");
}

#[test]
fn threads_of_a_process_share_its_cluster() {
    let first = Cluster::shared().unwrap();
    let others: Vec<_> = (0..8).map(|_| thread::spawn(|| Cluster::shared().unwrap())).collect();
    for other in others {
        assert_eq!(other.join().unwrap().data_directory(), first.data_directory());
    }
}

#[test]
fn a_shared_cluster_is_not_for_restarting() {
    let cluster = Cluster::shared().unwrap();
    assert!(matches!(cluster.restart_fast(), Err(ClusterError::Shared)));
    assert!(matches!(cluster.restart_immediate(), Err(ClusterError::Shared)));
}

#[test]
fn processes_that_come_at_once_start_one_server_even_without_a_cache() {
    let place = Place::new();
    let cache = place.path().join("cache");
    let starting: Vec<_> = (0..6)
        .map(|_| Other::starting(place.command("shared").env("XDG_CACHE_HOME", &cache)))
        .collect();
    let others: Vec<_> = starting.into_iter().map(Other::ready).collect();
    for other in &others {
        assert_eq!(other.data_directory, others[0].data_directory);
    }
    assert_eq!(place.instances().len(), 1);
    drop(others);
    place.until_empty();
}

#[tokio::test]
async fn the_server_outlives_its_starter_and_goes_with_its_last_user_however_they_die() {
    let place = Place::new();
    let mut starter = place.other("shared");
    let other = place.other("shared");
    assert_eq!(starter.data_directory, other.data_directory);

    starter.kill();
    starter.expect_end_of_output();
    assert_eq!(ask(&other.url, "SELECT 'still here'").await, "still here");

    let newcomer = place.other("shared");
    assert_eq!(newcomer.data_directory, other.data_directory);

    drop(other);
    drop(newcomer);
    let killed = Instant::now();
    place.until_empty();
    println!("server and directory gone {:?} after SIGKILL of the last user", killed.elapsed());
}

#[test]
fn the_server_waits_a_moment_for_the_next_process() {
    let place = Place::new();
    // Several attempts: a busy machine may take longer than that moment to start a process.
    let met = (0..10).any(|_| {
        let first = place.other("shared").data_directory.clone();
        place.other("shared").data_directory == first
    });
    assert!(met, "every process started a server of its own");
    place.until_empty();
}

#[test]
fn a_private_cluster_goes_with_its_process() {
    let place = Place::new();
    let mut owner = place.other("private");
    owner.kill();
    owner.expect_end_of_output();
    place.until_empty();
}

#[test]
fn a_crashed_server_is_replaced() {
    let place = Place::new();
    let first = place.other("shared");
    signal(&first.server(), "KILL");
    let second = place.other("shared");
    assert_ne!(second.data_directory, first.data_directory);
    drop((first, second));
    place.until_empty();
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_watchdog_is_replaced_by_the_next_to_come() {
    let place = Place::new();
    let first = place.other("shared");
    let watchdogs = processes_about("goodjob-watchdog", place.path());
    assert_eq!(watchdogs.len(), 1);
    signal(&watchdogs[0], "KILL");
    until("the watchdog is gone", || processes_about("goodjob-watchdog", place.path()).is_empty());

    let second = place.other("shared");
    assert_eq!(second.data_directory, first.data_directory);
    drop((first, second));
    place.until_empty();
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_left_behind_is_swept_away_by_the_next_to_come() {
    let place = Place::new();
    let first = place.other("private");
    signal(&processes_about("goodjob-watchdog", place.path())[0], "KILL");
    until("the watchdog is gone", || processes_about("goodjob-watchdog", place.path()).is_empty());
    let left_behind = first.data_directory.clone();
    drop(first);
    assert!(left_behind.exists(), "nobody was left to remove it");

    let second = place.other("shared");
    until("the left-over is gone", || !left_behind.exists());
    drop(second);
    place.until_empty();
}

#[cfg(target_os = "linux")]
#[test]
fn signals_from_a_terminal_do_not_stop_the_watchdog() {
    let place = Place::new();
    let user = place.other("shared");
    let watchdog = processes_about("goodjob-watchdog", place.path()).remove(0);
    for name in ["INT", "HUP", "TERM"] {
        signal(&watchdog, name);
    }
    assert_eq!(processes_about("goodjob-watchdog", place.path()), [watchdog]);
    drop(user);
    place.until_empty();
}

#[tokio::test]
async fn restarts_keep_what_was_committed_at_the_same_address() {
    let cluster = Cluster::private(Settings::new().set("max_connections", "17")).unwrap();
    let url = cluster.url("postgres");
    ask(&url, "CREATE TABLE kept AS SELECT 41 AS answer").await;
    let started = "SELECT pg_postmaster_start_time()::text";
    let first_start = ask(&url, started).await;

    cluster.restart_fast().unwrap();
    let second_start = ask(&url, started).await;
    assert_ne!(first_start, second_start);
    ask(&url, "UPDATE kept SET answer = 42").await;

    let mut session = PgConnection::connect(&url).await.unwrap();
    cluster.restart_immediate().unwrap();
    assert!(session.ping().await.is_err(), "the restart broke no session");
    assert_ne!(second_start, ask(&url, started).await);
    assert_eq!(ask(&url, "SELECT answer::text FROM kept").await, "42");
    assert_eq!(ask(&url, "SHOW max_connections").await, "17");
    assert!(cluster.log_tail().contains("ready to accept connections"), "{}", cluster.log_tail());

    let directory = cluster.data_directory();
    cluster.stop().unwrap();
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_private_cluster_listens_on_the_port_that_was_asked_for() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::private(Settings::new().port(port)).unwrap();
    let tcp = cluster.tcp_url("postgres").unwrap();
    assert_eq!(ask(&tcp, "SHOW port").await, port.to_string());
    assert_eq!(ask(&tcp, "SELECT host(inet_server_addr())").await, "127.0.0.1");
    assert_eq!(
        ask(&cluster.url("postgres"), "SELECT inet_server_addr() IS NULL || ''").await,
        "true"
    );
}

#[test]
fn a_cluster_without_a_port_has_no_address_for_it() {
    assert_eq!(Cluster::shared().unwrap().tcp_url("postgres"), None);
}

#[test]
fn the_servers_own_words_explain_why_it_did_not_start() {
    let error = Cluster::private(Settings::new().set("no_such_setting", "1")).unwrap_err();
    assert!(matches!(error, ClusterError::Ended { .. }));
    assert!(
        error.to_string().contains("unrecognized configuration parameter \"no_such_setting\""),
        "{error}"
    );
}

#[test]
fn data_belongs_to_the_server_and_is_closed_to_others() {
    let cluster = Cluster::shared().unwrap();
    let data = fs::metadata(cluster.data_directory()).unwrap();
    let sockets = fs::metadata(cluster.socket_directory()).unwrap();
    assert_eq!((data.mode() & 0o777, sockets.mode() & 0o777), (0o700, 0o700));
    assert_ne!(data.uid(), 0, "a server never runs as root");
    assert_eq!(data.uid(), sockets.uid());
}

#[test]
fn a_machine_without_postgres_gets_a_list_of_what_was_tried() {
    let place = Place::new();
    let nowhere = Environment {
        chosen_binaries: None,
        search_path: vec![place.path().join("bin")],
        root: place.path().to_owned(),
        temporary_directory: place.path().to_owned(),
        cache_directory: None,
    };
    place.file("etc/os-release", "ID=alpine\n");
    let message = Binaries::discover(&nowhere).unwrap_err().to_string();
    for place in [
        "GOOD_JOB_PG_BIN: not set",
        "PATH: ",
        "pg_config --bindir: ",
        "/usr/lib/postgresql/*/bin: ",
    ] {
        assert!(message.contains(place), "no {place:?} in {message}");
    }
    if cfg!(target_os = "linux") {
        assert!(message.contains("to fix it: apk add --no-cache postgresql"), "{message}");
    }

    let chosen = Environment { chosen_binaries: Some("/no/such/place".into()), ..nowhere };
    let message = Binaries::discover(&chosen).unwrap_err().to_string();
    assert!(
        message.contains("GOOD_JOB_PG_BIN: no initdb, no postgres in /no/such/place"),
        "{message}"
    );
}

#[test]
fn the_highest_version_that_is_new_enough_is_found_unless_one_is_chosen() {
    let place = Place::new();
    for (directory, version) in
        [("9.6", "9.6.24"), ("14", "14.9"), ("16", "16.10"), ("10", "10.23")]
    {
        let bin = format!("usr/lib/postgresql/{directory}/bin");
        place.script(&format!("{bin}/initdb"), "exit 0");
        place
            .script(&format!("{bin}/postgres"), &format!("echo 'postgres (PostgreSQL) {version}'"));
    }
    place.script("usr/lib/postgresql/17/bin/postgres", "echo 'postgres (PostgreSQL) 17.1'");
    let all = Environment {
        chosen_binaries: None,
        search_path: Vec::new(),
        root: place.path().to_owned(),
        temporary_directory: place.path().to_owned(),
        cache_directory: None,
    };
    let found = Binaries::discover(&all).unwrap();
    assert_eq!(found.version().to_string(), "16.10");
    assert_eq!(found.directory(), place.path().join("usr/lib/postgresql/16/bin"));

    let chosen = Some(place.path().join("usr/lib/postgresql/14/bin"));
    let found = Binaries::discover(&Environment { chosen_binaries: chosen, ..all }).unwrap();
    assert_eq!(found.version().major(), 14);
}

/// Not a test of its own: what the other processes of the tests above run.
#[test]
fn other_process() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let cluster = match role.as_str() {
        "shared" => Cluster::shared().unwrap(),
        "private" => Cluster::private(Settings::new()).unwrap(),
        other => panic!("no role {other:?}"),
    };
    println!("{ANNOUNCEMENT}{} {}", cluster.data_directory().display(), cluster.url("postgres"));
    // Until killed: its parent never writes.
    let _ = std::io::stdin().read(&mut [0]);
    drop(cluster);
}

async fn ask(url: &str, query: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
    let answer: Option<String> = query.fetch_optional(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer.unwrap_or_default()
}

/// A temporary directory with clusters of its own, short enough for sockets and open to the
/// server's user.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o711)).unwrap();
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "other_process", "--nocapture"])
            .env("TMPDIR", self.path())
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    fn other(&self, role: &str) -> Other {
        Other::starting(&mut self.command(role)).ready()
    }

    fn instances(&self) -> Vec<PathBuf> {
        let homes = fs::read_dir(self.path()).unwrap().flatten();
        let homes =
            homes.filter(|entry| entry.file_name().to_string_lossy().starts_with("goodjob-"));
        let entries = homes.flat_map(|home| fs::read_dir(home.path()).unwrap().flatten());
        entries.map(|entry| entry.path()).filter(|path| path.join("users").exists()).collect()
    }

    fn until_empty(&self) {
        until("no cluster is left", || self.instances().is_empty());
        until("no process is left", || processes_about("", self.path()).is_empty());
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    fn script(&self, name: &str, line: &str) {
        self.file(name, &format!("#!/bin/sh\n{line}\n"));
        fs::set_permissions(self.path().join(name), Permissions::from_mode(0o755)).unwrap();
    }
}

/// Another process that uses a cluster; dropping it kills it.
struct Other {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    data_directory: PathBuf,
    url: String,
}

impl Other {
    fn starting(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().map(BufReader::new);
        Self { child, output, data_directory: PathBuf::new(), url: String::new() }
    }

    fn ready(mut self) -> Self {
        let mut seen = String::new();
        let output = self.output.as_mut().unwrap();
        while !seen.lines().last().is_some_and(|line| line.contains(ANNOUNCEMENT)) {
            let read = output.read_line(&mut seen).unwrap();
            assert!(read > 0, "the other process ended: {seen}");
        }
        let (_, place) = seen.trim_end().rsplit_once(ANNOUNCEMENT).unwrap();
        let (directory, url) = place.split_once(' ').unwrap();
        self.data_directory = directory.into();
        self.url = url.into();
        self
    }

    fn server(&self) -> String {
        let pid_file = fs::read_to_string(self.data_directory.join("postmaster.pid")).unwrap();
        pid_file.lines().next().unwrap().to_owned()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A server or watchdog that held the output would keep its reader waiting.
    fn expect_end_of_output(&mut self) {
        let (ended, end) = mpsc::channel();
        let mut output = self.output.take().unwrap();
        thread::spawn(move || ended.send(output.read_to_string(&mut String::new())));
        end.recv_timeout(DEADLINE).expect("the output is still held open").unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(process: &str, name: &str) {
    let status = Command::new("kill").args(["-s", name, process]).status().unwrap();
    assert!(status.success());
}

/// The processes whose command line has both texts; none where there is no `/proc`.
fn processes_about(text: &str, path: &Path) -> Vec<String> {
    let Ok(listing) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = listing.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| {
            let line = fs::read(format!("/proc/{name}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains(text) && line.contains(&*path.to_string_lossy())
        })
        .collect()
}

fn until(wanted: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {wanted}");
        thread::sleep(Duration::from_millis(10));
    }
}
