//! A job that writes its own success, in the transaction of what it did.

use std::any::Any;

use goodjob_core::{Context, JobId, ProcessId, Settlement, StoreError, Token};
use sqlx::PgExecutor;

use crate::error::store_error;
use crate::sessions::{DEADLINE, within};
use crate::sql;
use crate::store::PgStore;

/// The code of a cast that failed.
const INVALID_TEXT: &str = "22P02";

/// Completes a job in a transaction of its body.
///
/// The job's success commits with what else the transaction writes, or not at all: its effects in this
/// database happen exactly once, whenever the process dies. Everything else goes on as if the body had
/// returned `Ok`: the lock is released, hooks run, a batch goes on.
///
/// ```no_run
/// use goodjob_core::{Context, Job, JobResult, Perform};
/// use goodjob_postgres::CompleteIn;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Transfer { account: i64, cents: i64 }
/// # impl Job for Transfer { const CLASS: &'static str = "TransferJob"; }
/// impl Perform<sqlx::PgPool> for Transfer {
///     async fn perform(self, cx: Context<sqlx::PgPool>) -> JobResult {
///         let mut tx = cx.state().begin().await?;
///         sqlx::query("UPDATE accounts SET cents = cents + $2 WHERE id = $1")
///             .bind(self.account)
///             .bind(self.cents)
///             .execute(&mut *tx)
///             .await?;
///         cx.complete_in(&mut *tx).await?; // last: the job's row is locked from here on
///         tx.commit().await?;
///         Ok(())
///     }
/// }
/// ```
///
/// What the body returns counts only if the transaction was not committed: an error goes through the policy,
/// and an `Ok` becomes an error of the type [`NotCommitted`](goodjob_core::NotCommitted).
pub trait CompleteIn {
    /// Writes the success on `executor`: a transaction of this database, or a connection in one. On a
    /// pool, or a connection without a transaction, it is committed at once.
    ///
    /// # Errors
    /// [`CompleteError::Overtaken`] when another attempt has taken over the job or it is over: then the
    /// transaction is aborted by Postgres and cannot commit. As with every statement, a transaction that
    /// is not `READ COMMITTED` may also fail to serialize.
    fn complete_in<'c, E: PgExecutor<'c>>(
        &self,
        executor: E,
    ) -> impl Future<Output = Result<(), CompleteError>> + Send;
}

/// Why a job could not complete itself. Return it from the body: `?` does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompleteError {
    /// This attempt is not the current one any more: its lock was lost, and another one has taken over, or
    /// somebody has discarded the job. The transaction is aborted.
    #[error("job {job}: another attempt has taken over, or it is over; the transaction is aborted")]
    Overtaken {
        /// The job.
        job: JobId,
    },
    /// The job does not run on a [`PgStore`], but on a wrapped one, in memory or in a trial.
    #[error("complete_in: the job runs on another store than Postgres")]
    NotPostgres,
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Sync> CompleteIn for Context<S> {
    async fn complete_in<'c, E: PgExecutor<'c>>(&self, executor: E) -> Result<(), CompleteError> {
        let store: &dyn Any = self.adapter().store();
        let store: PgStore =
            store.downcast_ref::<PgStore>().ok_or(CompleteError::NotPostgres)?.clone();
        let (token, process) = (self.token(), store.process()?);
        complete(executor, &store, process, &token, &self.success()).await?;
        self.completed_by(move || {
            let store = store.clone();
            async move { store.is_complete(&token).await }
        });
        Ok(())
    }
}

async fn complete<'c, E: PgExecutor<'c>>(
    executor: E,
    store: &PgStore,
    process: ProcessId,
    token: &Token,
    success: &Settlement,
) -> Result<(), CompleteError> {
    let query = match success.keep {
        true => sqlx::query(store.sql(sql::COMPLETE))
            .bind(token.job.as_uuid())
            .bind(token.execution.as_uuid())
            .bind(token.performed_at)
            .bind(token.executions_count)
            .bind(success.duration.as_secs_f64())
            .bind(process.as_uuid()),
        false => sqlx::query(store.sql(sql::COMPLETE_UNKEPT))
            .bind(token.job.as_uuid())
            .bind(token.performed_at)
            .bind(token.executions_count)
            .bind(process.as_uuid()),
    };
    match query.execute(executor).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code());
            match code.as_deref() == Some(INVALID_TEXT) {
                true => Err(CompleteError::Overtaken { job: token.job }),
                false => Err(store_error(error).into()),
            }
        }
    }
}

impl PgStore {
    /// Whether the success that an attempt wrote itself is committed.
    async fn is_complete(&self, token: &Token) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar(self.sql(sql::IS_COMPLETE))
            .bind(token.job.as_uuid())
            .bind(token.execution.as_uuid());
        within(DEADLINE, query.fetch_one(self.pool())).await.map_err(store_error)
    }
}
