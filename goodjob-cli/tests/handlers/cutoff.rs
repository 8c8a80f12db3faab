//! Attempts that end before their time: nothing that they started may stay behind.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use goodjob_cli::handlers::HandlerSettings;
use goodjob_core::{
    Adapter, Arguments, BareContext, Capsule, Clock, Config, Handlers, Inspect, JobId, JobRecord,
    MemoryStore, NewJob, Options, Shutdown, TimedOut,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::trial::{PATIENCE, attempt, claim, handler, perform, shell};

/// A pipe in the file system: it is open for as long as any process lives that opened it, a child's
/// child included. No process id is asked for, so none can be mistaken.
struct Witness {
    _dir: tempfile::TempDir,
    path: PathBuf,
    began: oneshot::Receiver<()>,
    ended: oneshot::Receiver<()>,
}

impl Witness {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (begin, began) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let reading = path.clone();
        // A thread that nobody waits for: a test that fails must not hang on it.
        std::thread::spawn(move || {
            let mut pipe = File::open(reading).unwrap();
            let _ = begin.send(());
            let _ = pipe.read_to_end(&mut Vec::new());
            let _ = end.send(());
        });
        Self { _dir: dir, path, began, ended }
    }

    async fn began(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.began).await.expect("nothing starts").unwrap();
    }

    async fn ended(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.ended).await.expect("a process is left").unwrap();
    }
}

/// A command with a child, both deaf to SIGTERM, both holding the witness open.
const DEAF: &str = "trap '' TERM; exec 3> \"$0\"; sleep 1000 & wait; sleep 1000";
/// A command that ends well when it is told to, and leaves a child that does not.
/// Both commands set their traps first: once the witness is open, a signal may come at any time.
const DOCILE: &str = "trap 'exit 0' TERM; exec 3> \"$0\"; (trap '' TERM; exec sleep 1000) & wait";

fn stubborn(path: &Path) -> Value {
    let mut settings = shell(DEAF, path);
    settings["kill_after"] = json!(0.2);
    settings
}

/// A worker in memory with one job.
struct Worker {
    store: Arc<MemoryStore>,
    capsule: Capsule,
    job: JobId,
}

impl Worker {
    async fn start(settings: Value) -> Self {
        let settings: HandlerSettings = serde_json::from_value(settings).unwrap();
        let mut handlers = Handlers::default();
        handlers.add("MailJob", settings.build("MailJob").unwrap());
        let store = Arc::new(MemoryStore::new(Clock::system()));
        let capsule = Capsule::start(Config::default(), handlers, store.clone()).await.unwrap();
        let job = NewJob::of_class("MailJob", Arguments::default(), Options::new()).unwrap();
        let job = Adapter::new(store.clone()).enqueue_all([job]).await.unwrap()[0].id();
        Self { store, capsule, job }
    }

    async fn job_after_shutdown(self, mode: Shutdown) -> JobRecord {
        tokio::time::timeout(PATIENCE, self.capsule.shutdown(mode)).await.expect("no shutdown");
        self.store.job(self.job).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_trial_ends_at_its_time_limit() {
    let mut witness = Witness::new();
    let limit = Duration::from_secs(3);
    let mut settings = stubborn(&witness.path);
    settings["timeout"] = json!("3s");
    let error = attempt(&handler(settings), claim(json!([])), Some(limit)).await.unwrap_err();
    assert_eq!(error.source().downcast_ref(), Some(&TimedOut { after: limit }));
    witness.began().await;
    witness.ended().await;
}

#[tokio::test]
async fn a_time_limit_is_a_failure_and_kills_the_childs_child_too() {
    let mut witness = Witness::new();
    let mut settings = stubborn(&witness.path);
    settings["timeout"] = json!(3);
    let worker = Worker::start(settings).await;
    witness.began().await;
    witness.ended().await;
    let job = worker.job_after_shutdown(Shutdown::Forever).await;
    let error = job.error.expect("an error");
    assert!(error.ends_with("TimedOut: took longer than 3s"), "{error}");
    assert_eq!((job.finished_at, job.payload.executions()), (None, 1), "it is tried again");
}

#[tokio::test]
async fn a_command_that_heeds_sigterm_may_finish_its_job() {
    let mut witness = Witness::new();
    let worker = Worker::start(shell(DOCILE, &witness.path)).await;
    witness.began().await;
    let job = worker.job_after_shutdown(Shutdown::Now).await;
    witness.ended().await;
    assert!(job.finished_at.is_some() && job.error.is_none(), "{job:?}");
}

#[tokio::test]
async fn a_command_that_is_cut_off_by_a_shutdown_is_put_back() {
    let mut witness = Witness::new();
    let worker = Worker::start(stubborn(&witness.path)).await;
    witness.began().await;
    let job = worker.job_after_shutdown(Shutdown::Now).await;
    witness.ended().await;
    assert_eq!((job.finished_at, job.payload.executions()), (None, 0), "no attempt is used");
}

#[tokio::test]
async fn a_command_that_outlives_the_workers_grace_is_killed_at_its_end() {
    let mut witness = Witness::new();
    let mut settings = stubborn(&witness.path);
    settings["kill_after"] = json!(3600);
    let worker = Worker::start(settings).await;
    witness.began().await;
    worker.job_after_shutdown(Shutdown::Now).await;
    witness.ended().await;
}

#[tokio::test]
async fn a_dropped_attempt_leaves_no_process() {
    let mut witness = Witness::new();
    let handler = handler(stubborn(&witness.path));
    let cx = BareContext::for_trial(claim(json!([])), None, None);
    let attempt = tokio::spawn((handler.run)(Some(Arguments::default()), cx));
    witness.began().await;
    attempt.abort();
    witness.ended().await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() {
    let mut witness = Witness::new();
    let script = "exec 3> \"$0\"; (trap '' TERM HUP; exec sleep 1000) & exit 0";
    perform(shell(script, &witness.path)).await.unwrap();
    witness.began().await;
    witness.ended().await;
}
