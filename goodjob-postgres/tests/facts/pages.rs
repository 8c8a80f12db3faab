//! Facts 30 to 33: our jobs in the tabs of the gem's dashboard.

use std::time::Duration;

use goodjob_core::{ErrorEvent, JobId};
use serde_json::Value;

use crate::scene::Scene;

async fn tabs(scene: &Scene, id: JobId) -> Vec<String> {
    let tabs = sqlx::query_scalar(include_str!("tab.sql")).bind(id.as_uuid());
    tabs.fetch_all(&scene.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_30_a_job_that_we_run_is_shown_as_running() {
    let scene = Scene::new().await;
    let id = scene.held().await;
    assert_eq!(tabs(&scene, id).await, ["running"]);
    for column in ["performed_at", "locked_by_id", "locked_at", "lock_type"] {
        assert_ne!(scene.column(id, column).await, Value::Null, "{column}");
    }
    scene.gate.open();
    scene.worker.finished(id).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_31_a_success_is_shown_with_one_attempt_and_its_duration() {
    let scene = Scene::new().await;
    let id = scene.held().await;
    scene.gate.open();
    let job = scene.worker.finished(id).await;
    assert_eq!(tabs(&scene, id).await, ["succeeded"]);
    let attempts = scene.worker.attempts(id).await;
    let [attempt] = &attempts[..] else { panic!("{attempts:?}") };
    let (took, lasted) =
        (attempt.duration.unwrap(), attempt.finished_at.unwrap() - attempt.started_at);
    assert!(took > Duration::ZERO && took <= lasted.to_std().unwrap(), "{took:?} of {lasted}");
    assert_eq!((job.error, attempt.error.clone(), attempt.error_event), (None, None, None));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_32_a_failure_is_shown_with_class_message_backtrace_and_event() {
    let scene = Scene::new().await;
    let id = scene.enqueue("UnhandledJob").await;
    let job = scene.worker.finished(id).await;
    assert_eq!(tabs(&scene, id).await, ["discarded"]);
    assert_eq!(job.error.as_deref(), Some("ArgumentError: nobody rescues this"));
    assert_eq!(job.error_event, Some(ErrorEvent::Unhandled));
    let attempts = scene.worker.attempts(id).await;
    assert_eq!((&attempts[0].error, attempts[0].error_event), (&job.error, job.error_event));
    let frames = scene.count(
        "SELECT count(*) FROM good_job_executions
         WHERE error_backtrace IS NOT NULL AND pg_typeof(error_backtrace) = 'text[]'::regtype",
    );
    assert_eq!(frames.await, 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_33_a_retry_is_shown_as_waiting_with_its_time_and_count() {
    let scene = Scene::new().await;
    let id = scene.enqueue("RetryJob").await;
    scene.attempted(id).await;
    let (job, attempts) = (scene.job(id).await, scene.worker.attempts(id).await);
    // The gem counts a first retry as scheduled.
    assert_eq!(tabs(&scene, id).await, ["scheduled"]);
    assert_eq!(
        job.scheduled_at.unwrap(),
        attempts[0].finished_at.unwrap() + Duration::from_secs(3_600)
    );
    assert_eq!((job.payload.executions(), job.error_event), (1, Some(ErrorEvent::Retried)));
    scene.change("UPDATE good_jobs SET scheduled_at = now() WHERE id = $1", id).await;
    scene.until("SELECT count(*) FROM good_job_executions WHERE finished_at IS NOT NULL", 2).await;
    assert_eq!(tabs(&scene, id).await, ["retried"]);
    scene.end().await;
}
