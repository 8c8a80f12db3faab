//! Facts 25 to 29: rows of processes, ours and theirs.

use std::collections::BTreeSet;

use goodjob_core::{JobId, ProcessId};
use goodjob_postgres::advisory_key;
use goodjob_testkit::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::scene::{PATIENCE, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_25_our_row_is_made_again_under_us_and_running_jobs_are_stamped_again() {
    let scene = Scene::new().await;
    let id = scene.held().await;
    let process = scene.worker.capsule().process();
    // What a clean-up of the gem does to a process that it takes for dead.
    let mut tx = scene.pool.begin().await.unwrap();
    for statement in [
        "UPDATE good_jobs SET locked_by_id = NULL, locked_at = NULL WHERE locked_by_id = $1",
        "DELETE FROM good_job_processes WHERE id = $1",
    ] {
        let done = sqlx::query(statement).bind(process.as_uuid()).execute(&mut *tx).await;
        assert_eq!(done.unwrap().rows_affected(), 1, "{statement}");
    }
    tx.commit().await.unwrap();
    eventually("row and owner are there again", PATIENCE, async || {
        let rows: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM good_job_processes")
            .fetch_all(&scene.pool)
            .await
            .unwrap();
        let job = scene.job(id).await;
        match (&rows[..], job.locked_by) {
            ([row], Some(owner)) if *row == process.as_uuid() && owner == process => Ok(()),
            _ => Err(format!("{rows:?}, {job:?}")),
        }
    })
    .await;
    scene.gate.open();
    scene.worker.finished(id).await;
    assert_eq!(scene.worker.attempts(id).await.len(), 1);
    scene.end().await;
}

/// A process of the gem with a job of its own, of a class that we do not know.
async fn process(scene: &Scene, lock_type: Option<i16>, minutes_old: i32) -> (ProcessId, JobId) {
    let process = ProcessId::from(Uuid::new_v4());
    let id = scene.enqueue("RubysJob").await;
    sqlx::query(
        "UPDATE good_jobs SET locked_by_id = $2, locked_at = now(), performed_at = now(), lock_type = 1
         WHERE id = $1",
    )
    .bind(id.as_uuid())
    .bind(process.as_uuid())
    .execute(&scene.pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO good_job_processes (id, created_at, updated_at, state, lock_type)
         SELECT $1, at, at, $4, $2 FROM (VALUES (now() - make_interval(mins => $3))) AS v(at)",
    )
    .bind(process.as_uuid())
    .bind(lock_type)
    .bind(minutes_old)
    .bind(json!({"memory": 1, "schedulers": []}))
    .execute(&scene.pool)
    .await
    .unwrap();
    (process, id)
}

async fn left(scene: &Scene) -> BTreeSet<ProcessId> {
    let rows: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM good_job_processes")
        .fetch_all(&scene.pool)
        .await
        .unwrap();
    rows.into_iter().map(ProcessId::from).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_26_inactive_processes_of_the_gem_are_removed_by_its_own_rule() {
    let scene = Scene::new().await;
    let (old, _) = process(&scene, None, 6).await;
    let (unlocked, unlocked_job) = process(&scene, Some(0), 0).await;
    let (fresh, fresh_job) = process(&scene, None, 4).await;
    let (unknown, unknown_job) = process(&scene, Some(1), 60).await;
    let us = scene.worker.capsule().process();
    eventually("the inactive ones are gone", PATIENCE, async || {
        let left = left(&scene).await;
        if left.contains(&old) || left.contains(&unlocked) {
            Err(format!("{left:?}"))
        } else {
            Ok(())
        }
    })
    .await;
    assert_eq!(left(&scene).await, BTreeSet::from([fresh, unknown, us]));
    let owned: Vec<Value> = sqlx::query_scalar(
        "SELECT to_jsonb(id) FROM good_jobs WHERE num_nonnulls(locked_by_id, locked_at, lock_type) > 0
         AND locked_by_id = ANY($1) ORDER BY created_at",
    )
    .bind([fresh, unknown].map(|process| process.as_uuid()).as_slice())
    .fetch_all(&scene.pool)
    .await
    .unwrap();
    assert_eq!(owned, [json!(fresh_job), json!(unknown_job)]);
    for column in ["locked_by_id", "locked_at", "lock_type"] {
        assert_eq!(scene.column(unlocked_job, column).await, Value::Null);
    }
    assert_ne!(scene.column(unlocked_job, "performed_at").await, Value::Null, "found interrupted");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_27_a_process_that_holds_its_lock_is_never_touched() {
    let scene = Scene::new().await;
    let mut session = scene.pool.acquire().await.unwrap();
    // Its row comes after its lock, so that it is never seen without.
    let process = ProcessId::from(Uuid::new_v4());
    let key = advisory_key(&format!("good_job_processes-{process}"));
    for (statement, holds) in
        [("SELECT pg_advisory_lock($1)", true), ("SELECT pg_advisory_unlock($1)", false)]
    {
        sqlx::query(statement).bind(key).execute(&mut *session).await.unwrap();
        if holds {
            sqlx::query(
                "INSERT INTO good_job_processes (id, created_at, updated_at, state, lock_type)
                 VALUES ($1, now() - interval '1 hour', now() - interval '1 hour', '{\"memory\": 1}', 0)",
            )
            .bind(process.as_uuid())
            .execute(&scene.pool)
            .await
            .unwrap();
            // Another one, which goes, shows that somebody looked.
            let (other, _) = self::process(&scene, None, 6).await;
            eventually("the other one is gone", PATIENCE, async || {
                (!left(&scene).await.contains(&other)).then_some(())
            })
            .await;
            assert!(left(&scene).await.contains(&process));
        }
    }
    eventually("it is gone without its lock", PATIENCE, async || {
        (!left(&scene).await.contains(&process)).then_some(())
    })
    .await;
    drop(session);
    scene.end().await;
}

/// The page of processes, as `dashboard.rs` reads it: what is shown of a process, and whether Ruby could
/// compute the megabytes.
async fn page(scene: &Scene) -> Vec<(String, String, Vec<String>, Option<bool>)> {
    let statement = format!(
        "SELECT pid, hostname, pools, has_memory FROM ({}) AS page",
        include_str!("../dashboard/processes.sql")
    );
    sqlx::query_as(sqlx::AssertSqlSafe(statement)).fetch_all(&scene.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_28_the_page_of_processes_shows_our_row() {
    let scene = Scene::new().await;
    let shown = page(&scene).await;
    let [(pid, host, pools, memory)] = &shown[..] else { panic!("{shown:?}") };
    assert_eq!(*pid, std::process::id().to_string());
    assert!(!host.is_empty());
    assert_eq!((&pools[..], *memory), (&["* 5".to_owned()][..], Some(true)));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_29_our_row_has_the_memory_that_the_page_of_processes_divides() {
    let scene = Scene::new().await;
    sqlx::query("UPDATE good_job_processes SET state = state - 'memory'")
        .execute(&scene.pool)
        .await
        .unwrap();
    // Without it Ruby divides nil; with the next beat it is there again.
    eventually("the memory is there again", PATIENCE, async || {
        (page(&scene).await[0].3 == Some(true)).then_some(())
    })
    .await;
    let kind: String =
        sqlx::query_scalar("SELECT jsonb_typeof(state->'memory') FROM good_job_processes")
            .fetch_one(&scene.pool)
            .await
            .unwrap();
    assert_eq!(kind, "number");
    scene.end().await;
}
