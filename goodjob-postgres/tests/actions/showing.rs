//! Everything about one job.

use goodjob_core::{ErrorEvent, JobId, JobState, Tick};
use serde_json::json;
use uuid::Uuid;

use crate::plant::{DISCARDED, plant, plant_with};

#[tokio::test]
async fn a_job_is_shown_with_all_that_belongs_to_it() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let batch = Uuid::from_u128(7);
    let change = format!(
        "{DISCARDED}, labels = '{{a,b}}', concurrency_key = 'one', cron_key = 'nightly',
         cron_at = '2026-01-02 03:04:05', batch_id = '{batch}', batch_callback_id = '{batch}', lock_type = 2"
    );
    let id = plant_with(&pool, json!(["Ada"]), &change).await;
    for attempt in 1..=2 {
        sqlx::query(
            "INSERT INTO good_job_executions (active_job_id, created_at, updated_at, scheduled_at,
               finished_at, duration, error, error_event, error_backtrace)
             VALUES ($1, now() + $2 * interval '1 s', now(), now(), now(), interval '1.5 s', 'E: ' || $2, 3, '{here,there}')",
        )
        .bind(id.as_uuid())
        .bind(attempt)
        .execute(&pool)
        .await
        .unwrap();
    }
    let shown = store.show(id).await.unwrap().unwrap();
    assert_eq!((shown.job.id, shown.state), (id, JobState::Discarded));
    assert_eq!(shown.job.payload.get("arguments"), Some(&json!(["Ada"])));
    assert_eq!(shown.job.labels, ["a", "b"]);
    assert_eq!(shown.job.ties.concurrency_key.as_deref(), Some("one"));
    let tick =
        Tick { key: "nightly".to_owned(), at: Some("2026-01-02T03:04:05Z".parse().unwrap()) };
    assert_eq!(shown.job.ties.tick, Some(tick));
    let batch = Some(batch.into());
    assert_eq!((shown.job.ties.batch, shown.job.ties.batch_callback), (batch, batch));
    assert_eq!((shown.lock_type, &shown.owner, shown.locks.len()), (Some(2), &None, 0));
    let errors: Vec<_> = shown.executions.iter().map(|e| e.error.as_deref().unwrap()).collect();
    assert_eq!(errors, ["E: 1", "E: 2"]);
    assert_eq!(shown.executions[0].error_event, Some(ErrorEvent::Retried));
    assert_eq!(shown.executions[0].backtrace, ["here", "there"]);
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!((&json["state"], &json["class"]), (&json!("discarded"), &json!("PlantJob")));

    assert_eq!(store.show(JobId::generate()).await.unwrap(), None);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn an_owner_is_shown_alive_or_dead() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    for (beat, lock_type, alive) in [
        ("now()", "NULL", true),
        ("now() - interval '6 minutes'", "NULL", false),
        // Its life is its lock, which nobody holds.
        ("now()", "0", false),
    ] {
        let process = Uuid::now_v7();
        let statement = format!(
            "INSERT INTO good_job_processes (id, created_at, updated_at, lock_type, state)
             VALUES ($1, now(), {beat}, {lock_type}, '{{\"hostname\": \"db1\", \"pid\": 42}}')"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement)).bind(process).execute(&pool).await.unwrap();
        let id = plant(&pool, &format!("locked_by_id = '{process}', locked_at = now()")).await;
        let owner = store.show(id).await.unwrap().unwrap().owner.unwrap();
        assert_eq!((owner.known, owner.alive), (true, alive), "{beat} {lock_type}");
        assert_eq!((owner.hostname.as_deref(), owner.pid), (Some("db1"), Some(42)));
    }
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn tables_without_the_column_of_the_lock_type_will_do() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let statement = goodjob_postgres::STATEMENTS.iter().find(|(name, _)| *name == "JOBS_SHOW");
    let kept = statement.unwrap().1.lines().filter(|line| !line.ends_with(" -- if lock_type"));
    let statement = kept.collect::<Vec<_>>().join("\n");
    sqlx::raw_sql("ALTER TABLE good_jobs DROP COLUMN lock_type").execute(&pool).await.unwrap();
    let prepare = format!("PREPARE s AS {statement}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&pool).await.unwrap();
    // The other statements do not name it at all.
    let id = plant(&pool, DISCARDED).await;
    assert_eq!(store.retry(id).await.unwrap(), goodjob_postgres::jobs::Acted::Done);
    store.close().await;
    pool.close().await;
}
