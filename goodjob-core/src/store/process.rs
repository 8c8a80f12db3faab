//! A process as the store keeps it, for others to see.

use crate::clock::Timestamp;
use crate::host::HostIdentity;
use crate::ids::ProcessId;
use crate::job::Preserve;

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
    /// Which finished jobs keep their row.
    pub preserve: Preserve,
    /// Whether it enqueues the ticks of cron entries.
    pub cron_enabled: bool,
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
            preserve: Preserve::Always,
            cron_enabled: false,
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
