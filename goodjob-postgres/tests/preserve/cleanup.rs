//! Old jobs and batches are deleted, by a call and by a worker.

use std::time::Duration;

use goodjob_core::{
    Cleaned, Cleanup, Context, Job, JobId, JobResult, Perform, Registry, Retention, Store,
};
use goodjob_testkit::{Harness, eventually};
use serde::{Deserialize, Serialize};

use crate::scene::{Scene, secs, unpolled};

const HOUR: Duration = secs(60 * 60);
const OLD: Retention = Retention { age: HOUR, keep_discarded: false };
const OLD_SUCCESSES: Retention = Retention { age: HOUR, keep_discarded: true };

/// A job with two attempts that ended two hours ago.
const PLANT_OLD: &str = "WITH job AS (
    INSERT INTO good_jobs (id, active_job_id, job_class, serialized_params, created_at, updated_at,
                           finished_at, performed_at, scheduled_at)
    VALUES ($1, $1, 'OldJob', '{}', now(), now(), now() - interval '2 hours', now(), now())
    RETURNING id)
  INSERT INTO good_job_executions (active_job_id, created_at, updated_at)
  SELECT id, now(), now() FROM job, generate_series(1, 2)";

async fn plant(scene: &Scene, count: usize) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = JobId::generate();
        scene.execute(PLANT_OLD, id).await;
        ids.push(id);
    }
    ids
}

async fn plant_batch(scene: &Scene, finished: &'static str, discarded: &'static str) {
    let statement = format!(
        "INSERT INTO good_job_batches (created_at, updated_at, finished_at, discarded_at)
         VALUES (now(), now(), {finished}, {discarded})"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&scene.pool).await.unwrap();
}

#[tokio::test]
async fn batches_go_as_jobs_do() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    let long_ago = "now() - interval '2 hours'";
    for (finished, discarded) in [
        (long_ago, "NULL"),
        (long_ago, long_ago),
        (long_ago, "NULL"),
        ("now()", "NULL"),
        ("NULL", "NULL"),
    ] {
        plant_batch(&scene, finished, discarded).await;
    }
    plant(&scene, 1).await;
    let left = async || scene.count("SELECT count(*) FROM good_job_batches").await;

    assert_eq!(
        scene.store.count_old(&OLD).await.unwrap(),
        Cleaned { jobs: 1, executions: 2, batches: 3 }
    );
    let first = scene.store.clean_up(&OLD_SUCCESSES, 1).await.unwrap();
    assert_eq!(first, Cleaned { jobs: 1, executions: 2, batches: 0 }, "jobs first");
    for limit in [1, 9] {
        let next = scene.store.clean_up(&OLD_SUCCESSES, limit).await.unwrap();
        assert_eq!(next, Cleaned { jobs: 0, executions: 0, batches: 1 });
    }
    assert!(scene.store.clean_up(&OLD_SUCCESSES, 9).await.unwrap().is_empty());
    assert_eq!(left().await, 3);
    assert_eq!(scene.store.count_old(&OLD).await.unwrap().batches, 1, "the discarded one");
    assert_eq!(scene.store.clean_up(&OLD, 9).await.unwrap().batches, 1);
    assert_eq!(left().await, 2, "the young one and the unfinished one");
    scene.end().await;
}

/// The gem's own clean-up would take every row without an `active_job_id` for the finished one.
#[tokio::test]
async fn a_row_without_an_active_job_id_takes_no_other_with_it() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    let ids = plant(&scene, 3).await;
    let strip = "UPDATE good_jobs SET active_job_id = NULL WHERE id = $1";
    let unfinish = "UPDATE good_jobs SET finished_at = NULL WHERE id = $1";
    for id in &ids {
        assert_eq!(scene.execute(strip, *id).await, 1);
    }
    scene.execute(unfinish, ids[1]).await;
    scene.execute(unfinish, ids[2]).await;
    assert_eq!(
        scene.store.clean_up(&OLD, 9).await.unwrap(),
        Cleaned { jobs: 1, executions: 2, batches: 0 }
    );
    assert_eq!(scene.rows().await, (2, 4));
    scene.end().await;
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_is_passed_over() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    let ids = plant(&scene, 3).await;
    // A retry by hand is under way.
    let mut somebody = scene.pool.begin().await.unwrap();
    sqlx::query("UPDATE good_jobs SET finished_at = NULL WHERE id = $1")
        .bind(ids[0].as_uuid())
        .execute(&mut *somebody)
        .await
        .unwrap();
    assert_eq!(scene.store.clean_up(&OLD, 9).await.unwrap().jobs, 2);
    somebody.commit().await.unwrap();
    assert!(scene.store.clean_up(&OLD, 9).await.unwrap().is_empty());
    assert_eq!(scene.rows().await, (1, 2));
    scene.end().await;
}

/// Goes by the gem's index.
#[tokio::test]
async fn a_clean_up_of_many_leaves_no_orphans() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    sqlx::raw_sql(
        "INSERT INTO good_jobs (id, active_job_id, job_class, serialized_params, created_at, updated_at,
                                finished_at, error)
         SELECT id, id, 'OldJob', '{}', now(), now(), now() - n * interval '1 minute',
                CASE WHEN n % 3 = 0 THEN 'A: b' END
         FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 3000) n) rows;
         INSERT INTO good_job_executions (active_job_id, created_at, updated_at)
         SELECT id, now(), now() FROM good_jobs",
    )
    .execute(&scene.pool)
    .await
    .unwrap();
    let expected = scene.store.count_old(&OLD_SUCCESSES).await.unwrap();
    let mut all = Cleaned::default();
    loop {
        match scene.store.clean_up(&OLD_SUCCESSES, 500).await.unwrap() {
            none if none.is_empty() => break,
            cleaned => {
                assert!(cleaned.jobs <= 500);
                all += cleaned;
            }
        }
    }
    assert_eq!(all, expected);
    assert_eq!(all.jobs, all.executions);
    let young_or_discarded = 3_000 - i64::try_from(all.jobs).unwrap();
    assert_eq!(scene.rows().await, (young_or_discarded, young_or_discarded));
    assert_eq!(scene.count("SELECT count(*) FROM good_jobs WHERE error IS NOT NULL").await, 1_000);
    scene.end().await;
}

#[derive(Debug, Serialize, Deserialize)]
struct Ping {}

impl Job for Ping {
    const CLASS: &'static str = "PingJob";
}

impl Perform for Ping {
    async fn perform(self, _: Context) -> JobResult {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_cleans_up_after_its_jobs() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    plant(&scene, 30).await;
    let worker =
        Harness::start_with(&database, Registry::default().register::<Ping>(), |config, _| {
            unpolled(config);
            let always = Cleanup { interval_jobs: Some(0), ..Cleanup::default() };
            config.cleanup = Cleanup { retention: OLD, ..always };
        })
        .await;
    let id = worker.enqueue(Ping {}).await;
    worker.finished(id).await;
    eventually("old jobs are gone, the new one is there", secs(20), async || {
        match scene.rows().await {
            (1, 1) => Ok(()),
            rows => Err(format!("{rows:?}")),
        }
    })
    .await;
    worker.stop().await;
    scene.end().await;
}
