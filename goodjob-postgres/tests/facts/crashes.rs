//! Facts 22 to 24: a process is killed, and another one runs its job.

use goodjob_core::{ErrorEvent, JobId, JobState, ProcessId, Shutdown, Timestamp};
use goodjob_testkit::eventually;
use goodjob_testkit::gem::{GemStrategy, Performed};
use serde_json::Value;

use crate::scene::{PATIENCE, STRATEGIES, Scene};

/// The rows of a worker of ours that SIGKILL hit while it ran a job: they are taken down while it runs,
/// and put back when it has ended in order. Of its sessions, nothing is left.
async fn killed(scene: &Scene) -> (JobId, ProcessId) {
    let process = scene.worker.capsule().process();
    let id = scene.held().await;
    let look = || {
        sqlx::query_scalar(
            "SELECT jsonb_build_array(to_jsonb(j), to_jsonb(x), to_jsonb(p))
         FROM good_jobs j, good_job_executions x, good_job_processes p
         WHERE j.id = $1 AND x.active_job_id = j.id AND p.id = j.locked_by_id",
        )
        .bind(id.as_uuid())
    };
    // An attempt that lasts gets its row after a quarter of a second.
    let rows: Value = eventually("the rows of a running job", PATIENCE, async || {
        look().fetch_optional(&scene.pool).await.unwrap()
    })
    .await;
    scene.worker.capsule().shutdown(Shutdown::Now).await;
    scene.worker.store().close().await;
    let mut tx = scene.pool.begin().await.unwrap();
    sqlx::raw_sql("DELETE FROM good_jobs; DELETE FROM good_job_executions")
        .execute(&mut *tx)
        .await
        .unwrap();
    for (statement, row) in [
        "INSERT INTO good_jobs SELECT * FROM jsonb_populate_record(NULL::good_jobs, $1)",
        "INSERT INTO good_job_executions SELECT * FROM jsonb_populate_record(NULL::good_job_executions, $1)",
        "INSERT INTO good_job_processes SELECT * FROM jsonb_populate_record(NULL::good_job_processes, $1)",
    ]
    .into_iter()
    .zip(rows.as_array().unwrap())
    {
        sqlx::query(statement).bind(row).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    (id, process)
}

/// What the gem writes about an attempt that vanished.
fn interruption(started: Timestamp) -> String {
    let started = started.format("%Y-%m-%d %H:%M:%S UTC");
    format!("GoodJob::InterruptedError: Interrupted after starting perform at '{started}'")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_22_an_advisory_process_runs_the_job_of_our_killed_worker_at_once() {
    let scene = Scene::new().await;
    let (id, process) = killed(&scene).await;
    let watch = scene.database.store().await;
    let mut ruby = scene.gem_session(GemStrategy::Advisory).await;
    let job = ruby.claim().await.unwrap().expect("its lock is free");
    assert_eq!(job.id, id);
    let run = ruby.start(job).await.unwrap();
    ruby.finish(run, &Performed::Done).await.unwrap();
    ruby.release(id, false).await.unwrap();
    let attempts = goodjob_core::Inspect::executions(&watch, id).await.unwrap();
    let ([ours, rubys], job) =
        (&attempts[..], goodjob_core::Inspect::job(&watch, id).await.unwrap())
    else {
        panic!("{attempts:?}")
    };
    assert_eq!(ours.process, Some(process));
    assert_eq!(ours.error, Some(interruption(ours.started_at)));
    assert_eq!(
        (ours.error_event, ours.finished_at),
        (Some(ErrorEvent::Interrupted), Some(rubys.started_at))
    );
    assert_eq!(rubys.error, None);
    assert_eq!(job.unwrap().state(Timestamp::MAX_UTC), JobState::Succeeded);
    ruby.unregister().await.unwrap();
    ruby.close().await.unwrap();
    watch.close().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_23_processes_that_go_by_the_row_wait_until_our_killed_worker_has_expired() {
    for strategy in [GemStrategy::SkipLocked, GemStrategy::Hybrid] {
        let scene = Scene::new().await;
        let (id, process) = killed(&scene).await;
        let mut ruby = scene.gem_session(strategy).await;
        assert_eq!(ruby.clean_up().await.unwrap(), []);
        assert!(ruby.claim().await.unwrap().is_none(), "{strategy:?}: its owner looks alive");
        sqlx::query(
            "UPDATE good_job_processes SET updated_at = now() - interval '6 minutes' WHERE id = $1",
        )
        .bind(process.as_uuid())
        .execute(&scene.pool)
        .await
        .unwrap();
        assert_eq!(ruby.clean_up().await.unwrap(), [process]);
        let job = ruby.claim().await.unwrap().expect("it is free");
        assert_eq!(job.id, id);
        let run = ruby.start(job).await.unwrap();
        ruby.finish(run, &Performed::Done).await.unwrap();
        ruby.release(id, false).await.unwrap();
        ruby.unregister().await.unwrap();
        ruby.close().await.unwrap();
        scene.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_24_we_run_the_job_of_a_killed_process_of_the_gem_as_interrupted() {
    for strategy in STRATEGIES {
        let scene = Scene::new().await;
        let mut ruby = scene.gem_session(strategy).await;
        let process = ruby.process();
        let id = scene.enqueue("RubysJob").await;
        let job = ruby.claim().await.unwrap().unwrap();
        ruby.start(job).await.unwrap();
        // Its sessions are gone, and its row and what it owned are there.
        drop(ruby);
        scene.change("UPDATE good_jobs SET job_class = 'HeldJob' WHERE id = $1", id).await;
        scene.searched().await;
        assert_eq!(scene.worker.attempts(id).await.len(), 1, "{strategy:?}: its owner looks alive");
        sqlx::query(
            "UPDATE good_job_processes SET updated_at = now() - interval '6 minutes' WHERE id = $1",
        )
        .bind(process.as_uuid())
        .execute(&scene.pool)
        .await
        .unwrap();
        scene.arrival().await;
        let attempts = eventually("both attempts", PATIENCE, async || {
            Some(scene.worker.attempts(id).await).filter(|attempts| attempts.len() == 2)
        })
        .await;
        let job = scene.job(id).await;
        let text = interruption(attempts[0].started_at);
        assert_eq!(
            (job.error.as_ref(), job.error_event),
            (Some(&text), Some(ErrorEvent::Interrupted))
        );
        assert_eq!(attempts[0].process, Some(process));
        assert_eq!(
            (attempts[0].error.as_ref(), attempts[0].error_event),
            (Some(&text), Some(ErrorEvent::Interrupted))
        );
        assert_eq!(attempts[0].finished_at, Some(attempts[1].started_at));
        scene.gate.open();
        assert_eq!(scene.worker.finished(id).await.error, None);
        eventually("its row is gone", PATIENCE, async || {
            (scene.count("SELECT count(*) FROM good_job_processes").await == 1).then_some(())
        })
        .await;
        scene.end().await;
    }
}
