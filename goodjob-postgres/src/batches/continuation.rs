//! The continuation of batches (wire contract 9.4): a look without a lock, which is all for most ends of
//! jobs; then one transaction that holds the locks, looks again, writes, and stores the callbacks.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use goodjob_core::{BatchEnd, BatchId, BatchProgress, Callbacks, Sight, StoreError, progress};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{insert_jobs, record};
use crate::dialect::Dialect;
use crate::error::{commit_error, store_error};
use crate::sql;
use crate::store::PgStore;

/// Batches that go on in one transaction. Who finishes another job of theirs waits for it.
const LOCKED_AT_ONCE: usize = 50;
/// Batches whose witness is remembered; beyond that all are forgotten, and found again.
const MOST_WITNESSES: usize = 10_000;

/// For each batch a job that was not over when it was looked for.
#[derive(Debug, Default)]
pub(crate) struct Witnesses(Mutex<HashMap<BatchId, Uuid>>);

impl Witnesses {
    fn of(&self, batches: &[BatchId]) -> Vec<Option<Uuid>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        batches.iter().map(|batch| known.get(batch).copied()).collect()
    }

    /// Remembers who was found, and forgets the batches that have no open job.
    fn note(&self, batches: &[BatchId], found: &HashMap<BatchId, Uuid>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in batches {
            match found.get(batch) {
                Some(witness) => drop(known.insert(*batch, *witness)),
                None => drop(known.remove(batch)),
            }
        }
        if known.len() > MOST_WITNESSES {
            known.clear();
        }
    }
}

/// What is known about the jobs of one batch that have ended.
#[derive(Clone, Copy, Default)]
struct Ended {
    discarded: bool,
    callback: bool,
}

/// Has batches go on of which jobs have ended.
pub(super) async fn go_on(
    store: &PgStore,
    ended: &[BatchEnd],
    callbacks: &Callbacks,
) -> Result<(), StoreError> {
    let mut batches: BTreeMap<BatchId, Ended> = BTreeMap::new();
    for end in ended {
        let known = batches.entry(end.batch).or_default();
        known.callback |= end.was_callback;
        known.discarded |= end.discarded && !end.was_callback;
    }
    let plain = batches.iter().filter(|(_, ended)| !ended.discarded && !ended.callback);
    let plain: Vec<BatchId> = plain.map(|(batch, _)| *batch).collect();
    for batch in open(store, &plain).await? {
        batches.remove(&batch);
    }
    let ripe: Vec<(BatchId, bool)> =
        batches.into_iter().map(|(batch, ended)| (batch, ended.discarded)).collect();
    for batches in ripe.chunks(LOCKED_AT_ONCE) {
        let ids: Vec<BatchId> = batches.iter().map(|(batch, _)| *batch).collect();
        let dialect = store.dialect();
        let mut tx = store.pool().begin().await.map_err(store_error)?;
        lock(&mut tx, &dialect, &ids).await?;
        step(&mut tx, &dialect, batches, callbacks).await?;
        tx.commit().await.map_err(commit_error)?;
    }
    Ok(())
}

/// Those of the batches that still have a job that is not over.
async fn open(store: &PgStore, batches: &[BatchId]) -> Result<Vec<BatchId>, StoreError> {
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(store.sql(sql::BATCHES_OPEN))
        .bind(uuids(batches))
        .bind(store.witnesses().of(batches))
        .fetch_all(store.pool())
        .await
        .map_err(store_error)?;
    let found: HashMap<BatchId, Uuid> =
        rows.into_iter().map(|(batch, witness)| (batch.into(), witness)).collect();
    store.witnesses().note(batches, &found);
    Ok(found.into_keys().collect())
}

/// Waits for the locks of batches, and holds them until the end of the transaction.
pub(super) async fn lock(
    connection: &mut PgConnection,
    dialect: &Dialect,
    batches: &[BatchId],
) -> Result<(), StoreError> {
    let query = sqlx::query(dialect.sql(sql::BATCHES_LOCK)).bind(uuids(batches));
    query.fetch_one(connection).await.map(drop).map_err(store_error)
}

/// Has batches go on whose locks are held; with each, whether a job of it was just discarded.
pub(super) async fn step(
    connection: &mut PgConnection,
    dialect: &Dialect,
    batches: &[(BatchId, bool)],
    callbacks: &Callbacks,
) -> Result<(), StoreError> {
    let discarded: HashMap<BatchId, bool> = batches.iter().copied().collect();
    let ids: Vec<BatchId> = batches.iter().map(|(batch, _)| *batch).collect();
    let query = sqlx::query(dialect.sql(sql::BATCHES_SIGHT)).bind(uuids(&ids));
    let rows = query.fetch_all(&mut *connection).await.map_err(store_error)?;
    let (mut written, mut called) = (Vec::new(), Vec::new());
    for row in &rows {
        let batch = record(row).map_err(store_error)?;
        let discarded = discarded.get(&batch.id).copied().unwrap_or(false);
        let next = progress(&batch, discarded, sight(row).map_err(store_error)?);
        for event in &next.events {
            called.extend(callbacks.call(&batch, *event).map_err(rejected)?);
        }
        if !next.is_none() {
            written.push((batch.id, next));
        }
    }
    write(connection, dialect, &written).await?;
    insert_jobs(connection, dialect, &called).await.map(drop)
}

async fn write(
    connection: &mut PgConnection,
    dialect: &Dialect,
    written: &[(BatchId, BatchProgress)],
) -> Result<(), StoreError> {
    if written.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&BatchProgress) -> bool| -> Vec<bool> {
        written.iter().map(|(_, next)| of(next)).collect()
    };
    sqlx::query(dialect.sql(sql::BATCHES_WRITE))
        .bind(written.iter().map(|(batch, _)| batch.as_uuid()).collect::<Vec<_>>())
        .bind(column(|next| next.discarded))
        .bind(column(|next| next.jobs_finished))
        .bind(column(|next| next.finished))
        .execute(connection)
        .await
        .map(drop)
        .map_err(store_error)
}

fn sight(row: &sqlx::postgres::PgRow) -> sqlx::Result<Sight> {
    Ok(Sight {
        open_jobs: row.try_get("open_jobs")?,
        open_callbacks: row.try_get("open_callbacks")?,
        errors: row.try_get::<Option<bool>, _>("errors")?.unwrap_or(false),
    })
}

fn uuids(batches: &[BatchId]) -> Vec<Uuid> {
    batches.iter().map(BatchId::as_uuid).collect()
}

fn rejected(unfit: goodjob_core::EnqueueError) -> StoreError {
    StoreError::Rejected { reason: unfit.to_string(), source: Some(unfit.into()) }
}
