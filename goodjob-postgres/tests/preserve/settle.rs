//! Outcomes after which a job is not kept.

use std::time::Duration;

use goodjob_core::{
    Arguments, Context, ErrorEvent, ErrorNote, Fate, Inspect, Job, JobError, JobResult, JobState,
    NewJob, Options, Perform, Policy, Preserve, Registry, Retry, Settled, Settlement, Store,
    Timestamp,
};
use goodjob_testkit::{Harness, eventually};
use serde::{Deserialize, Serialize};

use crate::scene::{CLASS, Scene, secs, unpolled};

/// The advisory locks of lock sessions.
const LOCKS: &str = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND a.datname = current_database()
      AND a.application_name LIKE 'goodjob lock %'";

fn note(event: ErrorEvent) -> ErrorNote {
    ErrorNote::new("Weather::Bad", "wet", Vec::new(), event)
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_told_again_as_written() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    let claim = scene.claimed().await;
    assert_eq!(scene.rows().await, (1, 0));
    assert_eq!(scene.settle_unkept(claim.token, Fate::Succeed).await, Settled::Written);
    assert_eq!(scene.rows().await, (0, 0));
    assert_eq!(scene.settle_unkept(claim.token, Fate::Succeed).await, Settled::Written);

    // By another process that tells it for the first, too.
    let other = Scene::on(&database).await;
    assert_eq!(other.settle_unkept(claim.token, Fate::Succeed).await, Settled::Written);
    other.end().await;

    // A job that was stored anew under the same id is not the one that ended.
    let mut again = NewJob::of_class(CLASS, Arguments::default(), Options::new()).unwrap();
    again.id = claim.job.id;
    scene.store.insert(&[again]).await.unwrap();
    assert_eq!(scene.settle_unkept(claim.token, Fate::Succeed).await, Settled::Fenced);
    let next = scene.claim().await;
    assert_eq!(scene.settle_unkept(claim.token, Fate::Succeed).await, Settled::Fenced);
    assert_eq!(scene.settle_unkept(next.token, Fate::Succeed).await, Settled::Written);
    assert_eq!(scene.rows().await, (0, 0));
    scene.end().await;
}

/// The answer of the statement is lost, as its caller is dropped in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_neither_row_nor_lock() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    for _ in 0..10 {
        let token = scene.claimed().await.token;
        let unkept = Settlement { job: Fate::Succeed, keep: false, duration: secs(1) };
        let store = scene.store.clone();
        let caller = tokio::spawn(async move { store.settle(&[(token, unkept)]).await });
        tokio::task::yield_now().await;
        caller.abort();
        // Whether it was aborted in time is all the same.
        let _ = caller.await;
        eventually("the outcome is written", secs(5), async || {
            match scene.settle_unkept(token, Fate::Succeed).await {
                Settled::Written => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert_eq!(scene.rows().await, (0, 0));
        eventually("its lock is released", secs(5), async || match scene.count(LOCKS).await {
            0 => Ok(()),
            locks => Err(format!("{locks} locks")),
        })
        .await;
    }
    scene.end().await;
}

#[tokio::test]
async fn an_end_that_was_written_before_is_not_deleted_by_another_word_about_it() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    let claim = scene.claimed().await;
    let retry = Fate::Retry { wait: secs(60), payload: claim.job.payload.clone(), error: None };
    assert_eq!(scene.settle_unkept(claim.token, retry).await, Settled::Written);
    assert_eq!(scene.settle_unkept(claim.token, Fate::Succeed).await, Settled::Written);
    let job = scene.store.job(claim.job.id).await.unwrap().unwrap();
    assert_eq!(job.state(Timestamp::MIN_UTC), JobState::Scheduled, "it is retried still");
    assert_eq!(scene.rows().await, (1, 1));
    scene.end().await;
}

/// As the gem's dashboard does it while the job runs.
const FORCE_DISCARD: &str =
    "UPDATE good_jobs SET finished_at = now(), error = 'GoodJob::Job::DiscardJobError: by hand',
    error_event = 5, updated_at = now() WHERE id = $1";

#[tokio::test]
async fn a_job_that_was_discarded_by_force_goes_if_its_attempt_ends_and_stays_if_it_does_not() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;

    let ends = scene.claimed().await;
    assert_eq!(scene.execute(FORCE_DISCARD, ends.job.id).await, 1);
    assert_eq!(scene.settle_unkept(ends.token, Fate::Succeed).await, Settled::Written);
    assert_eq!(scene.store.job(ends.job.id).await.unwrap(), None);

    let retries = scene.claimed().await;
    assert_eq!(scene.execute(FORCE_DISCARD, retries.job.id).await, 1);
    let payload = retries.job.payload.clone();
    let retry = Fate::Retry { wait: secs(1), payload, error: None };
    assert_eq!(scene.settle_unkept(retries.token, retry).await, Settled::Written);
    let job = scene.store.job(retries.job.id).await.unwrap().unwrap();
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Discarded);
    assert_eq!(job.error.as_deref(), Some("GoodJob::Job::DiscardJobError: by hand"));
    assert_eq!(job.locked_by, None);
    scene.end().await;
}

