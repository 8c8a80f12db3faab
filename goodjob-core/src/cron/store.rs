//! What cron asks of a store beyond its jobs: which entries a person has switched, and their last ticks.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::entry::CronEntry;
use crate::store::{JobRecord, StoreError};

/// Keeps the switches of cron entries, for all processes. Ticks themselves are stored as any job is:
/// [`Store::insert`](crate::Store::insert) leaves one alone that is there.
///
/// A custom backend without it has no cron; see [`Backend::with_cron`](crate::Backend::with_cron).
#[async_trait]
pub trait CronStore: Send + Sync {
    /// Which entries were switched on or off by a person. Asked at every tick.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn cron_switches(&self) -> Result<CronSwitches, StoreError>;

    /// Switches an entry on, whatever its default. Keeps what others change at the same time.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn enable_cron(&self, key: &str) -> Result<(), StoreError>;

    /// Switches an entry off, whatever its default. Keeps what others change at the same time.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn disable_cron(&self, key: &str) -> Result<(), StoreError>;

    /// The job of the last tick of each of these keys that has any, in no order.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn last_ticks(&self, keys: &[String]) -> Result<Vec<JobRecord>, StoreError>;
}

/// The entries that a person has switched, as the gem keeps them: `cron_keys_enabled` and
/// `cron_keys_disabled` (wire contract 8.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CronSwitches {
    /// Keys that were switched on.
    pub enabled: BTreeSet<String>,
    /// Keys that were switched off.
    pub disabled: BTreeSet<String>,
}

impl CronSwitches {
    /// Whether an entry is on: by default unless it was switched off, and an entry that is
    /// [`disabled_by_default`](CronEntry::disabled_by_default) only when it was switched on.
    #[must_use]
    pub fn is_enabled(&self, entry: &CronEntry) -> bool {
        match entry.is_enabled_by_default() {
            true => !self.disabled.contains(entry.key()),
            false => self.enabled.contains(entry.key()),
        }
    }
}
