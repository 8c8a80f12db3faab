//! The row that says that a process lives, and what is done about those that do not (wire contract 7).

use goodjob_core::ProcessId;
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use super::now;
use super::session::GemSession;

const INSERT: &str = include_str!("../sql/gem_process_insert.sql");
const REFRESH: &str = include_str!("../sql/gem_process_refresh.sql");
const DELETE: &str = include_str!("../sql/gem_process_delete.sql");
const INACTIVE: &str = include_str!("../sql/gem_processes_inactive.sql");
const FREE_JOBS: &str = include_str!("../sql/gem_free_jobs.sql");
const LEAVE_JOBS: &str = include_str!("../sql/gem_leave_jobs.sql");

impl GemSession {
    /// The process that this is a connection of.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// As a process does that begins to listen: cleans up behind others, then registers itself.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn register(&mut self) -> sqlx::Result<()> {
        self.clean_up().await?;
        self.write_row(INSERT).await?;
        Ok(())
    }

    /// As a process does every 30 seconds: says that it lives, registers again if its row is gone, then
    /// cleans up behind others.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn refresh(&mut self) -> sqlx::Result<()> {
        self.revive().await?;
        if self.write_row(REFRESH).await? == 0 {
            self.write_row(INSERT).await?;
        }
        self.clean_up().await?;
        Ok(())
    }

    /// Frees the jobs of inactive processes and deletes their rows, without a transaction around the
    /// two (3.8); returns whose.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn clean_up(&mut self) -> sqlx::Result<Vec<ProcessId>> {
        let inactive: Vec<Uuid> =
            sqlx::query_scalar(INACTIVE).bind(now()).fetch_all(&mut self.connection).await?;
        for process in &inactive {
            for statement in [FREE_JOBS, DELETE] {
                sqlx::query(statement).bind(process).execute(&mut self.connection).await?;
            }
        }
        Ok(inactive.into_iter().map(ProcessId::from).collect())
    }

    /// As a process does that ends in order: deletes its row and disowns its jobs, in one transaction.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn unregister(&mut self) -> sqlx::Result<()> {
        self.revive().await?;
        let mut transaction = self.connection.begin().await?;
        for statement in [DELETE, LEAVE_JOBS] {
            sqlx::query(statement).bind(self.process.as_uuid()).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    async fn write_row(&mut self, statement: &'static str) -> sqlx::Result<u64> {
        let state = self.state();
        let write = sqlx::query(statement).bind(self.process.as_uuid()).bind(now()).bind(state);
        Ok(write.execute(&mut self.connection).await?.rows_affected())
    }

    /// What the dashboard shows of a process; it breaks without a number of `memory` (7.2).
    fn state(&self) -> Value {
        let (queues, threads) = (self.options.queues.to_string(), self.options.threads);
        json!({
            "hostname": "ruby",
            "pid": std::process::id(),
            "memory": 54_819,
            "proctitle": "good_job",
            "preserve_job_records": self.options.preserve_job_records,
            "retry_on_unhandled_error": self.options.retry_on_unhandled_error,
            "schedulers": [{
                "name": format!("GoodJob::Scheduler(queues={queues} max_threads={threads})"),
                "queues": queues,
                "max_threads": threads,
            }],
            "cron_enabled": false,
        })
    }
}
