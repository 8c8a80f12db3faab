//! Switches of cron entries and their last ticks, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::cron::{CronStore, CronSwitches};
use crate::store::{JobRecord, StoreError};

#[async_trait]
impl CronStore for MemoryStore {
    async fn cron_switches(&self) -> Result<CronSwitches, StoreError> {
        Ok(self.rows().cron.clone())
    }

    async fn enable_cron(&self, key: &str) -> Result<(), StoreError> {
        let switches = &mut self.rows().cron;
        switches.disabled.remove(key);
        switches.enabled.insert(key.to_owned());
        Ok(())
    }

    async fn disable_cron(&self, key: &str) -> Result<(), StoreError> {
        let switches = &mut self.rows().cron;
        switches.enabled.remove(key);
        switches.disabled.insert(key.to_owned());
        Ok(())
    }

    async fn last_ticks(&self, keys: &[String]) -> Result<Vec<JobRecord>, StoreError> {
        let rows = self.rows();
        let mut last = BTreeMap::new();
        for job in rows.jobs.values() {
            let Some(tick) = job.ties.tick.as_ref().filter(|tick| keys.contains(&tick.key)) else {
                continue;
            };
            let Some(at) = tick.at else { continue };
            let newest = last.entry(&tick.key).or_insert((at, job));
            if newest.0 < at {
                *newest = (at, job);
            }
        }
        Ok(last.into_values().map(|(_, job)| job.clone()).collect())
    }
}
