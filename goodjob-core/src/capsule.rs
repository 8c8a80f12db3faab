//! Owns everything that runs in this process: one scheduler per pool, the listener, the settler,
//! the janitor, cron and the heartbeat. Starts and stops them in order.

mod ahead;
mod attempt;
mod continuer;
mod heart;
mod janitor;
pub(crate) mod panics;
mod pause;
mod performer;
mod poller;
mod scheduler;
mod settler;
mod timetable;

pub(crate) use pause::Pause;
pub use scheduler::PoolState;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::adapter::Adapter;
use crate::backend::Backend;
use crate::clock::Clock;
use crate::config::{Config, Shutdown};
use crate::cron::Manager;
use crate::ids::{JobId, ProcessId};
use crate::job::{Handlers, Scene};
use crate::notifier::{Notifier, Signal};
use crate::store::{Store, StoreError, Wanted};
use crate::trouble::{Trouble, TroubleKind, Troubles};
use continuer::{Continuer, Unheard};
use heart::Heart;
use janitor::Janitor;
use performer::Performer;
use scheduler::{Common, Scheduler, Wake};
use settler::{Backlog, Settler};

/// Everything that does jobs in this process. Cheap to clone; all clones are the same capsule.
///
/// It runs on the tokio runtime that it was started on, beside whatever else runs there. Dropping
/// the last clone stops nothing: call [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Capsule {
    inner: Arc<Inner>,
}

struct Inner {
    process: ProcessId,
    adapter: Adapter,
    pools: Vec<PoolHandle>,
    /// No new work.
    stop: CancellationToken,
    /// No more waiting for running work.
    cut: CancellationToken,
    backlog: Backlog,
    /// Batches that have to go on; `None` where none are kept.
    unheard: Option<Unheard>,
    /// The end of the task that owns all others. That is a task of its own, and not a part of
    /// [`Capsule::shutdown`], so that it goes on when nobody waits for it.
    ended: Shared<BoxFuture<'static, Drained>>,
}

/// A pool as the capsule holds it.
#[derive(Clone)]
struct PoolHandle {
    wanted: Wanted,
    wake: mpsc::UnboundedSender<Wake>,
    state: watch::Receiver<PoolState>,
}

/// In the order in which they end.
struct Tasks {
    listening: JoinSet<()>,
    cron: JoinHandle<()>,
    janitor: JoinHandle<()>,
    schedulers: JoinSet<Vec<JobId>>,
    settler: Settler,
    continuer: Option<Continuer>,
    heart: JoinHandle<()>,
    heart_stop: CancellationToken,
    troubles: Troubles,
}

impl Tasks {
    /// Waits for `stop`, and then for all of them.
    async fn end(mut self, stop: CancellationToken) -> Drained {
        stop.cancelled().await;
        if let Err(error) = self.cron.await {
            self.troubles.panicked("cron", error);
        }
        if let Err(error) = self.janitor.await {
            self.troubles.panicked("the janitor", error);
        }
        let mut cut_off = Vec::new();
        while let Some(ended) = self.schedulers.join_next().await {
            match ended {
                Ok(jobs) => cut_off.extend(jobs),
                Err(error) => self.troubles.panicked("a scheduler", error),
            }
        }
        self.listening.shutdown().await;
        self.settler.finish().await;
        if let Some(continuer) = self.continuer {
            continuer.finish().await;
        }
        // Last, so that the process is known for as long as it holds a job.
        self.heart_stop.cancel();
        if let Err(error) = self.heart.await {
            self.troubles.panicked("the heartbeat", error);
        }
        if !cut_off.is_empty() {
            let what = format!("these jobs were not waited for and are put back: {cut_off:?}");
            self.troubles.report(Trouble::new(TroubleKind::JobsCutOff, what));
        }
        Drained { cut_off }
    }
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
        let handlers: Handlers = handlers.into();
        let backend = backend.into();
        let callbacks = backend.callbacks().clone().and(handlers.defaults().clone());
        let backend = backend.with_callbacks(callbacks);
        let (store, troubles) = (Arc::clone(backend.store()), backend.troubles().clone());
        handlers.on_error().into_iter().for_each(|hook| troubles.tell(Arc::clone(hook)));
        let adapter = Adapter::new(backend.clone()).with_hooks(handlers.enqueue_hooks().clone());
        let handlers = Arc::new(handlers);
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        panics::keep_locations();

        let states: Vec<watch::Sender<PoolState>> =
            config.pools.iter().map(|_| watch::Sender::default()).collect();
        let reports: Vec<_> = states.iter().map(watch::Sender::subscribe).collect();
        let janitor = Janitor::new(config.cleanup, &backend, reports.clone());
        let clock = Clock::system();
        let cron = Manager::new(config.cron.clone(), &backend, &clock)?;
        let heart = Heart::new(&config, &handlers, &backend, clock.clone(), reports);
        heart.beat().await?;

