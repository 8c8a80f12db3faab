//! The limit: one connection that does a worker's and an adapter's work in raw statements, without an engine.

use goodjob_core::{JobId, Payload, StoreError};
use sqlx::postgres::PgConnectOptions;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::store_error;
use crate::options::{BY_INDEX, PgOptions};
use crate::sql;
use crate::store::PgStore;
use crate::unlock::unlock;

/// Raw SQL of the same work on one connection: what Postgres itself can do for jobs of one queue and class.
///
/// It is no way to run jobs: it heeds no pauses, classes or priorities, counts no interruptions, and fences
/// nothing. A connection that is dropped between a claim and its end gives its locks back with its session.
#[derive(Debug)]
pub struct Bare {
    connection: PgConnection,
    dialect: Dialect,
    options: PgOptions,
    queue: String,
    class: String,
    process: Uuid,
}

impl Bare {
    /// Connects to where `store` is, to work on jobs of this class in this queue.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(store: &PgStore, queue: &str, class: &str) -> Result<Self, StoreError> {
        let connect = store.options().connect.clone();
        let connect: PgConnectOptions = connect.application_name("goodjob bench").options(BY_INDEX);
        Ok(Self {
            connection: PgConnection::connect_with(&connect).await.map_err(store_error)?,
            dialect: store.dialect(),
            options: store.options().clone(),
            queue: queue.to_owned(),
            class: class.to_owned(),
            process: Uuid::now_v7(),
        })
    }

    /// Claims and starts at most so many due jobs.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn claim(&mut self, most: usize) -> Result<Vec<JobId>, StoreError> {
        let (ids, _envelopes): (Vec<Uuid>, String) =
            sqlx::query_as(self.dialect.sql(sql::BENCH_CLAIM))
                .bind(i64::try_from(most).unwrap_or(i64::MAX))
                .bind(&self.queue)
                .bind(self.process)
                .fetch_one(&mut self.connection)
                .await
                .map_err(store_error)?;
        Ok(ids.into_iter().map(JobId::from).collect())
    }

    /// Ends claimed jobs as successes that are kept, each with its execution, and unlocks them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn finish(&mut self, jobs: &[JobId]) -> Result<(), StoreError> {
        let ids = uuids(jobs);
        sqlx::query(self.dialect.sql(sql::BENCH_FINISH))
            .bind(&ids)
            .bind(self.process)
            .execute(&mut self.connection)
            .await
            .map_err(store_error)?;
        self.unlock(&ids).await
    }

    /// Ends claimed jobs as successes that are not kept, and unlocks them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn delete(&mut self, jobs: &[JobId]) -> Result<(), StoreError> {
        let ids = uuids(jobs);
        sqlx::query(self.dialect.sql(sql::BENCH_DELETE))
            .bind(&ids)
            .execute(&mut self.connection)
            .await
            .map_err(store_error)?;
        self.unlock(&ids).await
    }

    async fn unlock(&mut self, ids: &[Uuid]) -> Result<(), StoreError> {
        unlock(&self.options, &self.dialect, ids)
            .execute(&mut self.connection)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    /// Stores a job and tells nobody.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn insert(&mut self, job: JobId, payload: &Payload) -> Result<(), StoreError> {
        self.insert_by(sql::BENCH_INSERT, job, payload).await
    }

    /// Stores a job and sends a notice in the same round trip.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn insert_and_notify(
        &mut self,
        job: JobId,
        payload: &Payload,
    ) -> Result<(), StoreError> {
        self.insert_by(sql::BENCH_INSERT_NOTIFY, job, payload).await
    }

    async fn insert_by(
        &mut self,
        statement: &'static str,
        job: JobId,
        payload: &Payload,
    ) -> Result<(), StoreError> {
        sqlx::query(self.dialect.sql(statement))
            .bind(job.as_uuid())
            .bind(&self.class)
            .bind(&self.queue)
            .bind(Json(payload))
            .execute(&mut self.connection)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    /// Stores many jobs in one statement and tells nobody.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn insert_many(&mut self, jobs: &[(JobId, Payload)]) -> Result<(), StoreError> {
        sqlx::query(self.dialect.sql(sql::BENCH_INSERT_MANY))
            .bind(jobs.iter().map(|(id, _)| id.as_uuid()).collect::<Vec<_>>())
            .bind(&self.class)
            .bind(&self.queue)
            .bind(jobs.iter().map(|(_, payload)| Json(payload)).collect::<Vec<_>>())
            .execute(&mut self.connection)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    /// Ends the session, and waits for the server to know.
    pub async fn close(self) {
        // One that is gone already needs no goodbye.
        let _ = self.connection.close().await;
    }
}

fn uuids(jobs: &[JobId]) -> Vec<Uuid> {
    jobs.iter().map(JobId::as_uuid).collect()
}
