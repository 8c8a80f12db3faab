//! Whole processes: threads, wake-ups, ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use goodjob_core::JobId;
use goodjob_testkit::gem::GemStrategy::{Advisory, Hybrid, SkipLocked};
use goodjob_testkit::gem::{GemOptions, GemSession, GemStrategy, Performed, RubyError};
use goodjob_testkit::{GemWorker, eventually};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{PATIENCE, Rails};

/// Which nothing but messages wakes.
fn unpolled(strategy: GemStrategy) -> GemOptions {
    GemOptions { poll_interval: None, threads: 3, ..GemOptions::locking_by(strategy) }
}

async fn finished(rails: &Rails, ids: &[JobId]) {
    eventually("the end of the jobs", PATIENCE, async || {
        let mut open = Vec::new();
        for id in ids {
            let job = rails.job(*id).await;
            if job["finished_at"].is_null() {
                open.push(job.to_string());
            }
        }
        if open.is_empty() { Ok(()) } else { Err(open.join("\n")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_heard_of_done_and_retried_under_each_strategy() {
    for strategy in [Advisory, SkipLocked, Hybrid] {
        let rails = Rails::new().await;
        let earlier = rails.enqueue().await;
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let worker = GemWorker::start(&rails.database.url(), unpolled(strategy), move |_| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                match first {
                    true => Performed::Retry {
                        error: RubyError::new("Boom", "once more"),
                        wait: Duration::from_millis(300),
                    },
                    false => Performed::Done,
                }
            }
        })
        .await;
        finished(&rails, &[earlier]).await;
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(rails.enqueue().await);
        }
        finished(&rails, &ids).await;
        assert_eq!(runs.load(Ordering::Relaxed), 7, "{strategy:?}");
        assert_eq!(worker.errors(), [""; 0]);
        worker.stop().await;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
            .fetch_one(&rails.pool)
            .await
            .unwrap();
        assert_eq!(left, 0);
        rails.close().await;
    }
}

/// H14.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_costs_the_connection_of_the_listener() {
    let rails = Rails::new().await;
    let worker =
        GemWorker::start(&rails.database.url(), unpolled(Advisory), async |_| Performed::Done)
            .await;
    let listening =
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND query LIKE 'LISTEN%'";
    let name = GemSession::application_name(worker.process());
    let pid = async || -> Option<i32> {
        sqlx::query_scalar(listening).bind(&name).fetch_optional(&rails.pool).await.unwrap()
    };
    let before = eventually("a listener", PATIENCE, pid).await;
    sqlx::query("SELECT pg_notify('good_job', '{\"count\": \"many\"}')")
        .execute(&rails.pool)
        .await
        .unwrap();
    eventually("another listener", PATIENCE, async || pid().await.filter(|pid| *pid != before))
        .await;
    assert_eq!(worker.errors(), ["listener: count: found \"many\""]);
    let id = rails.enqueue().await;
    finished(&rails, &[id]).await;
    worker.stop().await;
    rails.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_running_jobs_and_a_kill_does_not() {
    for killed in [false, true] {
        let rails = Rails::new().await;
        let id = rails.enqueue().await;
        let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tell, wait) = (Arc::clone(&begun), Arc::clone(&gate));
        let worker = GemWorker::start(&rails.database.url(), unpolled(SkipLocked), move |_| {
            let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
            async move {
                tell.add_permits(1);
                wait.acquire().await.unwrap().forget();
                Performed::Done
            }
        })
        .await;
        begun.acquire().await.unwrap().forget();
        let process = json!(worker.process());
        if killed {
            worker.kill().await;
            let job = rails.job(id).await;
            assert_eq!((&job["locked_by_id"], &job["finished_at"]), (&process, &json!(null)));
        } else {
            gate.add_permits(1);
            worker.stop().await;
            assert_ne!(rails.job(id).await["finished_at"], json!(null));
        }
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
            .fetch_one(&rails.pool)
            .await
            .unwrap();
        assert_eq!(rows, i64::from(killed), "a process that is killed leaves its row");
        rails.close().await;
    }
}
