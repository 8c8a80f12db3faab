//! Holes of the gem (wire contract 3.12) that no fact is about and that a test can show: what they do beside
//! us. `docs/compatibility.md` lists all of them.

use goodjob_core::{ErrorEvent, JobId, JobState, ProcessId, Timestamp};
use goodjob_testkit::eventually;
use goodjob_testkit::gem::{GemJob, GemOptions, GemSession, GemStrategy, Performed};
use sqlx::Connection;
use uuid::Uuid;

use crate::scene::{PATIENCE, Scene, key};

/// Its candidates are so many as its limit says, and jobs that run are among them. Ours are free jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hole_07_jobs_that_run_hide_free_ones_from_an_advisory_process_and_not_from_us() {
    let scene = Scene::new().await;
    let running = [scene.held().await, scene.held().await];
    let options = GemOptions { queue_select_limit: 2, ..GemOptions::default() };
    let process = ProcessId::from(Uuid::new_v4());
    let mut ruby = GemSession::open(&scene.database.url(), process, options).await.unwrap();
    ruby.register().await.unwrap();
    let free = scene.enqueue("RubysJob").await;
    assert!(ruby.claim().await.unwrap().is_none(), "it sees no further than what runs");
    scene.searched().await;

    // One of them less, and it sees the free one.
    scene.gate.open();
    eventually("one of two has ended", PATIENCE, async || {
        let (one, other) = (scene.job(running[0]).await, scene.job(running[1]).await);
        one.finished_at.or(other.finished_at)
    })
    .await;
    let job = ruby.claim().await.unwrap().expect("there is room for one");
    assert_eq!(job.id, free);
    let run = ruby.start(job).await.unwrap();
    ruby.finish(run, &Performed::Done).await.unwrap();
    ruby.release(free, false).await.unwrap();
    ruby.unregister().await.unwrap();
    ruby.close().await.unwrap();
    scene.end().await;
}

/// The first half of an advisory claim: whether a job is a candidate.
async fn is_candidate(scene: &Scene, id: JobId) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM good_jobs
                        WHERE id = $1 AND finished_at IS NULL AND scheduled_at <= now())",
    )
    .bind(id.as_uuid())
    .fetch_one(&scene.pool)
    .await
    .unwrap()
}

/// The second half: the row as it is once the lock is held. All that counts then is that it is not finished.
async fn reload(scene: &Scene, id: JobId) -> GemJob {
    sqlx::query_as(
        "SELECT id, job_class, queue_name, priority, serialized_params, executions_count, error, cron_key,
                scheduled_at AT TIME ZONE 'UTC' AS scheduled_at, performed_at AT TIME ZONE 'UTC' AS performed_at,
                finished_at AT TIME ZONE 'UTC' AS finished_at, created_at AT TIME ZONE 'UTC' AS created_at
         FROM good_jobs WHERE id = $1",
    )
    .bind(id.as_uuid())
    .fetch_one(&scene.pool)
    .await
    .unwrap()
}

/// Its claim looks at due times first and locks then, and we write a retry in between. The job runs early,
/// which is the gem's; it runs once, and nothing of it is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hole_10_an_advisory_process_that_looked_before_our_retry_runs_it_early_and_once() {
    let scene = Scene::new().await;
    let id = scene.held_as("HeldRetryJob").await;
    assert!(is_candidate(&scene, id).await, "it is due as long as it runs");
    let mut lock = sqlx::PgConnection::connect(&scene.database.url()).await.unwrap();
    let mut try_lock = async || -> bool {
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(key(id))
            .fetch_one(&mut lock)
            .await
            .unwrap()
    };
    assert!(!try_lock().await, "our lock keeps it away");
    scene.gate.open();
    eventually("the lock is free", PATIENCE, async || try_lock().await.then_some(())).await;
    let job = reload(&scene, id).await;
    assert!(job.finished_at.is_none(), "the one thing that is looked at again");
    assert!(
        !is_candidate(&scene, id).await,
        "it waits for its retry: we wrote that before we unlocked"
    );
    assert!(job.performed_at.is_none(), "and so it is taken for no interruption");

    let mut ruby = scene.gem_session(GemStrategy::Advisory).await;
    let run = ruby.start(job).await.unwrap();
    scene.searched().await;
    ruby.finish(run, &Performed::Done).await.unwrap();
    lock.close().await.unwrap();
    scene.searched().await;
    let job = scene.job(id).await;
    assert_eq!((job.state(Timestamp::MAX_UTC), job.executions_count), (JobState::Succeeded, 2));
    let attempts = scene.worker.attempts(id).await;
    let told: Vec<_> = attempts.iter().map(|run| (run.process, run.error_event)).collect();
    let ours = scene.worker.capsule().process();
    assert_eq!(told, [(Some(ours), Some(ErrorEvent::Retried)), (Some(ruby.process()), None)]);
    ruby.unregister().await.unwrap();
    ruby.close().await.unwrap();
    scene.end().await;
}
