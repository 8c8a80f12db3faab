//! A worker process with jobs of its own: this test binary, started again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Router, routing::post};
use goodjob_cli::{Configuration, Environment, Invocation, Signals};
use goodjob_core::{Adapter, Context, Job, JobResult, NewJob, Perform, Registry, Setup};
use goodjob_postgres::PgStore;
use goodjob_testkit::{Runs, eventually};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::{Deserialize, Serialize};

use crate::server;

/// Tells the copy of this binary to be a worker; holds its arguments, separated by spaces.
const ARGS: &str = "GOODJOB_TEST_WORKER";
/// Tells it to be a web server with pools beside it; holds its port.
const PORT: &str = "GOODJOB_TEST_PORT";
const PATIENCE: Duration = Duration::from_secs(30);

/// Lasts for a while.
#[derive(Serialize, Deserialize)]
pub(crate) struct Nap {
    pub(crate) millis: u64,
}

impl Job for Nap {
    const CLASS: &'static str = "NapJob";
}

impl Perform<Runs> for Nap {
    async fn perform(self, cx: Context<Runs>) -> JobResult {
        Ok(cx.state().log_as(&cx, tokio::time::sleep(Duration::from_millis(self.millis))).await?)
    }
}

/// Is over at once, and leaves no trace but its row.
#[derive(Serialize, Deserialize)]
pub(crate) struct Blink {}

impl Job for Blink {
    const CLASS: &'static str = "BlinkJob";
}

impl Perform<Runs> for Blink {
    async fn perform(self, _: Context<Runs>) -> JobResult {
        Ok(())
    }
}

/// Never ends at its first run, and at once at every other.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stay {}

impl Job for Stay {
    const CLASS: &'static str = "StayJob";
}

impl Perform<Runs> for Stay {
    async fn perform(self, cx: Context<Runs>) -> JobResult {
        let again = cx.state().of(cx.job_id()).await > 0;
        let stay = async {
            if !again {
                std::future::pending::<()>().await;
            }
        };
        Ok(cx.state().log_as(&cx, stay).await?)
    }
}

/// Kills its process after a while.
#[derive(Serialize, Deserialize)]
pub(crate) struct Abort {
    pub(crate) millis: u64,
}

impl Job for Abort {
    const CLASS: &'static str = "AbortJob";
}

impl Perform<Runs> for Abort {
    async fn perform(self, cx: Context<Runs>) -> JobResult {
        let abort = async {
            tokio::time::sleep(Duration::from_millis(self.millis)).await;
            std::process::abort();
        };
        Ok(cx.state().log_as(&cx, abort).await?)
    }
}

