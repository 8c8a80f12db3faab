//! Owns everything that runs in this process: one scheduler per pool, the listener, the settler,
//! the janitor, cron and the heartbeat. Starts and stops them in order.

mod ahead;
mod attempt;
mod backlog;
mod continuer;
mod heart;
mod inline;
mod janitor;
mod meter;
pub(crate) mod panics;
mod pause;
mod performer;
mod poller;
mod running;
mod scheduler;
mod settler;
mod timetable;
mod vitals;

pub(crate) use inline::AtOnce;
pub use inline::{Inline, InlineError, JobFailed};
pub(crate) use pause::Pause;
pub use scheduler::PoolState;
pub use vitals::Vitals;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::adapter::Adapter;
use crate::backend::Backend;
use crate::config::{Config, Shutdown};
use crate::ids::{JobId, ProcessId};
use crate::job::Handlers;
use crate::queue::Pool;
use crate::store::StoreError;
use running::Running;
use scheduler::Wake;

/// Everything that does jobs in this process. Cheap to clone; all clones are the same capsule.
///
/// It runs on the tokio runtime that it was started on, beside whatever else runs there. Dropping
/// the last clone stops nothing: call [`shutdown`](Self::shutdown).
///
/// It may be stopped and started again, [`restart`](Self::restart), as before and after the fork of a server
/// that forks. In a process that was forked off it knows that what ran is its parent's: it shows
/// no pools and waits for nothing, and `restart` starts anew.
#[derive(Clone)]
pub struct Capsule {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    handlers: Arc<Handlers>,
    adapter: Adapter,
    /// The present run, or the last one.
    run: Mutex<Arc<Running>>,
    /// One restart at a time.
    turn: tokio::sync::Mutex<()>,
}

/// How a shutdown went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Jobs that were not waited for. They are put back, and run again elsewhere.
    pub cut_off: Vec<JobId>,
}

impl Capsule {
    /// Registers the process, then starts its pools.
    ///
    /// # Errors
    /// When the store cannot be reached or is unfit. Later errors are logged and outlived.
    pub async fn start(
        config: Config,
        handlers: impl Into<Handlers>,
        backend: impl Into<Backend>,
    ) -> Result<Self, StoreError> {
        let handlers = handlers.into();
        let adapter = Adapter::of_worker(backend.into(), &handlers);
        Self::start_with(config, handlers, adapter).await
    }

    /// As [`start`](Self::start), with the adapter that its jobs enqueue by.
    async fn start_with(
        config: Config,
        handlers: Handlers,
        adapter: Adapter,
    ) -> Result<Self, StoreError> {
        let handlers = Arc::new(handlers);
        if let Some(hook) = handlers.on_error() {
            adapter.troubles().tell(Arc::clone(hook));
        }
        let run = Mutex::new(Arc::new(Running::start(&config, &handlers, &adapter).await?));
        let turn = tokio::sync::Mutex::default();
        Ok(Self { inner: Arc::new(Inner { config, handlers, adapter, run, turn }) })
    }

    /// Shuts down as `mode` says, if it has not been, and starts again with the same configuration and
    /// jobs, as a new process in the store. The gem's `GoodJob.restart`.
    ///
    /// For a server that forks: `shutdown` before the fork, `restart` in each process after it, on its own
    /// runtime. All clones are started again with it. Says how the shutdown went.
    ///
    /// # Errors
    /// As [`start`](Self::start). It is stopped then, and may be tried again.
    pub async fn restart(&self, mode: Shutdown) -> Result<Drained, StoreError> {
        let _turn = self.inner.turn.lock().await;
        let drained = self.shutdown(mode).await;
        let Inner { config, handlers, adapter, .. } = &*self.inner;
        let run = Arc::new(Running::start(config, handlers, adapter).await?);
        let before = std::mem::replace(&mut *self.slot(), run);
        if before.is_the_parents() {
            // Its tasks and wakers belong to a runtime that is not here. What is left of them is a copy, and
            // goes with this process.
            std::mem::forget(before);
        }
        Ok(drained)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Arc<Running>> {
        // Nothing in here panics while it holds the lock, so a poisoned one is still consistent.
        self.inner.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) -> Arc<Running> {
        Arc::clone(&self.slot())
    }

    /// The id of this process in the store. A new one after each restart.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.run().process
    }

    /// Enqueues into the store that this capsule works on, with the hooks of its registry.
    #[must_use]
    pub fn adapter(&self) -> &Adapter {
        &self.inner.adapter
    }

    /// The pools as they were configured, in the order of [`pools`](Self::pools).
    #[must_use]
    pub fn configured_pools(&self) -> &[Pool] {
        &self.inner.config.pools
    }

