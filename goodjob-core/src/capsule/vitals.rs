//! Whether a capsule works, for probes and watchdogs.

use tokio::sync::oneshot;

use super::Capsule;
use super::running::Running;
use super::scheduler::Wake;
use crate::store::Health;

/// What a probe asks, answered from memory: it waits for nothing and asks no store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vitals {
    /// There is a pool, and everything that does jobs runs. False from the moment that a shutdown begins.
    pub started: bool,
    /// It has started, its locks are confirmed, and it hears notices. A store that is away makes this false,
    /// and is no reason to end the process: it goes on by itself when the store is back.
    pub connected: bool,
    /// Whether the store vouches for the locks of this process.
    pub locks_confirmed: bool,
    /// Whether notices can be heard, or, where LISTEN is off, whether the session that would hear them lives.
    pub listening: bool,
}

impl Capsule {
    /// How it is.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        let run = self.run();
        if run.is_the_parents() {
            return Vitals::default();
        }
        let backend = self.inner.adapter.backend();
        let started = !run.pools.is_empty() && run.is_whole();
        let locks_confirmed = backend.store().locks().borrow().health == Health::Confirmed;
        let listening = backend.notifier().is_listening();
        let connected = started && locks_confirmed && listening;
        Vitals { started, connected, locks_confirmed, listening }
    }

    /// Waits until the loop of each pool has turned once, and says whether all that does jobs runs: what a
    /// watchdog asks. It may wait for ever, so give it a time limit. During a shutdown it is true until all
    /// is over, however long a job takes.
    pub async fn pulse(&self) -> bool {
        let run = self.run();
        if run.is_the_parents() {
            return false;
        }
        let turned = async {
            for pool in &run.pools {
                let (answer, heard) = oneshot::channel();
                // A pool that stops drops the question.
                if pool.wake.send(Wake::Ping(answer)).is_err() || heard.await.is_err() {
                    return false;
                }
            }
            run.is_whole()
        };
        tokio::select! {
            // First, since a pool that only waits for its jobs to end answers no more.
            biased;
            () = run.stop.cancelled() => true,
            turned = turned => turned,
        }
    }
}

impl Running {
    /// Whether nothing has ended, as it only does in a shutdown, or by a defect of ours.
    fn is_whole(&self) -> bool {
        !self.stop.is_cancelled() && self.loops.iter().all(|task| !task.is_finished())
    }
}
