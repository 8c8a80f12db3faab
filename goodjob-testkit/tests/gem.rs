//! The stand-in for the gem does what the wire contract says, holes included.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "gem/claims.rs"]
mod claims;
#[path = "gem/processes.rs"]
mod processes;
#[path = "gem/runs.rs"]
mod runs;
#[path = "gem/workers.rs"]
mod workers;

use std::time::Duration;

use goodjob_core::{Arguments, JobId, NewJob, Options, ProcessId};
use goodjob_postgres::enqueue_in;
use goodjob_testkit::gem::{GemOptions, GemSession, GemStrategy};
use goodjob_testkit::{Database, Schema};
use sqlx::PgPool;

const PATIENCE: Duration = Duration::from_secs(20);

/// The tables of a Rails application, a process of the gem for each strategy, and a pool beside them.
struct Rails {
    pool: PgPool,
    // Dropped last.
    database: Database,
}

impl Rails {
    async fn new() -> Self {
        Self::with(Schema::GEM).await
    }

    async fn with(schema: Schema) -> Self {
        let database = Database::with_schema(schema).await;
        Self { pool: database.pool().await, database }
    }

    async fn session(&self, strategy: GemStrategy) -> GemSession {
        self.session_with(GemOptions::locking_by(strategy)).await
    }

    async fn session_with(&self, options: GemOptions) -> GemSession {
        let process = ProcessId::from(uuid::Uuid::new_v4());
        GemSession::open(&self.database.url(), process, options).await.unwrap()
    }

    async fn enqueue(&self) -> JobId {
        let job = NewJob::of_class("WorkJob", Arguments::default(), Options::new()).unwrap();
        let mut connection = self.pool.acquire().await.unwrap();
        enqueue_in(&mut *connection, std::slice::from_ref(&job)).await.unwrap();
        job.id
    }

    /// A job's row as JSON, by the names of its columns.
    async fn job(&self, id: JobId) -> serde_json::Value {
        self.row("SELECT to_jsonb(j) FROM good_jobs j WHERE id = $1", id).await.unwrap()
    }

    /// The oldest run of a job.
    async fn execution(&self, id: JobId) -> serde_json::Value {
        let oldest = "SELECT to_jsonb(x) FROM good_job_executions x WHERE active_job_id = $1
                      ORDER BY created_at LIMIT 1";
        self.row(oldest, id).await.unwrap()
    }

    async fn row(&self, statement: &'static str, id: JobId) -> Option<serde_json::Value> {
        let row = sqlx::query_scalar(statement).bind(id.as_uuid()).fetch_optional(&self.pool);
        row.await.unwrap()
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
