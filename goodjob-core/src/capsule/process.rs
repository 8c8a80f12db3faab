//! This process as others see it: its record, and the heartbeat that keeps it alive.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::scheduler::PoolState;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::ids::ProcessId;
use crate::job::{Handlers, Unhandled};
use crate::store::{Store, StoreError};

/// What a process says about itself at each heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessRecord {
    /// Fresh at each start, never derived from the host.
    pub id: ProcessId,
    /// Where it runs.
    pub host: HostIdentity,
    /// What it is called.
    pub title: String,
    /// Memory in use in kB: proportional set size on Linux, 0 where it is not known.
    pub memory_kb: u64,
    /// The classes that it can do.
    pub classes: Vec<String>,
    /// Whether unhandled errors are retried at once.
    pub retry_on_unhandled_error: bool,
    /// Its pools.
    pub pools: Vec<PoolReport>,
}

impl ProcessRecord {
    /// A record for a process without pools, as tests and tools need.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            id: ProcessId::generate(),
            host: HostIdentity::here(),
            title: title.into(),
            memory_kb: 0,
            classes: Vec::new(),
            retry_on_unhandled_error: false,
            pools: Vec::new(),
        }
    }
}

/// A pool as a process reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolReport {
    /// Its queues, in the grammar of queue strings.
    pub queues: String,
    /// Its slots.
    pub max_threads: usize,
    /// Jobs running now.
    pub active: usize,
    /// Due times that it may keep.
    pub max_cache: usize,
    /// Due times that it keeps.
    pub cached: usize,
    /// Searches that found nothing.
    pub empty: u64,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that did not.
    pub errored: u64,
    /// When the last attempt ended.
    pub last_execution_at: Option<Timestamp>,
    /// When the last search ended.
    pub last_search_at: Option<Timestamp>,
}

/// Names a process of an operating system so well that a neighbour on the same machine can tell
/// whether it is gone: the pid alone is reused, and means nothing in another container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIdentity {
    /// The host's name.
    pub hostname: String,
    /// The process id.
    pub pid: u32,
    /// The machine's present boot and the process's pid namespace; Linux only.
    pub scope: Option<String>,
    /// When the process started, in clock ticks since boot; Linux only.
    pub started: Option<u64>,
}

impl HostIdentity {
    /// This process.
    #[must_use]
    pub fn here() -> Self {
        let pid = std::process::id();
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { hostname, pid, scope: scope(), started: started(pid) }
    }

    /// Whether the process is certainly gone. False when that cannot be known from here.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match (&self.scope, scope(), self.started) {
            (Some(theirs), Some(ours), Some(started_at)) if *theirs == ours => {
                started(self.pid) != Some(started_at)
            }
            _ => false,
        }
    }
}

fn scope() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Field 22 of `/proc/PID/stat`, counted from behind the command name, which may hold anything.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // A zombie holds nothing any more; only its parent has not looked yet.
    (state != "Z").then(|| fields.nth(18)?.parse().ok()).flatten()
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

/// Beats until it is told to stop, then leaves.
pub(crate) struct Heart {
    record: ProcessRecord,
    pools: Vec<watch::Receiver<PoolState>>,
    store: Arc<dyn Store>,
    clock: Clock,
    every: Duration,
}

impl Heart {
    pub(crate) fn new(
        config: &Config,
        handlers: &Handlers,
        store: Arc<dyn Store>,
        clock: Clock,
        pools: &[watch::Receiver<PoolState>],
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
            pools: reports.collect(),
            ..ProcessRecord::new(config.title.clone())
        };
        Self { record, pools: pools.to_vec(), store, clock, every: config.heartbeat }
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.record.id
    }

    pub(crate) async fn beat(&self) -> Result<(), StoreError> {
        let now = self.store.beat(&self.present()).await?;
        let off = self.clock.follow(now);
        if off.abs() > chrono::TimeDelta::seconds(2) {
            tracing::warn!(%off, "this host's clock differs from the store's, whose time counts");
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
                tracing::warn!(%error, "a heartbeat was missed");
            }
        }
        if let Err(error) = self.store.leave(&self.present()).await {
            tracing::warn!(%error, "the process record stays behind and will expire");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_when_its_pid_is_another_ones() {
        let here = HostIdentity::here();
        assert!(!here.is_gone());
        if here.scope.is_some() {
            assert!(
                HostIdentity { started: here.started.map(|t| t + 1), ..here.clone() }.is_gone()
            );
        }
        let elsewhere = HostIdentity { scope: Some("elsewhere".into()), pid: 0, ..here };
        assert!(!elsewhere.is_gone(), "what happens on another machine is not known");
    }
}
