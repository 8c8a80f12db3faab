//! Batches in Postgres: how they are stored, found, enqueued again and retried. How they go on is in
//! `batches/continuation.rs`.

mod continuation;
mod enqueue;

pub(crate) use continuation::Witnesses;
pub use enqueue::EnqueueBatchIn;

use async_trait::async_trait;
use goodjob_core::{
    BatchEnd, BatchId, BatchLook, BatchQuery, BatchRecord, BatchSpec, BatchState, BatchStore,
    BatchSummary, Callbacks, Inserted, JobId, NewBatch, NewJob, RetriedBatch, StoreError,
};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::{commit_error, store_error};
use crate::inserts;
use crate::jobs::{Acted, Action};
use crate::rows::{Moment, moment};
use crate::sessions::{DEADLINE, within};
use crate::sql;
use crate::store::{PgStore, in_time, unbroken};

/// Jobs of a batch that are retried in one transaction: each takes an entry in the server's table of locks.
const RETRIED_AT_ONCE: usize = 500;

/// Which time of a batch its enqueueing begins anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Anew {
    Enqueued,
    Retried,
}

#[async_trait]
impl BatchStore for PgStore {
    async fn insert_batches(&self, batches: &[NewBatch]) -> Result<Vec<Inserted>, StoreError> {
        let (store, batches) = (self.clone(), batches.to_vec());
        unbroken(async move {
            let mut tx = store.pool().begin().await.map_err(store_error)?;
            enqueue::insert_rows(&mut tx, &store.dialect(), &batches).await?;
            let (jobs, calls) = enqueue::jobs_of(&batches);
            let answers = insert_jobs(&mut tx, &store.dialect(), &jobs).await?;
            insert_jobs(&mut tx, &store.dialect(), &calls).await?;
            tx.commit().await.map_err(commit_error)?;
            Ok(answers)
        })
        .await
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, StoreError> {
        let query = sqlx::query(self.sql(sql::BATCH)).bind(id.as_uuid());
        let row = query.fetch_optional(self.pool()).await.map_err(store_error)?;
        row.as_ref().map(record).transpose().map_err(store_error)
    }

    async fn batches(&self, query: &BatchQuery) -> Result<Vec<BatchSummary>, StoreError> {
        let rows = sqlx::query(self.sql(sql::BATCHES))
            .bind(query.id.map(Uuid::from))
            .bind(query.state.map(BatchState::name))
            .bind(&query.description)
            .bind(query.after.map(Uuid::from))
            .bind(i64::from(query.limit))
            .fetch_all(self.pool())
            .await
            .map_err(store_error)?;
        rows.iter().map(summary).collect::<Result<_, _>>().map_err(store_error)
    }

    async fn update_batch(&self, id: BatchId, spec: &BatchSpec) -> Result<bool, StoreError> {
        let updated = sqlx::query(self.sql(sql::BATCH_UPDATE))
            .bind(id.as_uuid())
            .bind(&spec.description)
            .bind(&spec.properties)
            .bind(&spec.on_finish)
            .bind(&spec.on_success)
            .bind(&spec.on_discard)
            .bind(&spec.callback_queue)
            .bind(spec.callback_priority)
            .fetch_optional(self.pool())
            .await
            .map_err(commit_error)?;
        Ok(updated.is_some())
    }

    async fn enqueue_batch(
        &self,
        id: BatchId,
        jobs: &[NewJob],
        callbacks: &Callbacks,
    ) -> Result<Option<Vec<Inserted>>, StoreError> {
        let (store, jobs, callbacks) = (self.clone(), jobs.to_vec(), callbacks.clone());
        unbroken(async move { store.begin_anew(id, Anew::Enqueued, &jobs, &callbacks).await }).await
    }

    async fn go_on(&self, ended: &[BatchEnd], callbacks: &Callbacks) -> Result<(), StoreError> {
        let (store, ended, callbacks) = (self.clone(), ended.to_vec(), callbacks.clone());
        unbroken(async move { in_time(continuation::go_on(&store, &ended, &callbacks)).await })
            .await
    }

    async fn forget_jobs(&self, jobs: &[JobId]) -> Result<(), StoreError> {
        self.delete_finished(jobs).await.map(drop)
    }

    async fn retry_batch(
        &self,
        id: BatchId,
        callbacks: &Callbacks,
    ) -> Result<RetriedBatch, StoreError> {
        match self.batch(id).await? {
            None => return Ok(RetriedBatch::Gone),
            Some(batch) if !batch.is_discarded() => return Ok(RetriedBatch::NotDiscarded),
            Some(_) => {}
        }
        // Before the state begins anew: while the batch counts as it was, the end of a job that is retried
        // calls nobody, and the one that comes last is seen below.
        let query = sqlx::query_scalar(self.sql(sql::BATCH_DISCARDED)).bind(id.as_uuid());
        let discarded: Vec<Uuid> = query.fetch_all(self.pool()).await.map_err(store_error)?;
        let discarded: Vec<JobId> = discarded.into_iter().map(JobId::from).collect();
        let mut retried = 0;
        for jobs in discarded.chunks(RETRIED_AT_ONCE) {
            let acted = self.act(jobs, &Action::Retry).await?;
            retried += acted.iter().filter(|(_, acted)| *acted == Acted::Done).count();
        }
        let (store, callbacks) = (self.clone(), callbacks.clone());
        let anew =
            unbroken(async move { store.begin_anew(id, Anew::Retried, &[], &callbacks).await });
        Ok(match anew.await? {
            Some(_) => RetriedBatch::Retried { jobs: u64::try_from(retried).unwrap_or(u64::MAX) },
            None => RetriedBatch::Gone,
        })
    }

    async fn look_at_batches(
        &self,
        after: Option<BatchId>,
        limit: usize,
    ) -> Result<Vec<BatchLook>, StoreError> {
        let query = sqlx::query_as(self.sql(sql::BATCHES_LOOK))
            .bind(after.map(Uuid::from))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<(Uuid, Moment, bool)> =
            within(DEADLINE, query.fetch_all(self.pool())).await.map_err(store_error)?;
        let look = |(id, updated_at, stuck): (Uuid, Moment, bool)| BatchLook {
            id: id.into(),
            updated_at: updated_at.0,
            stuck,
        };
        Ok(rows.into_iter().map(look).collect())
    }
}

impl PgStore {
    /// Begins the state of a batch anew, stores these jobs, and has it go on, under its lock; `None` when it
    /// is not there.
    async fn begin_anew(
        &self,
        id: BatchId,
        anew: Anew,
        jobs: &[NewJob],
        callbacks: &Callbacks,
    ) -> Result<Option<Vec<Inserted>>, StoreError> {
        let dialect = self.dialect();
        let mut tx = self.pool().begin().await.map_err(store_error)?;
        continuation::lock(&mut tx, &dialect, &[id]).await?;
        let reset: Option<Uuid> = sqlx::query_scalar(self.sql(sql::BATCH_RESET))
            .bind(id.as_uuid())
            .bind(anew == Anew::Enqueued)
            .fetch_optional(&mut *tx)
            .await
            .map_err(store_error)?;
        if reset.is_none() {
            return Ok(None);
        }
        let answers = insert_jobs(&mut tx, &dialect, jobs).await?;
        continuation::step(&mut tx, &dialect, &[(id, false)], callbacks).await?;
        tx.commit().await.map_err(commit_error)?;
        Ok(Some(answers))
    }
}

async fn insert_jobs(
    connection: &mut PgConnection,
    dialect: &Dialect,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>, StoreError> {
    match jobs {
        [] => Ok(Vec::new()),
        jobs => inserts::insert_on(connection, dialect, jobs).await,
    }
}

/// A batch as `batch.sql` and its like return it.
fn record(row: &PgRow) -> sqlx::Result<BatchRecord> {
    Ok(BatchRecord {
        id: row.try_get::<Uuid, _>("id")?.into(),
        spec: BatchSpec {
            description: row.try_get("description")?,
            properties: row.try_get("serialized_properties")?,
            on_finish: row.try_get("on_finish")?,
            on_success: row.try_get("on_success")?,
            on_discard: row.try_get("on_discard")?,
            callback_queue: row.try_get("callback_queue_name")?,
            callback_priority: row.try_get("callback_priority")?,
        },
        created_at: row.try_get::<Moment, _>("created_at")?.0,
        updated_at: row.try_get::<Moment, _>("updated_at")?.0,
        enqueued_at: moment(row, "enqueued_at")?,
        discarded_at: moment(row, "discarded_at")?,
        jobs_finished_at: moment(row, "jobs_finished_at")?,
        finished_at: moment(row, "finished_at")?,
    })
}

fn summary(row: &PgRow) -> sqlx::Result<BatchSummary> {
    let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let batch = record(row)?;
    Ok(BatchSummary {
        state: batch.state(),
        batch,
        jobs: count("jobs")?,
        open_jobs: count("open_jobs")?,
        discarded_jobs: count("discarded_jobs")?,
        callbacks: count("callbacks")?,
        open_callbacks: count("open_callbacks")?,
    })
}
