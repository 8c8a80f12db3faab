//! A command and everything that it starts: one process group, which never outlives this value.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// The processes of one attempt. Dropped before it was reaped, it kills them all.
///
/// The command is reaped last, after its group was killed: until then its process id, which is the
/// id of the group too, cannot be given to a stranger, so no signal can hit the wrong one.
#[derive(Debug)]
pub(super) struct Group {
    leader: Child,
    id: Pid,
    /// SIGCHLD: some child of this process has changed.
    deaths: Signals,
    reaped: bool,
}

impl Group {
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        // Listens before the start, or the end of a very short command would be missed.
        let deaths = signal(SignalKind::child())?;
        let leader = command.process_group(0).spawn()?;
        let id = leader.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.ok_or_else(|| io::Error::other("the command has no process id"))?;
        Ok(Self { leader, id, deaths, reaped: false })
    }

    pub(super) fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// The ends of the command's pipes, once.
    pub(super) fn pipes(
        &mut self,
    ) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.leader.stdin.take(), self.leader.stdout.take(), self.leader.stderr.take())
    }

    /// Waits until the command has ended, and leaves it to be reaped. Cancel safe.
    pub(super) async fn exited(&mut self) {
        let looking = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        // An error means that there is nothing to wait for.
        while let Ok(None) = waitid(WaitId::Pid(self.id), looking) {
            self.deaths.recv().await;
        }
    }

    /// Asks the group to end, and makes it end when it has not after `patience`.
    pub(super) async fn terminate(&mut self, patience: Duration) {
        self.send(Signal::TERM);
        if tokio::time::timeout(patience, self.exited()).await.is_err() {
            tracing::warn!(?patience, "the command did not heed SIGTERM and is killed");
            self.kill();
            self.exited().await;
        }
    }

    /// Kills whatever is left of the group.
    pub(super) fn kill(&self) {
        self.send(Signal::KILL);
    }

    /// How the command ended. To be called when it has.
    pub(super) async fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.leader.wait().await;
        self.reaped = true;
        status
    }

    fn send(&self, signal: Signal) {
        // The only errors left are a group that is gone and one that changed its user.
        if let Err(error) = kill_process_group(self.id, signal) {
            tracing::debug!(%error, ?signal, "the process group cannot be signalled");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
        }
    }
}
