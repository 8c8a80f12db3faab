//! What runs between a start and a stop of a capsule: its tasks, begun and ended in order.

use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::backlog::Backlog;
use super::continuer::{Continuer, Unheard};
use super::heart::Heart;
use super::janitor::Janitor;
use super::meter::Meter;
use super::performer::Performer;
use super::scheduler::{Common, PoolState, Scheduler, Wake};
use super::settler::Settler;
use super::{Drained, panics};
use crate::adapter::Adapter;
use crate::backend::Backend;
use crate::clock::Clock;
use crate::config::Config;
use crate::cron::Manager;
use crate::ids::{JobId, ProcessId};
use crate::job::{Handlers, Scene};
use crate::notifier::Signal;
use crate::store::{Store, StoreError, Wanted};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// What runs between a start and a stop.
pub(super) struct Running {
    pub(super) process: ProcessId,
    /// The process of the operating system that it was started in.
    pub(super) pid: u32,
    /// By which jobs are claimed and settled. It goes with the tasks: what follows batches waits for that.
    pub(super) store: Weak<dyn Store>,
    pub(super) pools: Vec<PoolHandle>,
    /// The tasks without which this is no worker.
    pub(super) loops: Vec<AbortHandle>,
    pub(super) performer: Arc<Performer>,
    /// No new work.
    pub(super) stop: CancellationToken,
    /// No more waiting for running work.
    pub(super) cut: CancellationToken,
    pub(super) backlog: Backlog,
    /// Batches that have to go on; `None` where none are kept.
    pub(super) unheard: Option<Unheard>,
    /// The end of the task that owns all others. That is a task of its own, and not a part of
    /// [`Capsule::shutdown`], so that it goes on when nobody waits for it.
    pub(super) ended: Shared<BoxFuture<'static, Drained>>,
}

/// A pool as the capsule holds it.
#[derive(Clone)]
pub(super) struct PoolHandle {
    wanted: Wanted,
    pub(super) wake: mpsc::UnboundedSender<Wake>,
    pub(super) state: watch::Receiver<PoolState>,
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
            continuer.finish(&self.troubles).await;
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

impl Running {
    pub(super) async fn start(
        config: &Config,
        handlers: &Arc<Handlers>,
        adapter: &Adapter,
    ) -> Result<Self, StoreError> {
        let backend = adapter.backend();
        let troubles = backend.troubles().clone();
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        panics::keep_locations();

        let states: Vec<watch::Sender<PoolState>> =
            config.pools.iter().map(|_| watch::Sender::default()).collect();
        let reports: Vec<_> = states.iter().map(watch::Sender::subscribe).collect();
        let janitor = Janitor::new(config.cleanup, backend, reports.clone());
        let clock = Clock::system();
        let cron = Manager::new(config.cron.clone(), adapter, &clock)?;
        let heart = Heart::new(config, handlers, backend, clock.clone(), reports);
        // The last wait: who stops waiting for a start leaves nothing running.
        heart.beat().await?;

        let (store, continuer, unheard) = follow(backend, config, &stop, &cut);
        let followed = backend.clone().with_store(Arc::clone(&store));
        let meter = Arc::new(Meter::of(&handlers.classes()));
        let settler = Settler::start(&followed, cut.clone(), config.slots(), Arc::clone(&meter));
        let performer = Arc::new(Performer {
            handlers: Arc::clone(handlers),
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
        let claiming = Arc::downgrade(&store);
        let common = Common {
            clock,
            store,
            troubles: troubles.clone(),
            performer: Arc::clone(&performer),
            settler: settler.handle(),
            max_cache: config.max_cache,
            poll_interval: config.poll_interval,
        };
        let mut schedulers = JoinSet::new();
        let mut pools = Vec::new();
        let mut loops = vec![settler.task()];
        for (pool, state) in config.pools.iter().zip(states) {
            let wanted = Wanted { queues: pool.queues.clone(), classes: handlers.classes() };
            let (wake, wakes) = mpsc::unbounded_channel();
            pools.push(PoolHandle { wanted: wanted.clone(), wake, state: state.subscribe() });
            let scheduler = Scheduler::new(pool.max_threads, wanted, common.clone(), wakes, state);
            loops.push(schedulers.spawn(scheduler.run(stop.clone(), cut.clone())));
        }

        let mut listening = JoinSet::new();
        let (heard, signals) = mpsc::channel(256);
        let (notifier, until) = (Arc::clone(backend.notifier()), stop.clone());
        loops.push(listening.spawn(async move { notifier.listen(heard, until).await }));
        loops.push(listening.spawn(route(signals, pools.clone(), meter)));
        let janitor = tokio::spawn(janitor.run(stop.clone()));
        let cron = tokio::spawn(cron.run(stop.clone()));
        // Without entries it has nothing to do, and ends.
        loops.extend((!config.cron.entries.is_empty()).then(|| cron.abort_handle()));
        let heart_stop = CancellationToken::new();
        let process = heart.id();
        let heart = tokio::spawn(heart.run(heart_stop.clone()));
        loops.push(heart.abort_handle());
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
        let pid = std::process::id();
        Ok(Self {
            process,
            pid,
            store: claiming,
            pools,
            loops,
            performer,
            stop,
            cut,
            backlog,
            unheard,
            ended,
        })
    }

    /// Whether this process was forked off the one that it was started in. Its tasks did not come along.
    pub(super) fn is_the_parents(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Waits until all that has ended is written, with what follows from it.
    pub(super) async fn written(&self) {
        self.backlog.written().await;
        if let Some(unheard) = &self.unheard {
            unheard.told().await;
        }
    }
}

/// The store by which jobs are claimed and settled, so that batches go on where there are some.
fn follow(
    backend: &Backend,
    config: &Config,
    stop: &CancellationToken,
    cut: &CancellationToken,
) -> (Arc<dyn Store>, Option<Continuer>, Option<Unheard>) {
    let store = Arc::clone(backend.store());
    let Some(batches) = backend.batches() else { return (store, None, None) };
    let (batches, callbacks) = (Arc::clone(batches), backend.callbacks().clone());
    let (stop, cut, troubles) = (stop.clone(), cut.clone(), backend.troubles().clone());
    let (store, continuer, unheard) =
        Continuer::start(store, batches, callbacks, troubles, config.batch_sweep, stop, cut);
    (store, Some(continuer), Some(unheard))
}

/// Passes each notice on to every pool that wants its queue. The gem stops at the first pool that
/// takes it; telling all costs a search that finds nothing, and needs no answer from a busy pool.
async fn route(mut signals: mpsc::Receiver<Signal>, pools: Vec<PoolHandle>, meter: Arc<Meter>) {
    while let Some(signal) = signals.recv().await {
        if matches!(signal, Signal::Notice(_)) {
            meter.noticed();
        }
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
