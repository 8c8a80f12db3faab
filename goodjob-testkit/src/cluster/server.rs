//! One `postgres` process on one data directory: start it, wait for it, stop it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::account::Account;
use super::binaries::Binaries;
use super::error::ClusterError;
use super::handshake::{self, Answer};
use super::instance::Instance;
use super::settings::Settings;

/// Generous: a machine that compiles on all cores starts a server in seconds, not milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug)]
pub(super) enum Shutdown {
    /// Sessions are cut off, everything is written down.
    Fast,
    /// As a crash; the next start recovers.
    Immediate,
}

#[derive(Debug)]
pub(super) struct Server {
    binaries: Binaries,
    account: Account,
    instance: Instance,
    settings: Settings,
    child: Option<Child>,
}

impl Server {
    pub(super) fn new(
        binaries: Binaries,
        account: Account,
        instance: Instance,
        settings: Settings,
    ) -> Self {
        Self { binaries, account, instance, settings, child: None }
    }

    /// Returns when it accepts connections.
    pub(super) fn start(&mut self) -> Result<(), ClusterError> {
        self.child = Some(self.spawn()?);
        self.wait_until_it_accepts()
    }

    /// Returns when it is gone; at once if it never ran.
    pub(super) fn stop(&mut self, shutdown: Shutdown) -> Result<(), ClusterError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let signal = match shutdown {
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        };
        // Unreaped, so the number is still its own, even if it ended by itself.
        let _ = kill_process(Pid::from_child(&child), signal);
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if !matches!(child.try_wait(), Ok(None)) {
                return Ok(());
            }
            thread::sleep(STEP);
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(self.slow("stopped", "still running, now killed".into()))
    }

    /// Its output goes to a file: an unread pipe would block it, and an inherited one would keep a
    /// reader of the test's output waiting.
    fn spawn(&self) -> Result<Child, ClusterError> {
        let path = self.instance.log();
        let opened = || {
            let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            Ok((log.try_clone()?, log))
        };
        let (log, also_log) = opened().map_err(ClusterError::file("opening", &path))?;
        let mut command = self.account.command(&self.binaries.program("postgres"));
        // The watchdog knows the server by this argument and the space behind it.
        command.arg("-D").arg(self.instance.data());
        // A list: quotes keep a comma or a space in the path from ending an item.
        let mut sockets = OsString::from("unix_socket_directories=\"");
        sockets.push(self.instance.socket_directory());
        sockets.push("\"");
        command.arg("-c").arg(sockets);
        for assignment in self.settings.assignments() {
            command.args(["-c", &assignment]);
        }
        command.stdin(Stdio::null()).stdout(log).stderr(also_log).spawn().map_err(|error| {
            ClusterError::Program { command: format!("{command:?}"), outcome: error.to_string() }
        })
    }

    fn wait_until_it_accepts(&mut self) -> Result<(), ClusterError> {
        let socket = self.instance.socket(self.settings.socket_port());
        let begun = Instant::now();
        loop {
            let answer = handshake::greet(&socket);
            if matches!(answer, Ok(Answer::Accepts)) {
                return Ok(());
            }
            if let Some(status) = self.ended() {
                self.child = None;
                return Err(ClusterError::Ended { status, log: self.instance.log_tail() });
            }
            if begun.elapsed() > PATIENCE {
                let last_seen = described(answer);
                self.stop(Shutdown::Immediate)?;
                return Err(self.slow("accepting connections", last_seen));
            }
            thread::sleep(STEP);
        }
    }

    fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(status.to_string())
    }

    fn slow(&self, wanted: &'static str, last_seen: String) -> ClusterError {
        ClusterError::Slow { wanted, waited: PATIENCE, last_seen, log: self.instance.log_tail() }
    }
}

fn described(answer: io::Result<Answer>) -> String {
    match answer {
        Ok(Answer::Accepts) => "accepting connections".into(),
        Ok(Answer::NotNow) => "starting up or recovering".into(),
        Err(error) => error.to_string(),
    }
}
