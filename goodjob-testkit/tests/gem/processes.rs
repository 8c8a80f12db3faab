//! The rows of processes (wire contract 3.8 and 7).

use goodjob_testkit::gem::GemStrategy::{Advisory, SkipLocked};
use serde_json::json;
use sqlx::Connection;
use uuid::Uuid;

use crate::Rails;

async fn processes(rails: &Rails) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT id FROM good_job_processes ORDER BY id")
        .fetch_all(&rails.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_process_is_registered_refreshed_made_anew_and_unregistered() {
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let mut session = rails.session(SkipLocked).await;
    session.register().await.unwrap();
    assert_eq!(processes(&rails).await, [session.process().as_uuid()]);
    let memory: bool = sqlx::query_scalar(
        "SELECT jsonb_typeof(state->'memory') = 'number' AND lock_type IS NULL FROM good_job_processes",
    )
    .fetch_one(&rails.pool)
    .await
    .unwrap();
    assert!(memory);
    sqlx::query("DELETE FROM good_job_processes").execute(&rails.pool).await.unwrap();
    session.refresh().await.unwrap();
    assert_eq!(processes(&rails).await, [session.process().as_uuid()]);

    session.claim().await.unwrap().unwrap();
    session.unregister().await.unwrap();
    assert!(processes(&rails).await.is_empty());
    let job = rails.job(id).await;
    assert_eq!((&job["locked_by_id"], &job["lock_type"]), (&json!(null), &json!(1)));
    assert_ne!(job["locked_at"], json!(null), "stays, as does the type");
    rails.close().await;
}

/// The nine rows of wire contract 7.3, of which two of the kind 0 are held by their lock.
#[tokio::test]
async fn only_inactive_processes_are_cleaned_up() {
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let mut rows = Vec::new();
    for kind in [None, Some(0_i16), Some(1)] {
        for minutes in [0, 10] {
            let process: Uuid = sqlx::query_scalar(
                "INSERT INTO good_job_processes (created_at, updated_at, state, lock_type)
                 SELECT at, at, '{\"memory\": 1}', $2 FROM (SELECT now() - make_interval(mins => $1) AS at) t
                 RETURNING id",
            )
            .bind(minutes)
            .bind(kind)
            .fetch_one(&rails.pool)
            .await
            .unwrap();
            rows.push((kind, minutes, process));
        }
    }
    let stale = rows[1].2;
    sqlx::query("UPDATE good_jobs SET locked_by_id = $1, locked_at = now(), lock_type = 1")
        .bind(stale)
        .execute(&rails.pool)
        .await
        .unwrap();
    let held = rows[3].2;
    let mut holder = sqlx::PgConnection::connect(&rails.database.url()).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(goodjob_postgres::advisory_key(&format!("good_job_processes-{held}")))
        .execute(&mut holder)
        .await
        .unwrap();

    let mut gone = rails.session(Advisory).await.clean_up().await.unwrap();
    gone.sort();
    let mut expected = vec![stale.into(), rows[2].2.into()];
    expected.sort();
    assert_eq!(gone, expected);
    assert_eq!(processes(&rails).await.len(), 4);
    let job = rails.job(id).await;
    assert_eq!((&job["locked_by_id"], &job["locked_at"]), (&json!(null), &json!(null)));
    assert_eq!(job["lock_type"], 1, "a clean-up leaves it (H18)");
    holder.close().await.unwrap();
    rails.close().await;
}
