//! Jobs as Ruby hands them to the database: the gem's columns, Active Job's envelope, the client's clock
//! (wire contract 2.1 and 2.2).

use chrono::Utc;
use goodjob_core::JobId;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Whose envelope it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rails {
    /// 6.1 and 7.0: times in whole seconds, no `scheduled_at`.
    V6_1,
    /// 7.1 and later: times with nine digits, and `scheduled_at`.
    V7_1,
}

/// A job on its way from Ruby into the tables.
#[derive(Clone, Debug)]
pub(crate) struct RubyJob {
    id: Uuid,
    columns: Value,
}

impl RubyJob {
    pub(crate) fn new(rails: Rails, class: &str, arguments: Value) -> Self {
        let (id, now) = (Uuid::new_v4(), Utc::now());
        let digits =
            if rails == Rails::V6_1 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.9fZ" };
        let mut envelope = json!({
            "job_class": class, "job_id": id, "provider_job_id": null, "queue_name": "default",
            "priority": null, "arguments": arguments, "executions": 0, "exception_executions": {},
            "locale": "en", "timezone": "UTC", "enqueued_at": now.format(digits).to_string(),
        });
        if rails == Rails::V7_1 {
            envelope["scheduled_at"] = Value::Null;
        }
        let now = now.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
        let columns = json!({
            "id": id, "active_job_id": id, "job_class": class, "queue_name": "default", "priority": 0,
            "serialized_params": envelope, "scheduled_at": now, "created_at": now, "updated_at": now,
        });
        Self { id, columns }
    }

    /// Sets a column, or what a person has made of it.
    pub(crate) fn column(mut self, column: &str, value: impl Into<Value>) -> Self {
        self.columns[column] = value.into();
        self
    }

    /// Sets a key of the envelope.
    pub(crate) fn key(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.columns["serialized_params"][key] = value.into();
        self
    }

    /// Stores it and tells workers, in two statements, as the gem does outside a transaction.
    pub(crate) async fn enqueue(self, pool: &PgPool) -> JobId {
        let mut connection = pool.acquire().await.unwrap();
        self.insert(&mut connection).await;
        self.notify(&mut connection).await;
        self.id.into()
    }

    /// Stores it, unless another process has enqueued the same tick of cron: the gem swallows that.
    pub(crate) async fn try_enqueue(self, pool: &PgPool) -> Option<JobId> {
        let mut connection = pool.acquire().await.unwrap();
        match self.try_insert(&mut connection).await {
            Ok(()) => {}
            Err(error) => {
                let of_the_index = error.as_database_error().unwrap();
                assert!(of_the_index.is_unique_violation(), "{error}");
                return None;
            }
        }
        self.notify(&mut connection).await;
        Some(self.id.into())
    }

    /// Stores it and tells nobody.
    pub(crate) async fn quietly(self, pool: &PgPool) -> JobId {
        self.insert(&mut pool.acquire().await.unwrap()).await;
        self.id.into()
    }

    /// Stores it with an attempt that has begun when the job says, in a process that is no more.
    pub(crate) async fn vanished(self, pool: &PgPool, process: Uuid) -> JobId {
        let mut tx = pool.begin().await.unwrap();
        self.insert(&mut tx).await;
        sqlx::query(
            "INSERT INTO good_job_executions (created_at, updated_at, active_job_id, job_class, queue_name,
               serialized_params, scheduled_at, process_id)
             SELECT performed_at, performed_at, id, job_class, queue_name, serialized_params, scheduled_at, $2
             FROM good_jobs WHERE id = $1",
        )
        .bind(self.id)
        .bind(process)
        .execute(&mut *tx)
        .await
        .unwrap();
        self.notify(&mut tx).await;
        tx.commit().await.unwrap();
        self.id.into()
    }

    async fn insert(&self, connection: &mut PgConnection) {
        self.try_insert(connection).await.unwrap();
    }

    async fn try_insert(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO good_jobs SELECT * FROM jsonb_populate_record(NULL::good_jobs, $1)",
        )
        .bind(&self.columns)
        .execute(connection)
        .await
        .map(drop)
    }

    async fn notify(&self, connection: &mut PgConnection) {
        let notice = json!({"queue_name": self.columns["queue_name"]}).to_string();
        let notify = sqlx::query("SELECT pg_notify('good_job', $1)").bind(notice);
        notify.execute(connection).await.unwrap();
    }
}