/// The worker itself. Nothing, unless it was started by [`Worker::start`].
#[test]
fn be_a_worker() {
    let Ok(args) = std::env::var(ARGS) else { return };
    let environment = Environment::of_process();
    let url = environment.get("DATABASE_URL").unwrap().to_owned();
    let invocation = Invocation {
        args: ["worker"].into_iter().chain(args.split(' ')).map(Into::into).collect(),
        environment,
        directory: std::env::temp_dir(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(async { goodjob_cli::run_with(invocation, jobs(&url)).await });
    exit_with(code);
}

fn jobs(url: &str) -> Registry<Runs> {
    let jobs = Registry::new(Runs::lazily_at(url));
    jobs.register::<Nap>().register::<Stay>().register::<Abort>().register::<Blink>()
}

/// The web server itself, by the code of the example. Nothing, unless it was started by [`Worker::start_as`].
#[test]
fn be_a_server() {
    let Ok(port) = std::env::var(PORT) else { return };
    let environment = Environment::of_process();
    let url = environment.get("DATABASE_URL").unwrap().to_owned();
    let settings = Configuration::load_from(&environment, &std::env::temp_dir()).unwrap();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    // Made before there is a runtime, as before a fork.
    let store = PgStore::lazy(settings.database().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(async {
        let setup = Setup::new(settings.mode(), settings.config(), jobs(&url), &store);
        let mut signals = Signals::catch().unwrap();
        let listener = server::listen(([127, 0, 0, 1], port.parse().unwrap()).into()).unwrap();
        let app = Router::new().route("/naps/{count}", post(nap)).with_state(setup.adapter());
        let next = async || signals.next().await;
        server::serve(listener, app, &setup, settings.shutdown(), next, |_| {}).await.unwrap()
    });
    exit_with(code);
}

async fn nap(State(adapter): State<Adapter>, Path(count): Path<usize>) -> StatusCode {
    let naps = (0..count).map(|_| NewJob::new(&Nap { millis: 5 }).unwrap());
    match adapter.enqueue_all(naps).await {
        Ok(_) => StatusCode::CREATED,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn exit_with(code: std::process::ExitCode) -> ! {
    // An exit code can be compared, not read.
    let code = (0..=255).find(|n| code == std::process::ExitCode::from(*n)).unwrap();
    std::process::exit(code.into());
}

/// What runs the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `goodjob start`, with jobs of its own.
    Worker,
    /// A web server in async mode.
    Server,
}

/// The settings that flags of `start` stand for, as variables.
fn variables(args: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = args.split(' ').skip(1).collect();
    let pairs = words.chunks(2).map(|pair| match pair {
        [flag, value] => (flag.trim_start_matches("--").replace('-', "_"), (*value).to_owned()),
        _ => panic!("{args}: expected a value for each flag"),
    });
    pairs.map(|(name, value)| (format!("GOOD_JOB_{}", name.to_uppercase()), value)).collect()
}

/// A running worker. Dropping it kills it.
pub(crate) struct Worker {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    /// Starts it with these arguments; does not wait.
    pub(crate) fn start(args: &str, url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "worker::be_a_worker", "--nocapture"]).env_clear().env(ARGS, args);
        Self::spawn(command, url)
    }

    /// As [`start`](Self::start), for either kind. The flags are those of `goodjob start`.
    pub(crate) fn start_as(kind: Kind, args: &str, url: &str) -> Self {
        match kind {
            Kind::Worker => Self::start(args, url),
            Kind::Server => Self::serve(0, args, url),
        }
    }

    /// A web server in async mode on this port.
    pub(crate) fn serve(port: u16, args: &str, url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "worker::be_a_server", "--nocapture"])
            .env_clear()
            .env(PORT, port.to_string())
            .env("GOOD_JOB_EXECUTION_MODE", "async")
            .envs(variables(args));
        Self::spawn(command, url)
    }

    fn spawn(mut command: Command, url: &str) -> Self {
        let mut child = command
            .env("DATABASE_URL", url)
            .env("GOOD_JOB_CANCEL_GRACE", "0.2")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (read, heard) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&lines));
        // A full pipe would stop the worker. Ends with it.
        std::thread::spawn(move || {
            read.lines().map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line));
        });
        Self { child, lines }
    }

    /// Starts it and waits until it takes jobs.
    pub(crate) async fn ready(args: &str, url: &str) -> Self {
        let worker = Self::start(args, url);
        worker.until("is ready").await;
        worker
    }

    /// As [`ready`](Self::ready), for either kind.
    pub(crate) async fn ready_as(kind: Kind, args: &str, url: &str) -> Self {
        let worker = Self::start_as(kind, args, url);
        worker.until("is ready").await;
        worker
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line of the log has `text` in it.
    pub(crate) async fn until(&self, text: &str) {
        eventually(&format!("a line with {text:?}"), PATIENCE, async || {
            let lines = self.lines.lock().unwrap();
            if lines.iter().any(|line| line.contains(text)) {
                Ok(())
            } else {
                Err(lines.join("\n"))
            }
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it without a word, and notes its death. It is stopped first: noted after its end, a job that
    /// a neighbour takes over within those milliseconds would look as if both had run it at once.
    pub(crate) async fn kill(mut self, runs: &Runs) {
        self.signal(Signal::STOP);
        let stopped = waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).unwrap();
        assert!(
            stopped.is_some_and(|(_, status)| status.stopped()),
            "it ended before: {stopped:?}"
        );
        runs.died(self.pid()).await;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; returns its exit code, which is `None` after a signal, and its log.
    pub(crate) async fn end(&mut self) -> (Option<i32>, String) {
        let status = eventually("the end of the worker", PATIENCE, async || {
            self.child.try_wait().unwrap().ok_or_else(|| self.lines.lock().unwrap().join("\n"))
        })
        .await;
        (status.code(), self.lines.lock().unwrap().join("\n"))
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // What has ended cannot be killed, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
