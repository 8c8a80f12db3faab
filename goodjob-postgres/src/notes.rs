//! Keeps what jobs say about themselves, where the table for it was made.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use goodjob_core::{JobId, JobNotes, Note, Notes, Progress, StoreError, Timestamp, Token};
use serde_json::Value;
use sqlx::FromRow;
use tokio::time::Instant;

use crate::error::store_error;
use crate::sessions::{DEADLINE, within};
use crate::sql;
use crate::store::PgStore;

/// How long a table that was not there is not looked for again.
const ABSENCE: Duration = Duration::from_secs(60);
/// The code of a table that is not there.
const UNDEFINED_TABLE: &str = "42P01";

/// Since when the table is known not to be there.
#[derive(Debug, Default)]
pub(crate) struct Absence(Mutex<Option<Instant>>);

impl Absence {
    fn lasts(&self) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < ABSENCE)
    }

    fn begins(&self) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.replace(Instant::now()).is_none() {
            tracing::warn!(
                "jobs say how far they are, and there is no table for it: `goodjob migrate --with notes` makes it"
            );
        }
    }
}

/// A row of `notes.sql`.
#[derive(FromRow)]
struct Row {
    done: Option<i64>,
    total: Option<i64>,
    text: Option<String>,
    result: Option<Value>,
    attempt: i32,
    noted_at: Timestamp,
}

#[async_trait]
impl Notes for PgStore {
    async fn note(&self, token: &Token, note: &Note) -> Result<bool, StoreError> {
        let absence = self.notes_absence();
        if absence.lasts() {
            return Ok(false);
        }
        let (progress, result) = match note {
            Note::Progress(progress) => (progress.clone(), None),
            Note::Result(result) => (Progress::default(), Some(result)),
        };
        let units =
            |units: Option<u64>| units.map(|units| i64::try_from(units).unwrap_or(i64::MAX));
        let noted = sqlx::query(self.sql(sql::NOTE))
            .bind(token.job.as_uuid())
            .bind(token.performed_at)
            .bind(token.executions_count)
            .bind(units(progress.done))
            .bind(units(progress.total))
            .bind(progress.text)
            .bind(result)
            .bind(result.is_none());
        let noted = within(DEADLINE, noted.execute(self.pool())).await;
        match noted {
            Ok(noted) => Ok(noted.rows_affected() > 0),
            Err(error) if is_absent(&error) => {
                absence.begins();
                Ok(false)
            }
            Err(error) => Err(store_error(error)),
        }
    }

    async fn notes(&self, job: JobId) -> Result<Option<JobNotes>, StoreError> {
        let row = sqlx::query_as(self.sql(sql::NOTES)).bind(job.as_uuid());
        match row.fetch_optional(self.pool()).await {
            Ok(row) => Ok(row.map(notes)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }
}

fn notes(row: Row) -> JobNotes {
    let Row { done, total, text, result, attempt, noted_at } = row;
    let units = |units: Option<i64>| units.and_then(|units| u64::try_from(units).ok());
    let progress = Progress { done: units(done), total: units(total), text };
    JobNotes { progress, result, attempt, noted_at }
}

fn is_absent(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(UNDEFINED_TABLE)
}