    /// What each pool is doing, in the order of the configuration.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolState> {
        let run = self.run();
        let pools = if run.is_the_parents() { &[] } else { run.pools.as_slice() };
        pools.iter().map(|pool| pool.state.borrow().clone()).collect()
    }

    /// Whether a shutdown has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        let run = self.run();
        run.stop.is_cancelled() || run.is_the_parents()
    }

    /// Waits until no pool has had anything to do for `quiet`.
    pub async fn idle_for(&self, quiet: Duration) {
        loop {
            let last = self.pools().iter().map(|pool| pool.last_active).max();
            let rest = match last {
                Some(last) if !self.is_busy() => quiet.saturating_sub(last.elapsed()),
                _ => quiet,
            };
            if rest.is_zero() {
                return;
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// Waits until no due job is left that its pools want, not even one that another made meanwhile,
    /// and all outcomes are written. Future jobs are not waited for. Ends with the capsule, too.
    pub async fn drained(&self) {
        let run = self.run();
        if run.is_the_parents() {
            return;
        }
        loop {
            // An outcome that is not written yet may make its job due again, or a callback of its batch.
            run.written().await;
            let performed = self.performed();
            for pool in &run.pools {
                let (answer, heard) = oneshot::channel();
                // A pool that has stopped drops the question: it will find nothing more.
                let _ = pool.wake.send(Wake::Ask(answer));
                let _ = heard.await;
            }
            run.written().await;
            if self.performed() == performed && !self.is_busy() {
                return;
            }
        }
    }

    /// Takes no new work, waits for running jobs as `mode` says, and leaves the store clean.
    ///
    /// A job that is not waited for is told ([`Context::cancelled`](crate::Context::cancelled)),
    /// dropped a grace later and put back, so that it runs again elsewhere at once.
    /// Calling it twice is fine: both wait for the same end, the more impatient mode counts, and both
    /// are told how it went. Dropping the returned future does not take the shutdown back; it only
    /// forgets a time limit.
    pub async fn shutdown(&self, mode: Shutdown) -> Drained {
        let run = self.run();
        if run.is_the_parents() {
            return Drained::default();
        }
        run.stop.cancel();
        let ended = run.ended.clone();
        match mode {
            Shutdown::Forever => {}
            Shutdown::Now => run.cut.cancel(),
            Shutdown::After(patience) => {
                if let Ok(drained) = tokio::time::timeout(patience, ended.clone()).await {
                    return drained;
                }
                run.cut.cancel();
            }
        }
        ended.await
    }

    /// Ends the waiting of a [`shutdown`](Self::shutdown) that is under way, as a second signal does.
    pub fn hurry(&self) {
        let run = self.run();
        if !run.is_the_parents() {
            run.stop.cancel();
            run.cut.cancel();
        }
    }

    fn performed(&self) -> u64 {
        self.pools().iter().map(|pool| pool.succeeded + pool.errored).sum()
    }

    fn is_busy(&self) -> bool {
        self.pools().iter().any(|pool| pool.active > 0)
    }
}

impl fmt::Debug for Capsule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capsule").field("process", &self.process()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::MemoryStore;

    /// A capsule in a process that was forked off: its run carries the pid of another one.
    async fn forked() -> (Capsule, Capsule) {
        let memory = Arc::new(MemoryStore::new(Clock::system()));
        let parents = Capsule::start(Config::default(), Handlers::default(), memory.clone()).await;
        let childs = Capsule::start(Config::default(), Handlers::default(), memory).await;
        let (parents, childs) = (parents.unwrap(), childs.unwrap());
        let copy = Running {
            pid: std::process::id() + 1,
            process: parents.process(),
            ..Running::start(&Config::default(), &Arc::default(), parents.adapter()).await.unwrap()
        };
        let run = std::mem::replace(&mut *childs.slot(), Arc::new(copy));
        run.stop.cancel();
        (parents, childs)
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_fork_nothing_of_the_parents_is_waited_for_or_shown() {
        let (parent, child) = forked().await;
        assert!(child.is_stopping() && child.pools().is_empty());
        assert_eq!(child.shutdown(Shutdown::Forever).await, Drained::default());
        assert!(!child.run().stop.is_cancelled(), "the parent's run is the parent's");
        assert!(!child.vitals().started && !child.pulse().await);
        let (before, drained) = (child.process(), child.restart(Shutdown::Forever).await.unwrap());
        assert_eq!(drained, Drained::default());
        assert_ne!(child.process(), before);
        assert!(child.vitals().started && child.pulse().await);
        assert!(parent.vitals().started && !parent.is_stopping());
        child.shutdown(Shutdown::Forever).await;
        parent.shutdown(Shutdown::Forever).await;
    }
}