        let (store, continuer, unheard) = follow(store, &backend, &config, &stop, &cut);
        let followed = backend.clone().with_store(Arc::clone(&store));
        let settler = Settler::start(&followed, cut.clone(), config.slots());
        let performer = Arc::new(Performer {
            handlers: Arc::clone(&handlers),
            max_interruptions: config.max_interruptions,
            defaults: config.defaults(),
            cancel_grace: config.cancel_grace,
            scene: Scene {
                adapter: adapter.clone(),
                stopping: stop.clone(),
                preserve: config.preserve,
            },
            troubles: troubles.clone(),
            cut: cut.clone(),
        });
        let common = Common {
            clock,
            store,
            troubles: troubles.clone(),
            performer,
            settler: settler.handle(),
            max_cache: config.max_cache,
            poll_interval: config.poll_interval,
        };
        let mut schedulers = JoinSet::new();
        let mut pools = Vec::new();
        for (pool, state) in config.pools.iter().zip(states) {
            let wanted = Wanted { queues: pool.queues.clone(), classes: handlers.classes() };
            let (wake, wakes) = mpsc::unbounded_channel();
            pools.push(PoolHandle { wanted: wanted.clone(), wake, state: state.subscribe() });
            let scheduler = Scheduler::new(pool.max_threads, wanted, common.clone(), wakes, state);
            schedulers.spawn(scheduler.run(stop.clone(), cut.clone()));
        }

        let listening = listen(Arc::clone(backend.notifier()), pools.clone(), stop.clone());
        let janitor = tokio::spawn(janitor.run(stop.clone()));
        let cron = tokio::spawn(cron.run(stop.clone()));
        let heart_stop = CancellationToken::new();
        let process = heart.id();
        let heart = tokio::spawn(heart.run(heart_stop.clone()));
        let backlog = settler.backlog();
        let tasks = Tasks {
            listening,
            cron,
            janitor,
            schedulers,
            settler,
            continuer,
            heart,
            heart_stop,
            troubles,
        };
        let ended = tokio::spawn(tasks.end(stop.clone()));
        let ended = ended.map(Result::unwrap_or_default).boxed().shared();
        let inner = Inner { process, adapter, pools, stop, cut, backlog, unheard, ended };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The id of this process in the store.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.inner.process
    }

    /// Enqueues into the store that this capsule works on, with the hooks of its registry.
    #[must_use]
    pub fn adapter(&self) -> &Adapter {
        &self.inner.adapter
    }

    /// What each pool is doing, in the order of the configuration.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolState> {
        self.inner.pools.iter().map(|pool| pool.state.borrow().clone()).collect()
    }

    /// Whether a shutdown has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.inner.stop.is_cancelled()
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
        loop {
            // An outcome that is not written yet may make its job due again, or a callback of its batch.
            self.written().await;
            let performed = self.performed();
            for pool in &self.inner.pools {
                let (answer, heard) = oneshot::channel();
                // A pool that has stopped drops the question: it will find nothing more.
                let _ = pool.wake.send(Wake::Ask(answer));
                let _ = heard.await;
            }
            self.written().await;
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
        self.inner.stop.cancel();
        let ended = self.inner.ended.clone();
        match mode {
            Shutdown::Forever => {}
            Shutdown::Now => self.inner.cut.cancel(),
            Shutdown::After(patience) => {
                if let Ok(drained) = tokio::time::timeout(patience, ended.clone()).await {
                    return drained;
                }
                self.inner.cut.cancel();
            }
        }
        ended.await
    }

    /// Ends the waiting of a [`shutdown`](Self::shutdown) that is under way, as a second signal does.
    pub fn hurry(&self) {
        self.inner.stop.cancel();
        self.inner.cut.cancel();
    }

    /// Waits until all that has ended is written, with what follows from it.
    async fn written(&self) {
        self.inner.backlog.written().await;
        if let Some(unheard) = &self.inner.unheard {
            unheard.told().await;
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
        f.debug_struct("Capsule").field("process", &self.inner.process).finish_non_exhaustive()
    }
}

/// The store by which jobs are claimed and settled, so that batches go on where there are some.
fn follow(
    store: Arc<dyn Store>,
    backend: &Backend,
    config: &Config,
    stop: &CancellationToken,
    cut: &CancellationToken,
) -> (Arc<dyn Store>, Option<Continuer>, Option<Unheard>) {
    let Some(batches) = backend.batches() else { return (store, None, None) };
    let (batches, callbacks) = (Arc::clone(batches), backend.callbacks().clone());
    let (stop, cut) = (stop.clone(), cut.clone());
    let (store, continuer, unheard) =
        Continuer::start(store, batches, callbacks, config.batch_sweep, stop, cut);
    (store, Some(continuer), Some(unheard))
}

/// Hears notices until `stop`, and passes them on.
fn listen(
    notifier: Arc<dyn Notifier>,
    pools: Vec<PoolHandle>,
    stop: CancellationToken,
) -> JoinSet<()> {
    let (heard, signals) = mpsc::channel(256);
    let mut listening = JoinSet::new();
    listening.spawn(async move { notifier.listen(heard, stop).await });
    listening.spawn(route(signals, pools));
    listening
}

/// Passes each notice on to every pool that wants its queue. The gem stops at the first pool that
/// takes it; telling all costs a search that finds nothing, and needs no answer from a busy pool.
async fn route(mut signals: mpsc::Receiver<Signal>, pools: Vec<PoolHandle>) {
    while let Some(signal) = signals.recv().await {
        for PoolHandle { wanted, wake, .. } in &pools {
            let message = match &signal {
                Signal::Resync => Wake::Resync,
                Signal::Notice(notice) => {
                    if notice.queue.is_some() && !wanted.queues.matches(notice.queue.as_deref()) {
                        continue;
                    }
                    notice.at.map_or(Wake::Now, Wake::At)
                }
            };
            // A scheduler that has ended wants no more notices.
            let _ = wake.send(message);
        }
    }
}
