//! A store in a test's hands: its time can be moved.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goodjob_core::{Backend, Inspect, MemoryStore, Timestamp};
use goodjob_postgres::PgStore;
use goodjob_postgres::migrate::{self, Step};
use sqlx::AssertSqlSafe;

const NOW: &str = include_str!("sql/now.sql");
const TRAVEL: &str = include_str!("sql/travel.sql");
const HAS_JOBS_FINISHED_AT: &str = include_str!("sql/has_jobs_finished_at.sql");
/// Marks a line of a statement that older tables do without.
const MARK: &str = "-- if jobs_finished_at";

/// What a test needs of a store: a worker can be put on it, it can be read, and time can be let pass.
///
/// In memory, time passes by the store's clock ([`MemoryStore::advance`]). In Postgres the clock of the server
/// decides what is due, so the rows move instead: [`travel`](Self::travel) moves every moment of jobs, ended
/// attempts and batches back. Either way a job of *in three days* is due a millisecond later.
#[async_trait]
pub trait TestStore: Send + Sync {
    /// For workers and adapters.
    fn backend(&self) -> Backend;

    /// For a look at its rows.
    fn inspect(&self) -> &dyn Inspect;

    /// The time by which its jobs are due.
    ///
    /// # Panics
    /// When it cannot be asked.
    async fn time(&self) -> Timestamp;

    /// Lets so much time pass, and wakes workers. Jobs that are being done do not notice, ticks of cron keep
    /// their names, processes live on.
    ///
    /// # Panics
    /// When it cannot be written.
    async fn travel(&self, by: Duration);
}

#[async_trait]
impl TestStore for Arc<MemoryStore> {
    fn backend(&self) -> Backend {
        Self::clone(self).into()
    }

    fn inspect(&self) -> &dyn Inspect {
        &**self
    }

    async fn time(&self) -> Timestamp {
        MemoryStore::now(self)
    }

    async fn travel(&self, by: Duration) {
        self.advance(by);
    }
}

#[async_trait]
impl TestStore for PgStore {
    fn backend(&self) -> Backend {
        self.into()
    }

    fn inspect(&self) -> &dyn Inspect {
        self
    }

    async fn time(&self) -> Timestamp {
        let now = sqlx::query_scalar(NOW).fetch_one(self.pool()).await;
        now.unwrap_or_else(|error| panic!("the server cannot be asked for its time: {error}"))
    }

    async fn travel(&self, by: Duration) {
        let travelled = travel(self, by).await;
        travelled.unwrap_or_else(|error| panic!("the rows cannot be moved in time: {error}"));
    }
}

async fn travel(store: &PgStore, by: Duration) -> sqlx::Result<()> {
    let names = &store.options().tables;
    let render = |sql| migrate::render(Step { name: "", sql }, names);
    let has_column: bool = sqlx::query_scalar(AssertSqlSafe(render(HAS_JOBS_FINISHED_AT)))
        .fetch_one(store.pool())
        .await?;
    let statement = render(TRAVEL);
    let lines = statement.lines().filter(|line| has_column || !line.trim_end().ends_with(MARK));
    let statement = lines.collect::<Vec<_>>().join("\n");
    sqlx::query(AssertSqlSafe(statement)).bind(by.as_secs_f64()).execute(store.pool()).await?;
    Ok(())
}