#[tokio::test]
async fn a_row_of_cron_is_always_kept() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    let (cron, plain) = (scene.claimed().await, scene.claimed().await);
    let tick = "UPDATE good_jobs SET cron_key = 'nightly', cron_at = now() WHERE id = $1";
    assert_eq!(scene.execute(tick, cron.job.id).await, 1);
    for _ in 0..2 {
        let error = note(ErrorEvent::Discarded);
        assert_eq!(
            scene.settle_unkept(cron.token, Fate::Discard { error }).await,
            Settled::Written
        );
        assert_eq!(scene.settle_unkept(plain.token, Fate::Succeed).await, Settled::Written);
    }
    let job = scene.store.job(cron.job.id).await.unwrap().unwrap();
    assert_eq!(job.error.as_deref(), Some("Weather::Bad: wet"));
    assert_eq!((job.locked_by, job.finished_at.is_some()), (None, true));
    assert_eq!(scene.rows().await, (1, 1));
    scene.end().await;
}

#[tokio::test]
async fn a_deletion_waits_for_nobody() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    // The last is what a foreign key of the application's takes.
    for lock in ["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"] {
        let claim = scene.claimed().await;
        let mut somebody = scene.pool.begin().await.unwrap();
        let statement = format!("SELECT id FROM good_jobs WHERE id = $1 FOR {lock}");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(claim.job.id.as_uuid())
            .execute(&mut *somebody)
            .await
            .unwrap();
        assert_eq!(scene.settle_unkept(claim.token, Fate::Succeed).await, Settled::Blocked);
        somebody.rollback().await.unwrap();
        assert_eq!(scene.settle_unkept(claim.token, Fate::Succeed).await, Settled::Written);
        assert_eq!(scene.rows().await, (0, 0), "{lock}");
    }
    scene.end().await;
}

#[tokio::test]
async fn the_lock_of_a_deleted_job_is_released() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    let claim = scene.claimed().await;
    assert_eq!(scene.count(LOCKS).await, 1);
    scene.settle_unkept(claim.token, Fate::Succeed).await;
    eventually("the lock is released", secs(10), async || match scene.count(LOCKS).await {
        0 => Ok(()),
        held => Err(format!("{held} are held")),
    })
    .await;
    scene.end().await;
}

/// Ends as it is told.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    how: String,
}

impl Job for End {
    const CLASS: &'static str = "EndJob";
}

impl Perform for End {
    fn policy() -> Policy {
        Policy::new().retry_on::<std::fmt::Error>(
            Retry::attempts(2).wait(goodjob_core::Backoff::Constant(Duration::ZERO)),
        )
    }

    async fn perform(self, _: Context) -> JobResult {
        match self.how.as_str() {
            "well" => Ok(()),
            "discarded" => Err(JobError::discard("enough")),
            "stopped" => Err(std::fmt::Error.into()),
            _ => Err("boom".into()),
        }
    }
}

/// The same under a policy of its own.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {}

impl Job for Receipt {
    const CLASS: &'static str = "ReceiptJob";
}

impl Perform for Receipt {
    fn policy() -> Policy {
        Policy::new().preserve(Preserve::Always)
    }

    async fn perform(self, _: Context) -> JobResult {
        Ok(())
    }
}

