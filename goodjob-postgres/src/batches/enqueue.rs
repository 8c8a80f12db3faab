//! Storing new batches, on a connection of the store's or of the caller's.

use goodjob_core::{Adapter, Batch, EnqueueError, EnqueuedBatch, NewBatch, NewJob, StoreError};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::dialect::Dialect;
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
        insert_rows(connection, &dialect, std::slice::from_ref(&batch)).await?;
        let jobs = [batch.jobs.as_slice(), batch.callbacks.as_slice()].concat();
        let mut answers = match jobs.is_empty() {
            true => Vec::new(),
            false => enqueue::insert(connection, &dialect, &jobs).await?,
        };
        answers.truncate(batch.jobs.len());
        Ok(EnqueuedBatch { id: batch.id, jobs: answers })
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
    let jobs = batches.iter().flat_map(|batch| batch.jobs.iter().cloned());
    let calls = batches.iter().flat_map(|batch| batch.callbacks.iter().cloned());
    (jobs.collect(), calls.collect())
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
