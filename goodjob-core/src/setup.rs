//! From a mode, a configuration, jobs and a backend to what a process of an application needs: an adapter,
//! and perhaps a capsule.

use std::sync::{Arc, OnceLock};

use crate::adapter::Adapter;
use crate::backend::Backend;
use crate::capsule::{Capsule, Drained, Inline};
use crate::config::{Config, Shutdown};
use crate::job::Handlers;
use crate::mode::{ExecutionMode, Role};
use crate::store::StoreError;

/// All that a process has to know of its jobs. Making one connects to nothing and starts nothing, so that it
/// may be made before a fork, and before there is a runtime. Cheap to clone; clones share everything.
///
/// ```
/// use std::sync::Arc;
/// use goodjob_core::{Clock, Config, ExecutionMode, MemoryStore, Registry, Role, Setup, Shutdown};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let memory = Arc::new(MemoryStore::new(Clock::system()));
/// let setup = Setup::new(ExecutionMode::Async, Config::default(), Registry::default(), memory);
/// let adapter = setup.adapter();                      // for the handlers of requests
/// let capsule = setup.start(Role::Server).await.unwrap();
/// assert!(capsule.is_some());
/// // … serve …
/// setup.shutdown(Shutdown::Forever).await;
/// # drop(adapter); }
/// ```
#[derive(Clone, Debug)]
pub struct Setup {
    mode: ExecutionMode,
    config: Config,
    handlers: Handlers,
    backend: Backend,
    inline: Inline,
    capsule: Arc<OnceLock<Capsule>>,
    starting: Arc<tokio::sync::Mutex<()>>,
}

impl Setup {
    /// Puts them together.
    #[must_use]
    pub fn new(
        mode: ExecutionMode,
        config: Config,
        handlers: impl Into<Handlers>,
        backend: impl Into<Backend>,
    ) -> Self {
        let (handlers, backend) = (handlers.into(), backend.into());
        let (capsule, starting) = (Arc::<OnceLock<Capsule>>::default(), Arc::default());
        let pools = Arc::clone(&capsule);
        let inline = Inline::beside(pools, config.clone(), handlers.clone(), backend.clone());
        Self { mode, config, handlers, backend, inline, capsule, starting }
    }

    /// The mode.
    #[must_use]
    pub fn mode(&self) -> ExecutionMode {
        self.mode
    }

    /// What enqueues, with the hooks of the registry. In the mode [`Inline`](ExecutionMode::Inline) a due job has been done when the call
    /// returns; in the others it is stored, and workers are told, those of this process like all others.
    #[must_use]
    pub fn adapter(&self) -> Adapter {
        match self.mode {
            ExecutionMode::Inline => self.inline.adapter(),
            _ => Adapter::of_worker(self.backend.clone(), &self.handlers),
        }
    }

    /// What does jobs while their caller waits, in any mode: for tests, and for scripts that work off a queue.
    /// Where [`start`](Self::start) has started pools it works in their process: what its jobs enqueue is done
    /// by the pools.
    #[must_use]
    pub fn inline(&self) -> &Inline {
        &self.inline
    }

    /// Starts the pools, if a process in this role has some in this mode; `None` if not. A second call
    /// returns the same capsule, which after a [`shutdown`](Self::shutdown), or a fork, is started again.
    ///
    /// # Errors
    /// As [`Capsule::start`].
    pub async fn start(&self, role: Role) -> Result<Option<Capsule>, StoreError> {
        if !self.mode.runs_pools(role) {
            return Ok(None);
        }
        let _one_at_a_time = self.starting.lock().await;
        if let Some(capsule) = self.capsule.get() {
            if capsule.is_stopping() {
                capsule.restart(Shutdown::Forever).await?;
            }
            return Ok(Some(capsule.clone()));
        }
        // A store serves one process: from now on it works in that of the pools.
        self.inline.shutdown(Shutdown::Forever).await;
        let (config, handlers) = (self.config.clone(), self.handlers.clone());
        let capsule = Capsule::start(config, handlers, self.backend.clone()).await?;
        Ok(Some(self.capsule.get_or_init(|| capsule).clone()))
    }

    /// The capsule, if there is one.
    #[must_use]
    pub fn capsule(&self) -> Option<&Capsule> {
        self.capsule.get()
    }

    /// Ends what runs jobs in this process, as `mode` says. Enqueueing goes on to work.
    pub async fn shutdown(&self, mode: Shutdown) -> Drained {
        let pools = async {
            match self.capsule.get() {
                Some(capsule) => capsule.shutdown(mode).await,
                None => Drained::default(),
            }
        };
        let (mut drained, of_pools) = tokio::join!(self.inline.shutdown(mode), pools);
        drained.cut_off.extend(of_pools.cut_off);
        drained
    }

    /// Ends the waiting of a shutdown that is under way, as a second signal does.
    pub fn hurry(&self) {
        self.inline.hurry();
        if let Some(capsule) = self.capsule.get() {
            capsule.hurry();
        }
    }
}
