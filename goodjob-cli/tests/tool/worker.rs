//! A worker with jobs of its own, as an application has one: this test binary, started again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use goodjob_cli::{Environment, Invocation};
use goodjob_core::{Context, Job, JobResult, Perform, Registry};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// Tells the copy of this binary to be a worker; holds its arguments, separated by spaces.
const ARGS: &str = "GOODJOB_TEST_WORKER";

#[derive(Serialize, Deserialize)]
pub(crate) struct Sleep {
    pub(crate) seconds: f64,
}

impl Job for Sleep {
    const CLASS: &'static str = "SleepJob";
}

impl Perform for Sleep {
    async fn perform(self, _: Context) -> JobResult {
        eprintln!("sleeping");
        tokio::time::sleep(Duration::from_secs_f64(self.seconds)).await;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Fail(String);

impl Job for Fail {
    const CLASS: &'static str = "FailJob";
}

impl Perform for Fail {
    async fn perform(self, _: Context) -> JobResult {
        match self.0.as_str() {
            "panic" => panic!("on purpose"),
            reason => Err(reason.into()),
        }
    }
}

/// The worker itself. Nothing, unless it was started by [`Worker::start`].
#[test]
fn be_a_worker() {
    let Ok(args) = std::env::var(ARGS) else { return };
    let invocation = Invocation {
        args: ["worker"].into_iter().chain(args.split(' ')).map(Into::into).collect(),
        environment: Environment::of_process(),
        directory: std::env::current_dir().unwrap(),
    };
    let jobs = Registry::default().register::<Sleep>().register::<Fail>();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(goodjob_cli::run_with(invocation, jobs));
    // An exit code can be compared, not read.
    let code = (0..=255).find(|n| code == std::process::ExitCode::from(*n)).unwrap();
    std::process::exit(code.into());
}

/// A running worker.
pub(crate) struct Worker {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    seen: Vec<String>,
}

impl Worker {
    pub(crate) fn start(args: &str, url: &str) -> Self {
        Self::start_with(args, url, &[])
    }

    /// With more of an environment than the database.
    pub(crate) fn start_with(args: &str, url: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker::be_a_worker", "--nocapture"])
            .env_clear()
            .env(ARGS, args)
            .env("DATABASE_URL", url)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, seen: Vec::new() }
    }

    /// Reads the log until a line has `text` in it.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "it ended without {text:?}: {:#?}", self.seen);
            let found = line.contains(text);
            self.seen.push(line);
            if found {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; returns the exit code.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.seen.extend(self.lines.lines().map(Result::unwrap));
        (self.child.wait().unwrap().code(), self.seen)
    }
}
