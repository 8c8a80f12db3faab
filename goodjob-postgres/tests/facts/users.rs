//! Facts 36 to 39: what a person does in the gem's dashboard to jobs of ours.

use goodjob_core::{ErrorEvent, Inspect, JobId, JobState, Timestamp};
use goodjob_postgres::jobs::Acted;
use goodjob_testkit::eventually;
use serde_json::json;
use sqlx::Connection;

use crate::scene::{PATIENCE, Scene, key};

/// What the dashboard writes when it retries (wire contract 6.1), under the job's lock.
const RETRY: &str = "
UPDATE good_jobs SET
  serialized_params = serialized_params || jsonb_build_object(
    'executions', (serialized_params->>'executions')::int + 1, 'provider_job_id', id),
  scheduled_at = now(), performed_at = NULL, finished_at = NULL, created_at = now(), updated_at = now(),
  error_event = 3
WHERE id = $1 AND finished_at IS NOT NULL AND error IS NOT NULL";
const DISCARD: &str = "
UPDATE good_jobs SET finished_at = now(), error_event = 5, updated_at = now(),
  error = 'GoodJob::Job::DiscardJobError: Discarded through dashboard'
WHERE id = $1 AND finished_at IS NULL";
const FORCE_DISCARD: &str = "
UPDATE good_jobs SET finished_at = now(), error_event = 5, updated_at = now(),
  error = 'GoodJob::Job::DiscardJobError: Force discarded through dashboard'
WHERE id = $1 AND finished_at IS NULL";
const RESCHEDULE: &str = "UPDATE good_jobs SET scheduled_at = now(), updated_at = now() WHERE id = $1 AND finished_at IS NULL";
const DESTROY: &str = "
WITH gone AS (DELETE FROM good_job_executions WHERE active_job_id = $1)
DELETE FROM good_jobs WHERE id = $1 AND finished_at IS NOT NULL";

/// An action of the dashboard: refused while somebody has the job's lock. `None` is that refusal.
async fn act(scene: &Scene, statement: &'static str, id: JobId) -> Option<u64> {
    let mut connection = scene.pool.acquire().await.unwrap();
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(key(id))
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    if !locked {
        return None;
    }
    let mut tx = connection.begin().await.unwrap();
    let done = sqlx::query(statement).bind(id.as_uuid()).execute(&mut *tx).await;
    tx.commit().await.unwrap();
    let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(key(id));
    unlock.execute(&mut *connection).await.unwrap();
    Some(done.unwrap().rows_affected())
}

/// As soon as the job is not locked; what is then locked for ever fails here.
async fn act_soon(scene: &Scene, statement: &'static str, id: JobId) -> u64 {
    eventually("the job can be acted on", PATIENCE, async || act(scene, statement, id).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_36_a_discarded_job_is_retried_by_the_dashboard_and_by_us_without_its_class() {
    let scene = Scene::new().await;
    let id = scene.enqueue("UnhandledJob").await;
    scene.worker.finished(id).await;
    assert_eq!(act_soon(&scene, RETRY, id).await, 1);
    // It fails again, after an attempt more.
    scene.until("SELECT count(*) FROM good_job_executions WHERE finished_at IS NOT NULL", 2).await;
    let job = scene.worker.finished(id).await;
    assert_eq!((job.payload.executions(), job.error_event), (1, Some(ErrorEvent::Unhandled)));

    // Ours needs no class, neither here nor anywhere.
    scene.change("UPDATE good_jobs SET job_class = 'Gone::ForeverJob' WHERE id = $1", id).await;
    let retried = eventually("the job can be acted on", PATIENCE, async || {
        match scene.worker.store().retry(id).await.unwrap() {
            Acted::Busy => None,
            acted => Some(acted),
        }
    });
    assert_eq!(retried.await, Acted::Done);
    let job = scene.job(id).await;
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Queued);
    assert_eq!((job.payload.executions(), job.error_event), (2, Some(ErrorEvent::Retried)));
    assert_eq!(job.payload.get("provider_job_id"), Some(&json!(id)));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_37_a_waiting_job_of_ours_is_discarded_and_rescheduled_without_its_class() {
    let scene = Scene::new().await;
    let [discarded, rescheduled] =
        [scene.enqueue("RetryJob").await, scene.enqueue("RetryJob").await];
    for id in [discarded, rescheduled] {
        scene.attempted(id).await;
    }
    assert_eq!(act_soon(&scene, DISCARD, discarded).await, 1);
    assert_eq!(act_soon(&scene, RESCHEDULE, rescheduled).await, 1);
    scene.until("SELECT count(*) FROM good_job_executions WHERE finished_at IS NOT NULL", 3).await;
    assert_eq!(scene.worker.attempts(rescheduled).await.len(), 2, "found by a poll");
    let job = scene.job(discarded).await;
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Discarded);
    assert_eq!(scene.worker.attempts(discarded).await.len(), 1);
    scene.end().await;
}

/// Column by column: `lifecycle.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_38_a_forced_discard_during_our_run_is_kept() {
    let scene = Scene::new().await;
    let id = scene.held().await;
    assert_eq!(act(&scene, DISCARD, id).await, None, "we run it");
    // The forced one takes no lock.
    assert_eq!(scene.change(FORCE_DISCARD, id).await, 1);
    scene.gate.open();
    scene.attempted(id).await;
    let job = scene.job(id).await;
    let error = "GoodJob::Job::DiscardJobError: Force discarded through dashboard";
    assert_eq!((job.error.as_deref(), job.error_event), (Some(error), Some(ErrorEvent::Discarded)));
    assert_eq!(job.finished_at, scene.worker.attempts(id).await[0].finished_at);

    // An attempt that wants to be retried does not bring its job back.
    let id = scene.held_as("HeldRetryJob").await;
    scene.change(FORCE_DISCARD, id).await;
    let at = scene.job(id).await.finished_at;
    scene.gate.open();
    scene.attempted(id).await;
    let job = scene.job(id).await;
    assert_eq!((job.finished_at, job.state(Timestamp::MAX_UTC)), (at, JobState::Discarded));
    scene.searched().await;
    assert_eq!(scene.worker.attempts(id).await.len(), 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_39_a_job_that_we_have_just_ended_can_be_destroyed() {
    let scene = Scene::new().await;
    for class in ["QuickJob", "UnhandledJob", "DiscardJob"] {
        let id = scene.enqueue(class).await;
        scene.worker.finished(id).await;
        assert_eq!(act_soon(&scene, DESTROY, id).await, 1, "{class}");
        assert_eq!(scene.worker.store().job(id).await.unwrap(), None);
    }
    assert_eq!(scene.count("SELECT count(*) FROM good_job_executions").await, 0);
    scene.end().await;
}