/// The endings whose job is still there when all have ended, with the number of its attempts.
async fn kept(preserve: Preserve) -> Vec<(String, i64)> {
    let database = crate::database().await;
    let pool = database.pool().await;
    let handlers = Registry::default().register::<End>().register::<Receipt>();
    let worker = Harness::start_with(&database, handlers, |config, _| {
        unpolled(config);
        config.preserve = preserve;
    })
    .await;
    for how in ["well", "discarded", "stopped", "unhandled"] {
        worker.enqueue(End { how: how.to_owned() }).await;
    }
    worker.enqueue(Receipt {}).await;
    worker.capsule().drained().await;
    let kept = sqlx::query_as(
        "SELECT COALESCE(serialized_params #>> '{arguments,0,how}', job_class),
                (SELECT count(*) FROM good_job_executions x WHERE x.active_job_id = j.id)
         FROM good_jobs j WHERE finished_at IS NOT NULL ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let orphans: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM good_job_executions x
         WHERE NOT EXISTS (SELECT FROM good_jobs j WHERE j.id = x.active_job_id)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(orphans, 0, "attempts without a job");
    worker.stop().await;
    pool.close().await;
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_keeps_what_its_policies_say() {
    let of = |names: &[(&str, i64)]| -> Vec<(String, i64)> {
        names.iter().map(|(name, attempts)| ((*name).to_owned(), *attempts)).collect()
    };
    let all = [("ReceiptJob", 1), ("discarded", 1), ("stopped", 2), ("unhandled", 1), ("well", 1)];
    assert_eq!(kept(Preserve::Always).await, of(&all));
    assert_eq!(kept(Preserve::Never).await, of(&all[..1]));
    assert_eq!(
        kept(Preserve::OnUnhandledError).await,
        of(&[("ReceiptJob", 1), ("stopped", 2), ("unhandled", 1)])
    );
    let failures = Preserve::When(|job, error| job.class == "EndJob" && error.is_some());
    assert_eq!(kept(failures).await, of(&all[..4]));
}

/// Something of the application's holds on to the row: it is kept then, and the job is over all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_deleted_is_kept_and_its_job_does_not_run_again() {
    let database = crate::database().await;
    let pool = database.pool().await;
    sqlx::raw_sql("CREATE TABLE orders (job uuid REFERENCES good_jobs (id))")
        .execute(&pool)
        .await
        .unwrap();
    let worker =
        Harness::start_with(&database, Registry::default().register::<End>(), |config, _| {
            config.preserve = Preserve::Never;
            config.pools.clear();
        })
        .await;
    let mut ids = Vec::new();
    for how in ["well", "discarded"] {
        let id = worker.enqueue(End { how: how.to_owned() }).await;
        sqlx::query("INSERT INTO orders VALUES ($1)")
            .bind(id.as_uuid())
            .execute(&pool)
            .await
            .unwrap();
        ids.push(id);
    }
    worker.enqueue(End { how: "well".to_owned() }).await;
    worker.stop().await;
    let worker =
        Harness::start_with(&database, Registry::default().register::<End>(), |config, _| {
            config.preserve = Preserve::Never;
        })
        .await;
    worker.capsule().drained().await;
    let states: Vec<JobState> =
        worker.all_finished(&ids).await.iter().map(|job| job.state(Timestamp::MAX_UTC)).collect();
    assert_eq!(states, [JobState::Succeeded, JobState::Discarded]);
    for id in ids {
        assert_eq!(worker.attempts(id).await.len(), 1, "each ran once");
    }
    let jobs: i64 =
        sqlx::query_scalar("SELECT count(*) FROM good_jobs").fetch_one(&pool).await.unwrap();
    assert_eq!(jobs, 2, "the third is gone");
    worker.stop().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_kept_and_unkept_jobs_end_each_in_its_own_way() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let handlers = Registry::default().register::<End>().register::<Receipt>();
    let worker = Harness::start_with(&database, handlers, |config, _| {
        config.preserve = Preserve::Never;
    })
    .await;
    let receipts: Vec<NewJob> = (0..300).map(|_| job(&Receipt {})).collect();
    let ends: Vec<NewJob> = (0..300).map(|_| job(&End { how: "well".to_owned() })).collect();
    let ids: Vec<_> = worker
        .adapter()
        .enqueue_all(receipts)
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.id())
        .collect();
    worker.adapter().enqueue_all(ends).await.unwrap();
    worker.all_finished(&ids).await;
    eventually("only receipts are left", secs(30), async || {
        let (jobs, attempts): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM good_jobs), (SELECT count(*) FROM good_job_executions)",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        if (jobs, attempts) == (300, 300) { Ok(()) } else { Err(format!("{jobs}, {attempts}")) }
    })
    .await;
    worker.stop().await;
    pool.close().await;
}

fn job<J: Job>(job: &J) -> NewJob {
    NewJob::new(job).unwrap()
}

#[tokio::test]
async fn an_unknown_process_deletes_nothing_of_others() {
    let database = crate::database().await;
    let (scene, stranger) = (Scene::on(&database).await, Scene::on(&database).await);
    let claim = scene.claimed().await;
    assert_eq!(stranger.settle_unkept(claim.token, Fate::Succeed).await, Settled::Fenced);
    assert_eq!(scene.rows().await, (1, 0));
    assert_eq!(scene.settle_unkept(claim.token, Fate::Succeed).await, Settled::Written);
    scene.end().await;
    stranger.end().await;
}
