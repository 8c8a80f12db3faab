//! Facts 19 to 21: the advisory locks of our worker.

use goodjob_core::{JobId, JobState, Timestamp};
use goodjob_testkit::eventually;
use goodjob_testkit::gem::GemStrategy;

use crate::scene::{PATIENCE, Scene, key};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_19_there_is_one_lock_for_each_running_job_and_none_after_the_last() {
    let scene = Scene::new().await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(key(scene.held().await));
        let mut held = scene.locks().await;
        held.sort_unstable();
        expected.sort_unstable();
        assert_eq!(held, expected);
    }
    for _ in 0..3 {
        scene.gate.open();
    }
    for _ in 0..50 {
        scene.enqueue("QuickJob").await;
    }
    scene.until("SELECT count(*) FROM good_jobs WHERE finished_at IS NULL", 0).await;
    eventually("no lock is left", PATIENCE, async || {
        let left = scene.locks().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    scene.end().await;
}

/// Another session waits for the lock, and looks at the row as soon as it has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_20_a_lock_is_released_only_when_everybody_can_see_the_outcome() {
    let scene = Scene::new().await;
    for _ in 0..20 {
        let id = scene.held().await;
        let pool = scene.pool.clone();
        let waiting = tokio::spawn(async move {
            let mut other = pool.acquire().await.unwrap();
            let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(key(id));
            lock.execute(&mut *other).await.unwrap();
            let finished: bool =
                sqlx::query_scalar("SELECT finished_at IS NOT NULL FROM good_jobs WHERE id = $1")
                    .bind(id.as_uuid())
                    .fetch_one(&mut *other)
                    .await
                    .unwrap();
            let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(key(id));
            unlock.execute(&mut *other).await.unwrap();
            finished
        });
        scene
            .until("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 1)
            .await;
        scene.gate.open();
        assert!(waiting.await.unwrap(), "{id} was free before its outcome was visible");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_21_a_job_whose_lock_session_died_is_not_finished_twice() {
    for _ in 0..3 {
        let scene = Scene::new().await;
        let id = scene.held().await;
        let ruby = scene.gem(GemStrategy::Advisory).await;
        // Waits until the session is gone: while it dies it still has the lock, which then is nobody's.
        let ended: Vec<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1",
        )
        .bind(format!("goodjob lock {}", scene.worker.capsule().process()))
        .fetch_all(&scene.pool)
        .await
        .unwrap();
        assert_eq!(ended, [true]);
        // Either the lock is ours again, or Ruby was quicker and has begun an attempt of its own.
        eventually("somebody holds the lock", PATIENCE, async || {
            let taken_over = scene.worker.attempts(id).await.len() > 1;
            (taken_over || scene.locks().await == [key(id)]).then_some(())
        })
        .await;
        scene.gate.open();
        scene.gate.open();
        let job = scene.worker.finished(id).await;
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded);
        ruby.stop().await;
        let attempts = successes(&scene, id).await;
        assert_eq!(attempts, 1);
        scene.end().await;
    }
}

async fn successes(scene: &Scene, id: JobId) -> usize {
    let attempts = scene.worker.attempts(id).await;
    attempts.iter().filter(|a| a.error.is_none() && a.finished_at.is_some()).count()
}
