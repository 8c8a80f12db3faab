//! The heartbeat that keeps this process alive in the eyes of others.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::scheduler::PoolState;
use crate::backend::Backend;
use crate::clock::Clock;
use crate::config::Config;
use crate::ids::ProcessId;
use crate::job::{Handlers, Unhandled};
use crate::store::{PoolReport, ProcessRecord, Store, StoreError};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// Beats until it is told to stop, then leaves.
pub(crate) struct Heart {
    record: ProcessRecord,
    pools: Vec<watch::Receiver<PoolState>>,
    store: Arc<dyn Store>,
    troubles: Troubles,
    clock: Clock,
    every: Duration,
}

impl Heart {
    pub(crate) fn new(
        config: &Config,
        handlers: &Handlers,
        backend: &Backend,
        clock: Clock,
        pools: Vec<watch::Receiver<PoolState>>,
    ) -> Self {
        let reports = config.pools.iter().map(|pool| PoolReport {
            queues: pool.queues.to_string(),
            max_threads: pool.max_threads.get(),
            active: 0,
            max_cache: config.max_cache,
            cached: 0,
            empty: 0,
            succeeded: 0,
            errored: 0,
            last_execution_at: None,
            last_search_at: None,
        });
        let record = ProcessRecord {
            classes: handlers.classes(),
            retry_on_unhandled_error: config.unhandled == Unhandled::RetryAtOnce,
            preserve: config.preserve,
            cron_enabled: !config.cron.entries.is_empty(),
            pools: reports.collect(),
            ..ProcessRecord::new(config.title.clone())
        };
        let (store, troubles) = (Arc::clone(backend.store()), backend.troubles().clone());
        Self { record, pools, store, troubles, clock, every: config.heartbeat }
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.record.id
    }

    pub(crate) async fn beat(&self) -> Result<(), StoreError> {
        let now = self.store.beat(&self.present()).await?;
        let off = self.clock.follow(now);
        if off.abs() > chrono::TimeDelta::seconds(2) {
            let what =
                format!("this host's clock differs by {off} from the store's, whose time counts");
            self.troubles.report(Trouble::new(TroubleKind::ClockOff, what));
        }
        Ok(())
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut beats = interval_at(Instant::now() + self.every, self.every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = beats.tick() => {}
            }
            if let Err(error) = self.beat().await {
                let trouble = Trouble::new(TroubleKind::HeartbeatMissed, "a heartbeat was missed");
                self.troubles.report(trouble.because(error));
            }
        }
        if let Err(error) = self.store.leave(&self.present()).await {
            let what = "the process record stays behind and will expire";
            let trouble = Trouble::new(TroubleKind::HeartbeatMissed, what);
            self.troubles.report(trouble.because(error));
        }
    }

    fn present(&self) -> ProcessRecord {
        let mut record = self.record.clone();
        record.memory_kb = memory_kb();
        for (report, state) in record.pools.iter_mut().zip(&self.pools) {
            let state = state.borrow();
            report.active = state.active;
            report.cached = state.cached;
            report.empty = state.empty;
            report.succeeded = state.succeeded;
            report.errored = state.errored;
            report.last_execution_at = state.last_execution_at;
            report.last_search_at = state.last_search_at;
        }
        record
    }
}

/// `Pss` of `/proc/self/smaps_rollup`, as the gem measures itself.
fn memory_kb() -> u64 {
    let measured = || {
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
        let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    measured().unwrap_or(0)
}
