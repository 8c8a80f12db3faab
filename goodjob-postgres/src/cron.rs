//! Which entries of cron a person has switched on or off, and their last ticks.

use async_trait::async_trait;
use goodjob_core::{CronStore, CronSwitches, JobRecord, StoreError};

use crate::error::{commit_error, store_error};
use crate::sessions::{DEADLINE, within};
use crate::store::PgStore;
use crate::{rows, sql};

#[async_trait]
impl CronStore for PgStore {
    async fn cron_switches(&self) -> Result<CronSwitches, StoreError> {
        let query = sqlx::query_as(self.sql(sql::CRON_SWITCHES));
        let (enabled, disabled): (Vec<String>, Vec<String>) =
            within(DEADLINE, query.fetch_one(self.pool())).await.map_err(store_error)?;
        Ok(CronSwitches {
            enabled: enabled.into_iter().collect(),
            disabled: disabled.into_iter().collect(),
        })
    }

    async fn enable_cron(&self, key: &str) -> Result<(), StoreError> {
        self.switch(key, "cron_keys_enabled").await
    }

    async fn disable_cron(&self, key: &str) -> Result<(), StoreError> {
        self.switch(key, "cron_keys_disabled").await
    }

    async fn last_ticks(&self, keys: &[String]) -> Result<Vec<JobRecord>, StoreError> {
        let query = sqlx::query(self.sql(sql::CRON_LAST_TICKS)).bind(keys);
        let rows = within(DEADLINE, query.fetch_all(self.pool())).await.map_err(store_error)?;
        rows.iter().map(rows::job).collect::<Result<_, _>>().map_err(store_error)
    }
}

impl PgStore {
    /// Puts a key into one of the two lists, and takes it out of the other.
    async fn switch(&self, key: &str, list: &str) -> Result<(), StoreError> {
        sqlx::query(self.sql(sql::CRON_SWITCH))
            .bind(key)
            .bind(list)
            .execute(self.pool())
            .await
            .map_err(commit_error)?;
        Ok(())
    }
}
