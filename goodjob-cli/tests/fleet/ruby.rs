//! A worker that is killed beside processes of Ruby, which take over its jobs by their own rules.

use std::time::Duration;

use goodjob_core::{ErrorEvent, Inspect, JobState, ProcessId, Timestamp};
use goodjob_testkit::gem::{GemOptions, GemSession, GemStrategy, Performed};
use goodjob_testkit::{Database, Runs, Schema, eventually};
use tokio::time::Instant;
use uuid::Uuid;

use crate::worker::{Stay, Worker};

/// Facts 22 and 23 of `docs/compatibility.md`, whose tests there send no signal: an advisory process needs no
/// more than the end of our sessions, the others wait until our process counts as dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubys_processes_take_over_from_a_worker_that_was_killed() {
    for strategy in [GemStrategy::Advisory, GemStrategy::SkipLocked, GemStrategy::Hybrid] {
        let database = Database::with_schema(Schema::GEM).await;
        let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
        let victim = Worker::ready("start --poll-interval 60", &database.url()).await;
        let id = store.adapter().enqueue(Stay {}).await.unwrap();
        eventually("the row of an attempt that lasts", Duration::from_secs(20), async || {
            store.executions(id).await.unwrap().pop()
        })
        .await;
        let process = store.job(id).await.unwrap().unwrap().locked_by.unwrap();
        victim.kill(&runs).await;

        let killed = Instant::now();
        let options = GemOptions::locking_by(strategy);
        let me = ProcessId::from(Uuid::new_v4());
        let mut ruby = GemSession::open(&database.url(), me, options).await.unwrap();
        ruby.register().await.unwrap();
        if strategy != GemStrategy::Advisory {
            assert_eq!(ruby.clean_up().await.unwrap(), []);
            assert!(ruby.claim().await.unwrap().is_none(), "{strategy:?}: its owner looks alive");
            sqlx::query(
                "UPDATE good_job_processes SET updated_at = updated_at - interval '5 minutes'
                 WHERE id = $1",
            )
            .bind(process.as_uuid())
            .execute(store.pool())
            .await
            .unwrap();
            assert_eq!(ruby.clean_up().await.unwrap(), [process]);
        }
        // The server has to notice the end of a connection; a claim by `hybrid` needs the lock, too.
        let job = eventually("the job is free", Duration::from_secs(10), async || {
            ruby.claim().await.unwrap()
        })
        .await;
        println!("{strategy:?}: Ruby has the job {:?} after the kill", killed.elapsed());
        let run = ruby.start(job).await.unwrap();
        ruby.finish(run, &Performed::Done).await.unwrap();
        ruby.release(id, false).await.unwrap();

        let job = store.job(id).await.unwrap().unwrap();
        assert_eq!((job.state(Timestamp::MAX_UTC), job.executions_count), (JobState::Succeeded, 2));
        let attempts = store.executions(id).await.unwrap();
        let told: Vec<_> = attempts.iter().map(|run| (run.process, run.error_event)).collect();
        assert_eq!(
            told,
            [(Some(process), Some(ErrorEvent::Interrupted)), (Some(me), None)],
            "{strategy:?}: {attempts:?}"
        );
        assert_eq!(attempts[0].finished_at, Some(attempts[1].started_at));
        ruby.unregister().await.unwrap();
        ruby.close().await.unwrap();
        runs.close().await;
        store.close().await;
    }
}
