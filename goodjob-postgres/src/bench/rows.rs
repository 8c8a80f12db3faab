//! The rows of one bench: what stands in the way of its jobs, what is looked at meanwhile, and how all of it is
//! removed again.

use std::time::Duration;

use chrono::Utc;
use goodjob_core::{ProcessId, StoreError};
use uuid::Uuid;

use crate::error::store_error;
use crate::sql;
use crate::store::PgStore;

/// How far the clocks of client and server may be apart: rows are looked for in this time around now.
const SKEW: Duration = Duration::from_secs(3_600);
/// Rows removed at once.
const BATCH: i64 = 10_000;
/// Between two looks at the server's statistics, which sessions report as they end.
const REPORTED: Duration = Duration::from_millis(60);
const MOST_LOOKS: usize = 20;

/// Rows that are in the tables beside the jobs that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backlog {
    /// Due from an hour from now on.
    Future,
    /// Due since an hour, in other queues, of a class that nobody has.
    Due,
    /// Finished, with an execution each.
    Finished,
}

/// The rows of one bench. They are recognised by their classes, and found by when they were made.
#[derive(Clone, Debug)]
pub struct BenchRows {
    store: PgStore,
    since: Uuid,
    class: String,
}

impl BenchRows {
    /// Rows made from now on, whose class is `class` or, if they are in the way, begins so.
    #[must_use]
    pub fn new(store: &PgStore, class: &str) -> Self {
        let earliest = Utc::now() - SKEW;
        Self {
            store: store.clone(),
            since: first_id(earliest.timestamp_millis()),
            class: class.to_owned(),
        }
    }

    /// The same rows, seen to through another store. A session reports what it looked at when it ends, or some
    /// time later: what must not be counted with a measurement is done through a store that is closed before.
    #[must_use]
    pub fn through(&self, store: &PgStore) -> Self {
        Self { store: store.clone(), ..self.clone() }
    }

    /// The class of rows that are in the way. No worker has it.
    #[must_use]
    pub fn idle_class(&self) -> String {
        format!("{}Idle", self.class)
    }

    /// Adds rows that are in the way to `queues` queues whose names begin with `prefix`. All of them or, when
    /// the future is dropped, none.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn add(
        &self,
        kind: Backlog,
        rows: u64,
        queues: u64,
        prefix: &str,
    ) -> Result<(), StoreError> {
        const HOUR: f64 = 3_600.0;
        let due = if kind == Backlog::Future { HOUR } else { -HOUR };
        let mut transaction = self.store.pool().begin().await.map_err(store_error)?;
        sqlx::query(self.store.sql(sql::BENCH_ROWS))
            .bind(i64::try_from(rows).unwrap_or(i64::MAX))
            .bind(i64::try_from(queues.max(1)).unwrap_or(i64::MAX))
            .bind(prefix)
            .bind(self.idle_class())
            .bind(due)
            .bind(kind == Backlog::Finished)
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        transaction.commit().await.map_err(store_error)
    }

    /// Removes the rows that were made since, a batch at a time; says how many jobs they were.
    ///
    /// # Errors
    /// When the database cannot be asked. What was removed stays so.
    pub async fn clear(&self) -> Result<u64, StoreError> {
        let latest = first_id((Utc::now() + SKEW).timestamp_millis());
        let (mut last, mut all) = (self.since, 0);
        loop {
            let (gone, reached): (i64, Option<Uuid>) =
                sqlx::query_as(self.store.sql(sql::BENCH_CLEAR))
                    .bind(last)
                    .bind(latest)
                    .bind(vec![self.class.clone(), self.idle_class()])
                    .bind(BATCH)
                    .fetch_one(self.store.pool())
                    .await
                    .map_err(store_error)?;
            all += u64::try_from(gone).unwrap_or(0);
            match reached {
                Some(reached) => last = reached,
                None => return Ok(all),
            }
        }
    }

    /// Whether one of these processes still owns a job.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn are_owned(&self, processes: &[ProcessId]) -> Result<bool, StoreError> {
        let processes: Vec<Uuid> = processes.iter().map(ProcessId::as_uuid).collect();
        sqlx::query_scalar(self.store.sql(sql::BENCH_OWNED))
            .bind(processes)
            .fetch_one(self.store.pool())
            .await
            .map_err(store_error)
    }

    /// Pages of the two tables of jobs that were looked at until now, by anybody. Sessions report theirs when
    /// they end, which is waited for as long as the number grows, for a second at most.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn pages(&self) -> Result<u64, StoreError> {
        let mut known = None;
        for _ in 0..MOST_LOOKS {
            let pages: i64 = sqlx::query_scalar(self.store.sql(sql::BENCH_PAGES))
                .fetch_one(self.store.pool())
                .await
                .map_err(store_error)?;
            if known.replace(pages) == Some(pages) {
                break;
            }
            tokio::time::sleep(REPORTED).await;
        }
        Ok(known.and_then(|pages| u64::try_from(pages).ok()).unwrap_or(0))
    }

    /// Empties the tables: for a server that nobody else uses.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn truncate(&self) -> Result<(), StoreError> {
        self.run(sql::BENCH_TRUNCATE).await
    }

    /// Vacuums, analyzes and writes out what was stored, so that nothing of it is paid for later: for a server
    /// that nobody else uses.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn settle_down(&self) -> Result<(), StoreError> {
        self.run(sql::BENCH_VACUUM).await?;
        self.run(sql::BENCH_CHECKPOINT).await
    }

    async fn run(&self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(self.store.sql(statement))
            .execute(self.store.pool())
            .await
            .map_err(store_error)?;
        Ok(())
    }
}

/// The smallest id of version 7 that could have been made in this millisecond since 1970.
fn first_id(millis: i64) -> Uuid {
    Uuid::from_u128(u128::try_from(millis).unwrap_or(0) << 80)
}

#[cfg(test)]
mod tests {
    use goodjob_core::JobId;

    use super::*;

    #[test]
    fn ids_lie_between_the_first_ones_of_their_time_and_of_later() {
        let now = Utc::now().timestamp_millis();
        let id = JobId::generate().as_uuid();
        assert!(first_id(now - 1) < id && id < first_id(now + 1_000));
        assert_eq!(first_id(-1), Uuid::nil());
    }
}
