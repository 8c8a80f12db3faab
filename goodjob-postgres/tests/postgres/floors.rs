//! What claims take of a lane: rows that appear below its floor while others flow past it, rows behind those that
//! somebody holds, and jobs of every kind in their order.

use chrono::{TimeDelta, Utc};
use goodjob_core::{Fate, JobId, NewJob, QueueSelector, Settled, Store, Wanted};
use goodjob_postgres::EnqueueIn;
use goodjob_testkit::Harness;
use tokio::time::Instant;

use crate::regressions::{CLASS, beating, claim, ended, job};
use crate::stage::{Nap, Stage, secs};

const SHORT: Nap = Nap { millis: 1 };
/// So many that they are not over before a row below the floor has to be found.
const FLOW: usize = 6_000;

/// How long it takes from now until the job starts, and that others wait then.
async fn until_started(stage: &Stage, id: JobId) -> std::time::Duration {
    let begun = Instant::now();
    while stage.start().await.0 != id {}
    let took = begun.elapsed();
    let count = "SELECT count(*) FROM good_jobs WHERE finished_at IS NULL AND performed_at IS NULL";
    let waiting: i64 = sqlx::query_scalar(count).fetch_one(&stage.pool).await.unwrap();
    assert!(waiting > 0, "the flow was over, and it was found by looking for more");
    took
}

/// Nobody tells of either, and there are no polls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_below_the_floor_start_within_a_second_of_their_commit_while_others_flow() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, stage.naps(), |config, _| {
        config.poll_interval = None;
    })
    .await;
    let adapter = worker.adapter();
    let flow = (0..FLOW).map(|_| NewJob::new(&SHORT).unwrap());
    adapter.enqueue_all(flow).await.unwrap();
    stage.starts(100).await;

    let mut late = stage.pool.begin().await.unwrap();
    let before = Utc::now() - TimeDelta::seconds(30);
    let enqueue = adapter.enqueue(SHORT).notify(false).wait_until(before);
    let committed_late = enqueue.enqueue_in(&mut *late).await.unwrap();
    stage.starts(100).await;
    late.commit().await.unwrap();
    let took = until_started(&stage, committed_late).await;
    println!("committed late: started after {took:?}");
    assert!(took < secs(1), "{took:?}");

    let future = adapter.enqueue(SHORT).notify(false).wait(secs(3_600)).await.unwrap();
    stage.starts(100).await;
    sqlx::query("UPDATE good_jobs SET scheduled_at = now() - interval '1 hour' WHERE id = $1")
        .bind(future.as_uuid())
        .execute(&stage.pool)
        .await
        .unwrap();
    let took = until_started(&stage, future).await;
    println!("set to an earlier time by hand: started after {took:?}");
    assert!(took < secs(1), "{took:?}");
    sqlx::query("DELETE FROM good_jobs WHERE locked_by_id IS NULL AND performed_at IS NULL")
        .execute(&stage.pool)
        .await
        .unwrap();
    worker.stop().await;
    stage.close().await;
}

/// More than a claim looks at beyond what it wants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_behind_rows_that_somebody_holds_start_all_the_same() {
    const HELD: usize = 300;
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let store = database.store().await;
    let jobs = (0..HELD + 5).map(|_| NewJob::new(&SHORT).unwrap());
    let jobs = store.adapter().enqueue_all(jobs).await.unwrap();
    let jobs: Vec<JobId> = jobs.iter().map(|stored| stored.id()).collect();
    let mut somebody = stage.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM good_jobs ORDER BY scheduled_at, id LIMIT $1 FOR UPDATE")
        .bind(i64::try_from(HELD).unwrap())
        .execute(&mut *somebody)
        .await
        .unwrap();
    let worker = Harness::start_with(&database, stage.naps(), |config, _| {
        config.poll_interval = Some(secs(1));
    })
    .await;
    let mut started: Vec<JobId> = stage.starts(5).await.into_iter().map(|(id, _)| id).collect();
    started.sort();
    assert_eq!(started, jobs[HELD..]);
    assert!(!stage.has_start().await, "nobody starts what is held");
    somebody.rollback().await.unwrap();
    worker.all_finished(&jobs).await;
    worker.stop().await;
    store.close().await;
    stage.close().await;
}

/// Of one lane: jobs that are as nearly all, one whose attempt vanished, and one with a concurrency key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_each_kind_are_claimed_in_one_order() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let (store, process) = beating(&database).await;
    for (at_once, others) in [(1, [1, 2]), (3, [0, 2]), (9, [3, 4]), (9, [1, 4]), (2, [1, 3])] {
        let jobs = store.adapter().enqueue_all((0..5).map(|_| job())).await.unwrap();
        let jobs: Vec<JobId> = jobs.iter().map(|stored| stored.id()).collect();
        sqlx::query(
            "UPDATE good_jobs SET
               performed_at = CASE WHEN id = $1 THEN now() - interval '1 hour' END,
               executions_count = CASE WHEN id = $1 THEN 1 END,
               concurrency_key = CASE WHEN id = $2 THEN 'key' END
             WHERE id IN ($1, $2)",
        )
        .bind(jobs[others[0]].as_uuid())
        .bind(jobs[others[1]].as_uuid())
        .execute(&stage.pool)
        .await
        .unwrap();
        let wanted = Wanted { queues: QueueSelector::All, classes: vec![CLASS.to_owned()] };
        let mut taken = vec![claim(&store).await];
        while taken.len() < jobs.len() {
            let claims = store.claim(&wanted, at_once).await.unwrap();
            assert!(!claims.taken.is_empty(), "{at_once} at once after {}", taken.len());
            taken.extend(claims.taken);
        }
        let order: Vec<JobId> = taken.iter().map(|claim| claim.job.id).collect();
        assert_eq!(order, jobs, "{at_once} at once");
        let interruptions: Vec<u32> = taken.iter().map(|claim| claim.interruptions).collect();
        let vanished: Vec<u32> = (0..jobs.len()).map(|n| (n == others[0]).into()).collect();
        assert_eq!(interruptions, vanished, "{at_once} at once");
        let executions: Vec<(uuid::Uuid, bool)> = sqlx::query_as(
            "SELECT active_job_id, finished_at IS NULL FROM good_job_executions
             WHERE active_job_id IN ($1, $2) ORDER BY 2",
        )
        .bind(jobs[others[0]].as_uuid())
        .bind(jobs[others[1]].as_uuid())
        .fetch_all(&stage.pool)
        .await
        .unwrap();
        let (closed, open) = (jobs[others[0]].as_uuid(), jobs[others[1]].as_uuid());
        assert_eq!(executions, [(closed, false), (open, true)]);
        let ended: Vec<_> = taken.iter().map(|claim| (claim.token, ended(Fate::Succeed))).collect();
        assert_eq!(store.settle(&ended).await.unwrap(), [Settled::Written; 5]);
    }
    store.leave(&process).await.unwrap();
    store.close().await;
    stage.close().await;
}
