//! How a capsule runs: what was typed, decoded once and validated. Nothing here is optional that has
//! a default.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::cron::Cron;
use crate::job::{Defaults, Preserve, Unhandled};
use crate::queue::{Pool, Pools};
use crate::store::Retention;

/// Slots of a pool that names no number: 5, as the gem's `max_threads`.
pub const DEFAULT_MAX_THREADS: NonZeroUsize = NonZeroUsize::new(5).unwrap();
/// Time between polls: 10 s, as the gem.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Due times that a pool keeps in memory: 10,000, as the gem.
pub const DEFAULT_MAX_CACHE: usize = 10_000;
/// Attempts in a row that may end without an outcome before the job is discarded.
pub const DEFAULT_MAX_INTERRUPTIONS: u32 = 3;
/// Time between heartbeats. The gem takes a process for dead after 5 minutes without one.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a cancelled attempt may take to wind up before it is dropped.
pub const DEFAULT_CANCEL_GRACE: Duration = Duration::from_secs(2);
/// Attempts that a pool ends between clean-ups: 1,000, as in the gem.
pub const DEFAULT_CLEANUP_INTERVAL_JOBS: u64 = 1_000;
/// Time between clean-ups: 10 minutes, as in the gem.
pub const DEFAULT_CLEANUP_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Time between looks for batches whose continuation was lost with its process. One that is found twice
/// goes on.
pub const DEFAULT_BATCH_SWEEP: Duration = Duration::from_secs(15);

/// How a [`Capsule`](crate::Capsule) runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The pools; each runs its own jobs in its own slots.
    pub pools: Vec<Pool>,
    /// Time between polls; `None` switches polling off, and then a lost notice is a late job.
    pub poll_interval: Option<Duration>,
    /// Due times of future jobs that each pool keeps in memory; 0 leaves them to the polls.
    pub max_cache: usize,
    /// Attempts in a row that may end without an outcome; 0 is no limit, as in the gem.
    pub max_interruptions: u32,
    /// What follows an error that no rule matched.
    pub unhandled: Unhandled,
    /// Which finished jobs keep their row, where the policy of a class says nothing.
    pub preserve: Preserve,
    /// When kept jobs are deleted after all.
    pub cleanup: Cleanup,
    /// Jobs that are enqueued at times. No entries, no cron.
    pub cron: Cron,
    /// Time between looks for batches whose continuation was lost; `None` leaves them to other processes.
    pub batch_sweep: Option<Duration>,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// How long a cancelled attempt may take to wind up before it is dropped.
    pub cancel_grace: Duration,
    /// What the process is called in `good_job_processes`.
    pub title: String,
}

impl Default for Config {
    /// The gem's defaults: one pool of 5 for every queue, a poll each 10 s.
    fn default() -> Self {
        Self {
            pools: Pools::default().with_default(DEFAULT_MAX_THREADS),
            poll_interval: Some(DEFAULT_POLL_INTERVAL),
            max_cache: DEFAULT_MAX_CACHE,
            max_interruptions: DEFAULT_MAX_INTERRUPTIONS,
            unhandled: Unhandled::Discard,
            preserve: Preserve::Always,
            cleanup: Cleanup::default(),
            cron: Cron::default(),
            batch_sweep: Some(DEFAULT_BATCH_SWEEP),
            heartbeat: DEFAULT_HEARTBEAT,
            cancel_grace: DEFAULT_CANCEL_GRACE,
            title: "goodjob".to_owned(),
        }
    }
}

impl Config {
    /// How many jobs run at once over all pools.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.pools.iter().map(|pool| pool.max_threads.get()).sum()
    }

    /// What holds for a job whose policy says nothing.
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults { unhandled: self.unhandled, preserve: self.preserve }
    }
}

/// When a capsule deletes finished jobs. It looks each time that an attempt ends, though not more often
/// than once a second, and cleans up for the first reason that it finds; an idle one does not clean up.
///
/// ```
/// use std::time::Duration;
/// use goodjob_core::{Cleanup, Config, Retention};
/// // Two days are enough, but what went wrong stays.
/// let retention =
///     Retention { age: Duration::from_secs(2 * 24 * 60 * 60), keep_discarded: true };
/// let config = Config { cleanup: Cleanup { retention, ..Cleanup::default() }, ..Config::default() };
/// # drop(config);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// What is left alone.
    pub retention: Retention,
    /// Clean up when a pool has ended more attempts than this since the last time: 0 is at every
    /// look, `None` never for this reason.
    pub interval_jobs: Option<u64>,
    /// Clean up when the last time, or the start, was this long ago: zero is at every look, `None`
    /// never for this reason.
    pub interval: Option<Duration>,
}

impl Cleanup {
    /// No clean-up by this process.
    pub const OFF: Self = Self {
        retention: Retention { age: Retention::DEFAULT_AGE, keep_discarded: false },
        interval_jobs: None,
        interval: None,
    };
}

impl Default for Cleanup {
    /// The gem's: after 1,000 attempts or 10 minutes, what ended 14 days ago.
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            interval_jobs: Some(DEFAULT_CLEANUP_INTERVAL_JOBS),
            interval: Some(DEFAULT_CLEANUP_INTERVAL),
        }
    }
}

/// How long a shutdown waits for running jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shutdown {
    /// Until the last one has ended. The default, as in the gem.
    #[default]
    Forever,
    /// This long; what still runs is then cut off and put back.
    After(Duration),
    /// Not at all.
    Now,
}
