//! Rows as goodjob, Ruby or a person may have left them.

use goodjob_core::{JobId, JobState};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, Row};

/// What makes a row of each state, in the order of `STATES`.
pub(crate) const EACH_STATE: [(JobState, &str); 6] = [
    (JobState::Scheduled, "scheduled_at = now() + interval '1 hour'"),
    (
        JobState::Retried,
        "scheduled_at = now() + interval '1 hour', serialized_params = serialized_params || '{\"executions\": 2}'",
    ),
    (JobState::Queued, "priority = 0"),
    (JobState::Running, "performed_at = now()"),
    (JobState::Succeeded, "performed_at = now(), finished_at = now()"),
    (
        JobState::Discarded,
        "performed_at = now(), finished_at = now(), error = 'E: x', error_event = 1",
    ),
];

/// What makes a row a discarded one.
pub(crate) const DISCARDED: &str = EACH_STATE[5].1;

/// A due job of the class `PlantJob` with these arguments, and with `change` to its row.
pub(crate) async fn plant_with(pool: &PgPool, arguments: Value, change: &str) -> JobId {
    let id = JobId::generate();
    let payload = json!({
        "job_class": "PlantJob", "job_id": id, "provider_job_id": null, "queue_name": "default",
        "priority": 0, "arguments": arguments, "executions": 0, "exception_executions": {},
        "locale": "de", "enqueued_at": "2026-01-01T00:00:00.000000000Z", "scheduled_at": null,
    });
    let mut tx = pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params,
           scheduled_at, created_at, updated_at)
         VALUES ($1, $1, 'PlantJob', 'default', 0, $2, now(), now(), now())",
    )
    .bind(id.as_uuid())
    .bind(payload)
    .execute(&mut *tx)
    .await
    .unwrap();
    let statement = format!("UPDATE good_jobs SET {change} WHERE id = $1");
    sqlx::query(AssertSqlSafe(statement)).bind(id.as_uuid()).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    id
}

pub(crate) async fn plant(pool: &PgPool, change: &str) -> JobId {
    plant_with(pool, json!([]), change).await
}

/// Many discarded jobs at once, each with an attempt.
pub(crate) async fn plant_discarded(pool: &PgPool, count: i32, class: &str) {
    sqlx::query(
        "WITH planted AS (
           INSERT INTO good_jobs (active_job_id, job_class, queue_name, priority, serialized_params,
             scheduled_at, performed_at, finished_at, error, error_event, created_at, updated_at)
           SELECT gen_random_uuid(), $2, 'default', 0, '{\"executions\": 0, \"arguments\": []}',
                  now(), now(), now(), 'E: x', 1, now(), now() FROM generate_series(1, $1)
           RETURNING id)
         INSERT INTO good_job_executions (active_job_id, created_at, updated_at, finished_at, error)
         SELECT id, now(), now(), now(), 'E: x' FROM planted",
    )
    .bind(count)
    .bind(class)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query("UPDATE good_jobs SET active_job_id = id WHERE active_job_id <> id")
        .execute(pool)
        .await
        .unwrap();
}

/// The first column of the first row.
pub(crate) async fn one<T>(pool: &PgPool, question: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query(question).fetch_one(pool).await.unwrap().get(0)
}

/// A row as JSON, to be compared before and after.
pub(crate) async fn row(pool: &PgPool, id: JobId) -> Value {
    sqlx::query_scalar("SELECT to_jsonb(g) FROM good_jobs g WHERE id = $1")
        .bind(id.as_uuid())
        .fetch_one(pool)
        .await
        .unwrap()
}

/// The columns whose values differ.
pub(crate) fn changed(before: &Value, after: &Value) -> Vec<String> {
    let columns = before.as_object().unwrap().iter();
    columns.filter(|(name, value)| after[*name] != **value).map(|(name, _)| name.clone()).collect()
}
