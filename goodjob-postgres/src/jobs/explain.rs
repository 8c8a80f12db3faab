//! Why a job is not running.
//!
//! What is known comes from rows and locks alone, read in one transaction that writes nothing. Each read is
//! bounded, so that asking is cheap on a table of millions. `explain/reason.rs` has the words,
//! `explain/facts.rs` what is read, `explain/verdict.rs` makes reasons of it, `explain/limits.rs` and
//! `explain/line.rs` add what has to be asked for after that.

mod facts;
mod limits;
mod line;
mod reason;
mod verdict;

pub use limits::{JobStart, Restraint};
pub use line::{Line, Rate};
pub use reason::{Explanation, LockKind, PauseKind, Reason, Why};

use goodjob_core::{JobId, StoreError};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::error::store_error;
use crate::sql;
use crate::store::PgStore;
use facts::Facts;

impl PgStore {
    /// Why a job is not running, or that it is; `None` when there is no job with this id.
    ///
    /// It is what the database knew at one moment: a job may have started before the answer is read. Limits
    /// are judged by rows alone, since the numbers of a rule are known to processes only.
    ///
    /// # Errors
    /// When the database cannot be asked, or has not answered within 10 s.
    pub async fn explain(&self, id: JobId) -> Result<Option<Explanation>, StoreError> {
        let explaining = async {
            let mut session = self.begin_reading().await?;
            let explanation = explain(&mut session, self, id).await?;
            session.rollback().await?;
            Ok(explanation)
        };
        explaining.await.map_err(store_error)
    }

    /// A transaction that sees one picture of the tables and writes nothing.
    pub(crate) async fn begin_reading(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        let mut session = self.pool().begin_with(self.sql(sql::EXPLAIN_BEGIN)).await?;
        sqlx::query(self.sql(sql::EXPLAIN_SETTINGS)).execute(&mut *session).await?;
        Ok(session)
    }
}

async fn explain(
    session: &mut PgConnection,
    store: &PgStore,
    id: JobId,
) -> sqlx::Result<Option<Explanation>> {
    let (dialect, order) = (&store.dialect(), store.options().order);
    let Some(facts) = Facts::read(session, dialect, id).await? else { return Ok(None) };
    let restraint = limits::read(session, dialect, &facts).await?;
    let mut reasons = verdict::reasons(&facts, restraint);
    // A job that something else keeps is not in line.
    if reasons.iter().all(|reason| !reason.keeps()) {
        reasons.extend(line::read(session, dialect, order, &facts).await?);
    }
    let state = facts.job.state(facts.now);
    Ok(Some(Explanation { id, state, now: facts.now, reasons }))
}
