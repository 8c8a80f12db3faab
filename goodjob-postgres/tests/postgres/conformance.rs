//! The store passes the suite that every store has to pass, under each lock strategy.

use std::sync::Arc;

use async_trait::async_trait;
use goodjob_core::{JobRecord, ProcessId, ProcessRecord};
use goodjob_postgres::{LockStrategy, PgStore};
use goodjob_testkit::Database;
use goodjob_testkit::conformance::Subject;
use sqlx::{AssertSqlSafe, PgPool};

use crate::stage::{millis, secs};

pub(crate) struct Postgres {
    pub(crate) database: Database,
    pub(crate) strategy: LockStrategy,
}

impl Postgres {
    async fn locking_by(strategy: LockStrategy) -> Self {
        Self { database: crate::database().await, strategy }
    }

    /// A table as statements here name it.
    fn table(&self, name: &str) -> String {
        self.database.options().tables.qualified(name)
    }
}

#[async_trait]
impl Subject for Postgres {
    type Store = PgStore;

    async fn another(&self) -> Arc<PgStore> {
        let mut options = self.database.options();
        options.lock_strategy = self.strategy;
        options.pool_size = 3;
        Arc::new(PgStore::connect(options).await.unwrap())
    }

    async fn plant(&self, row: JobRecord) {
        let pool = self.database.pool().await;
        let insert = format!(
            "INSERT INTO {} (id, active_job_id, job_class, queue_name, priority, serialized_params,
               labels, created_at, updated_at, scheduled_at, performed_at, finished_at, error, error_event,
               executions_count, locked_by_id)
             SELECT $1, $1, $2, $3, $4, $5, $6, $7 AT TIME ZONE 'UTC', $7 AT TIME ZONE 'UTC',
               $8 AT TIME ZONE 'UTC', $9 AT TIME ZONE 'UTC', $10 AT TIME ZONE 'UTC', $11, $12, $13, $14",
            self.table("good_jobs")
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(row.id.as_uuid())
            .bind(row.class)
            .bind(row.queue)
            .bind(row.priority)
            .bind(row.payload.into_value())
            .bind(row.labels)
            .bind(row.created_at)
            .bind(row.scheduled_at)
            .bind(row.performed_at)
            .bind(row.finished_at)
            .bind(row.error)
            .bind(row.error_event.map(|event| event.code()))
            .bind(row.executions_count)
            .bind(row.locked_by.map(|process| process.as_uuid()))
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
    }

    async fn kill(&self, store: Arc<PgStore>, process: ProcessRecord) {
        store.close().await;
        let pool = self.database.pool().await;
        until_gone(&pool, process.id).await;
        // What makes others wait is tested elsewhere; here the process has been silent for long.
        let age = format!(
            "UPDATE {} SET updated_at = updated_at - interval '10 minutes' WHERE id = $1",
            self.table("good_job_processes")
        );
        sqlx::query(AssertSqlSafe(age)).bind(process.id.as_uuid()).execute(&pool).await.unwrap();
        pool.close().await;
    }

    async fn finish(&self) {
        let pool = self.database.pool().await;
        let count = format!("SELECT count(*) FROM {}", self.table("good_job_processes"));
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&pool).await.unwrap();
        assert_eq!(left, 0, "processes are left");
        pool.close().await;
    }
}

/// Waits for the end of a process's sessions: a beat on its way would bring its row back to life.
async fn until_gone(pool: &PgPool, process: ProcessId) {
    let gone = async {
        while sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE '%' || $1",
        )
        .bind(process.to_string())
        .fetch_one(pool)
        .await
        .unwrap()
            > 0
        {
            tokio::time::sleep(millis(5)).await;
        }
    };
    tokio::time::timeout(secs(10), gone).await.expect("sessions end with their store");
}

mod hybrid {
    async fn subject() -> super::Postgres {
        super::Postgres::locking_by(super::LockStrategy::Hybrid).await
    }
    goodjob_testkit::conformance_tests!(subject);
}

mod advisory {
    async fn subject() -> super::Postgres {
        super::Postgres::locking_by(super::LockStrategy::Advisory).await
    }
    goodjob_testkit::conformance_tests!(subject);
}

mod skip_locked {
    async fn subject() -> super::Postgres {
        super::Postgres::locking_by(super::LockStrategy::SkipLocked).await
    }
    goodjob_testkit::conformance_tests!(subject);
}
