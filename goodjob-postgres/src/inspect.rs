//! Reads of jobs by tests and tools.

use async_trait::async_trait;
use goodjob_core::{ExecutionRecord, Inspect, JobId, JobRecord, StoreError};

use crate::error::store_error;
use crate::store::PgStore;
use crate::{rows, sql};

#[async_trait]
impl Inspect for PgStore {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        let row = sqlx::query(self.sql(sql::JOB))
            .bind(id.as_uuid())
            .fetch_optional(self.pool())
            .await
            .map_err(store_error)?;
        row.as_ref().map(rows::job).transpose().map_err(store_error)
    }

    async fn executions(&self, id: JobId) -> Result<Vec<ExecutionRecord>, StoreError> {
        let rows = sqlx::query(self.sql(sql::EXECUTIONS))
            .bind(id.as_uuid())
            .fetch_all(self.pool())
            .await
            .map_err(store_error)?;
        rows.iter().map(rows::execution).collect::<Result<_, _>>().map_err(store_error)
    }

    async fn all_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let rows = sqlx::query(self.sql(sql::ALL_JOBS)).fetch_all(self.pool()).await;
        rows.map_err(store_error)?
            .iter()
            .map(rows::job)
            .collect::<Result<_, _>>()
            .map_err(store_error)
    }
}
