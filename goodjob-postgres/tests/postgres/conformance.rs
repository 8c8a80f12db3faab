//! The store passes the suite that every store has to pass, under each lock strategy.

use std::sync::Arc;

use async_trait::async_trait;
use goodjob_core::{JobRecord, ProcessRecord};
use goodjob_postgres::{LockStrategy, PgStore};
use goodjob_testkit::Database;
use goodjob_testkit::conformance::Subject;

pub(crate) struct Postgres {
    pub(crate) database: Database,
    pub(crate) strategy: LockStrategy,
}

impl Postgres {
    async fn locking_by(strategy: LockStrategy) -> Self {
        Self { database: crate::database().await, strategy }
    }

    async fn execute(&self, statement: &'static str, id: uuid::Uuid) {
        let pool = self.database.pool().await;
        sqlx::query(statement).bind(id).execute(&pool).await.unwrap();
        pool.close().await;
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
        sqlx::query(
            "INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params,
               labels, created_at, updated_at, scheduled_at, performed_at, finished_at, error, error_event,
               executions_count, locked_by_id)
             SELECT $1, $1, $2, $3, $4, $5, $6, $7 AT TIME ZONE 'UTC', $7 AT TIME ZONE 'UTC',
               $8 AT TIME ZONE 'UTC', $9 AT TIME ZONE 'UTC', $10 AT TIME ZONE 'UTC', $11, $12, $13, $14",
        )
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
        // What makes others wait is tested elsewhere; here the process has been silent for long.
        self.execute(
            "UPDATE good_job_processes SET updated_at = updated_at - interval '10 minutes' WHERE id = $1",
            process.id.as_uuid(),
        )
        .await;
    }

    async fn finish(&self) {
        let pool = self.database.pool().await;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(left, 0, "processes are left");
        pool.close().await;
    }
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
