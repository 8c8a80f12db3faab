//! Storing new batches, on a connection of the store's or of the caller's.

use async_trait::async_trait;
use goodjob_core::{
    Adapter, Batch, EnqueueError, EnqueuedBatch, Inserted, NewBatch, NewJob, Sink, StoreError,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::dialect::Dialect;
use crate::enqueue::Insert;
use crate::error::commit_error;
use crate::{enqueue, sql};

/// Enqueues a batch on a connection or in a transaction of the caller's.
///
/// ```no_run
/// use goodjob_core::{Adapter, Batch};
/// use goodjob_postgres::EnqueueBatchIn;
/// async fn import(adapter: &Adapter, pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
///     let mut tx = pool.begin().await?;
///     let batch = Batch::new().description("import").enqueue_in(adapter, &mut tx).await?;
///     sqlx::query("UPDATE imports SET batch = $1").bind(batch.id.as_uuid()).execute(&mut *tx).await?;
///     tx.commit().await?;
///     Ok(())
/// }
/// ```
pub trait EnqueueBatchIn {
    /// Stores the batch with its jobs, and the notices of them, all of which become visible when the
    /// caller's transaction commits, and never if it does not. Outside a transaction the batch may be
    /// stored and its jobs not.
    ///
    /// # Errors
    /// When a part cannot be stored. The caller's transaction is then aborted by Postgres if a statement
    /// had reached it.
    fn enqueue_in(
        self,
        adapter: &Adapter,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<EnqueuedBatch, EnqueueError>> + Send;
}

impl EnqueueBatchIn for Batch {
    async fn enqueue_in(
        self,
        adapter: &Adapter,
        connection: &mut PgConnection,
    ) -> Result<EnqueuedBatch, EnqueueError> {
        let dialect = enqueue::dialect_of(&**adapter.backend().store());
        let batch = self.into_new(adapter)?;
        let mut jobs = batch.jobs.clone();
        let mut sink = OnConnection { connection, dialect, batch };
        let jobs = match jobs.is_empty() {
            true => sink.store(&[]).await?,
            false => adapter.store_in(&mut jobs, &mut sink).await?,
        };
        Ok(EnqueuedBatch { id: sink.batch.id, jobs })
    }
}

/// Where a batch goes when all hooks have had their say about its jobs.
struct OnConnection<'a> {
    connection: &'a mut PgConnection,
    dialect: Dialect,
    batch: NewBatch,
}

#[async_trait]
impl Sink for OnConnection<'_> {
    async fn store(&mut self, jobs: &[NewJob]) -> Result<Vec<Inserted>, EnqueueError> {
        insert_rows(self.connection, &self.dialect, std::slice::from_ref(&self.batch)).await?;
        let all = [jobs, self.batch.callbacks.as_slice()].concat();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let mut stored = (&mut *self.connection).insert(&self.dialect, &all).await?;
        stored.truncate(jobs.len());
        Ok(stored)
    }
}

/// Stores the rows of batches, without their jobs.
pub(super) async fn insert_rows(
    connection: &mut PgConnection,
    dialect: &Dialect,
    batches: &[NewBatch],
) -> Result<(), StoreError> {
    let rows: Value = batches.iter().map(row).collect();
    let query = sqlx::query(dialect.sql(sql::BATCHES_INSERT)).bind(rows);
    query.execute(connection).await.map(drop).map_err(commit_error)
}

/// The jobs of batches, and the callbacks that are due at once.
pub(super) fn jobs_of(batches: &[NewBatch]) -> (Vec<NewJob>, Vec<NewJob>) {
    let calls = batches.iter().flat_map(|batch| batch.callbacks.iter().cloned());
    (NewBatch::jobs_of(batches), calls.collect())
}

/// A batch as `batches_insert.sql` reads it: the columns by name, and how it stands.
fn row(batch: &NewBatch) -> Value {
    let spec = &batch.spec;
    json!({
        "id": batch.id,
        "description": spec.description,
        "serialized_properties": spec.properties,
        "on_finish": spec.on_finish,
        "on_success": spec.on_success,
        "on_discard": spec.on_discard,
        "callback_queue_name": spec.callback_queue,
        "callback_priority": spec.callback_priority,
        "enqueued": batch.is_enqueued(),
        "over": batch.is_over(),
        "finished": batch.is_finished(),
    })
}
