//! How long finished jobs are kept, and what a clean-up deleted.

use std::ops::AddAssign;
use std::time::Duration;

/// What a clean-up leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long a job is kept after its end, by the store's clock.
    pub age: Duration,
    /// Whether jobs that ended with an error are kept for ever, and batches with such a job.
    pub keep_discarded: bool,
}

impl Retention {
    /// 14 days, as in the gem.
    pub const DEFAULT_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
}

impl Default for Retention {
    /// [`DEFAULT_AGE`](Self::DEFAULT_AGE), and no longer for those that ended with an error.
    fn default() -> Self {
        Self { age: Self::DEFAULT_AGE, keep_discarded: false }
    }
}

/// How many rows a clean-up deleted, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Jobs.
    pub jobs: u64,
    /// Their attempts.
    pub executions: u64,
    /// Batches.
    pub batches: u64,
}

impl Cleaned {
    /// Whether there was nothing to delete.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it was cut short by the limit, so that there is more to delete.
    #[must_use]
    pub fn is_full(&self, limit: usize) -> bool {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        self.jobs >= limit || self.batches >= limit
    }
}

impl AddAssign for Cleaned {
    fn add_assign(&mut self, more: Self) {
        self.jobs += more.jobs;
        self.executions += more.executions;
        self.batches += more.batches;
    }
}
