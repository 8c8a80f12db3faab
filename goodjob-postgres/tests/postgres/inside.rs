//! What a job does to its own row from inside: completes it in a transaction of its own, and keeps notes
//! beside it. And hooks around what is stored in a transaction.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use async_trait::async_trait;
use goodjob_core::{
    Arguments, Context, EnqueueHook, ErrorEvent, Job, JobError, JobId, JobResult, JobState, NewJob,
    NotCommitted, Options, Perform, Policy, Preserve, Progress, Registry, Retry, Shutdown, Stop,
    Timestamp, TroubleKind,
};
use goodjob_postgres::{CompleteError, CompleteIn, EnqueueAllIn, EnqueueIn, PgStore};
use goodjob_testkit::{Database, Harness, eventually};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;

use crate::engine::Echo;
use crate::stage::{Stage, lock_session, notify_session, secs};
use crate::statements::make_notes;

/// What a transfer does when it has completed itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Then {
    Commits,
    CommitsAndFails,
    /// And returns as if all were well.
    RollsBackAtFirst,
    /// Somebody else takes the job over before, and it commits whatever it was told.
    IsOvertaken,
    CommitsAndHangs,
}

/// Writes an effect.
#[derive(Serialize, Deserialize)]
struct Transfer {
    then: Then,
}

impl Job for Transfer {
    const CLASS: &'static str = "TransferJob";
}

/// A transfer whose row is not kept.
#[derive(Serialize, Deserialize)]
struct Fleeting(Transfer);

impl Job for Fleeting {
    const CLASS: &'static str = "FleetingJob";
}

impl Perform<PgPool> for Transfer {
    fn policy() -> Policy {
        Policy::new().retry_on::<NotCommitted>(
            Retry::attempts(2).wait(goodjob_core::Backoff::Constant(secs(0))),
        )
    }

    async fn perform(self, cx: Context<PgPool>) -> JobResult {
        let mut tx = cx.state().begin().await?;
        sqlx::query("INSERT INTO effects VALUES ($1)")
            .bind(cx.job_id().as_uuid())
            .execute(&mut *tx)
            .await?;
        if self.then == Then::IsOvertaken {
            // As another process would that took it for dead.
            let taken = "UPDATE good_jobs SET performed_at = now() + interval '1 second',
                           executions_count = executions_count + 1, locked_by_id = gen_random_uuid()";
            sqlx::raw_sql(taken).execute(cx.state()).await?;
            let refusal = cx.complete_in(&mut *tx).await.unwrap_err();
            assert!(
                matches!(refusal, CompleteError::Overtaken { job } if job == cx.job_id()),
                "{refusal}"
            );
            // Even who ignores the answer does no harm.
            tx.commit().await?;
            return Ok(());
        }
        cx.complete_in(&mut *tx).await?;
        match self.then {
            Then::RollsBackAtFirst if cx.attempt() == 1 => {
                tx.rollback().await?;
                return Ok(());
            }
            _ => tx.commit().await?,
        }
        match self.then {
            Then::CommitsAndFails => Err(JobError::discard("too late to fail")),
            Then::CommitsAndHangs => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

impl Perform<PgPool> for Fleeting {
    fn policy() -> Policy {
        Policy::new().preserve(Preserve::Never)
    }

    async fn perform(self, cx: Context<PgPool>) -> JobResult {
        self.0.perform(cx).await
    }
}

async fn bank(database: &Database) -> PgPool {
    let pool = database.pool().await;
    sqlx::raw_sql("CREATE TABLE effects (job uuid)").execute(&pool).await.unwrap();
    pool
}

fn transfers(pool: &PgPool) -> Registry<PgPool> {
    Registry::new(pool.clone()).register::<Transfer>().register::<Fleeting>()
}

async fn effects(pool: &PgPool, job: JobId) -> i64 {
    let counted = sqlx::query_scalar("SELECT count(*) FROM effects WHERE job = $1");
    counted.bind(job.as_uuid()).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_success_of_a_job_commits_with_what_it_wrote() {
    let database = crate::database().await;
    let (pool, stage) = (bank(&database).await, Stage::on(&database).await);
    let worker = Harness::start(&database, transfers(&pool)).await;
    for then in [Then::Commits, Then::CommitsAndFails] {
        let id = worker.enqueue(Transfer { then }).await;
        let job = worker.finished(id).await;
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{job:?}");
        assert_eq!((effects(&pool, id).await, job.locked_by), (1, None));
        worker.capsule().drained().await;
        let attempts = worker.attempts(id).await;
        assert_eq!(attempts.len(), 1);
        assert!(attempts[0].finished_at >= job.performed_at && attempts[0].error.is_none());
        assert!(attempts[0].duration.is_some() && attempts[0].process.is_some(), "{attempts:?}");
        assert_eq!(worker.job(id).await, job, "nothing was written after it");
    }
    // The locks are released as after any other outcome.
    stage.until_locks(&lock_session(worker.capsule().process()), 0).await;
    assert_eq!(worker.capsule().pools()[0].succeeded, 2);

    let id = worker.enqueue(Fleeting(Transfer { then: Then::Commits })).await;
    eventually("the effect", secs(10), async || (effects(&pool, id).await == 1).then_some(()))
        .await;
    worker.capsule().drained().await;
    assert_eq!(worker.store().show(id).await.unwrap().map(|shown| shown.job), None, "not kept");
    worker.stop().await;
    stage.close().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_that_is_not_committed_is_none() {
    let database = crate::database().await;
    let pool = bank(&database).await;
    let worker = Harness::start(&database, transfers(&pool)).await;
    let id = worker.enqueue(Transfer { then: Then::RollsBackAtFirst }).await;
    let job = worker.finished(id).await;
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{job:?}");
    assert_eq!(effects(&pool, id).await, 1);
    let attempts = worker.attempts(id).await;
    let first = (attempts[0].error_event, attempts[0].error.clone().unwrap());
    assert_eq!(first.0, Some(ErrorEvent::Retried));
    assert!(
        first.1.ends_with("the transaction that the job completed in was not committed"),
        "{first:?}"
    );
    assert_eq!((attempts.len(), &attempts[1].error), (2, &None));
    worker.stop().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_was_taken_over_cannot_commit() {
    let database = crate::database().await;
    let pool = bank(&database).await;
    let worker = Harness::start(&database, transfers(&pool)).await;
    let id = worker.enqueue(Transfer { then: Then::IsOvertaken }).await;
    eventually("the end of the attempt", secs(10), async || {
        (worker.capsule().pools()[0].succeeded == 1).then_some(())
    })
    .await;
    worker.capsule().drained().await;
    let job = worker.job(id).await;
    assert_eq!((job.finished_at, job.executions_count), (None, 2), "it is another's: {job:?}");
    assert_eq!(effects(&pool, id).await, 0, "its transaction was aborted");
    worker.stop().await;
    pool.close().await;
}

/// The runtime of the first worker ends in the middle, as with its process: nobody writes anything down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_the_commit_neither_loses_nor_repeats_anything() {
    let database = crate::database().await;
    let pool = bank(&database).await;
    let (url, options) = (database.url(), database.options());
    let crashed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let id = runtime.block_on(async {
            let pool = PgPool::connect(&url).await.unwrap();
            let store = PgStore::connect(options).await.unwrap();
            let config = goodjob_core::Config::default();
            let capsule =
                goodjob_core::Capsule::start(config, transfers(&pool), &store).await.unwrap();
            let id =
                capsule.adapter().enqueue(Transfer { then: Then::CommitsAndHangs }).await.unwrap();
            eventually("the commit", secs(10), async || {
                (effects(&pool, id).await == 1).then_some(())
            })
            .await;
            id
        });
        runtime.shutdown_background();
        id
    });
    let id = tokio::task::spawn_blocking(move || crashed.join().unwrap()).await.unwrap();
    let worker = Harness::start(&database, transfers(&pool)).await;
    worker.capsule().drained().await;
    let job = worker.job(id).await;
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded);
    assert_eq!((job.executions_count, effects(&pool, id).await), (1, 1));
    let attempts = worker.attempts(id).await;
    assert_eq!((attempts.len(), &attempts[0].error), (1, &None));
    // One that is only cut off knows that it is done.
    let id = worker.enqueue(Transfer { then: Then::CommitsAndHangs }).await;
    eventually("the commit", secs(10), async || (effects(&pool, id).await == 1).then_some(()))
        .await;
    let before = worker.job(id).await;
    let store = database.store().await;
    let drained = worker.stop_with(Shutdown::Now).await;
    assert_eq!(drained.cut_off, []);
    assert_eq!(goodjob_core::Inspect::job(&store, id).await.unwrap(), Some(before));
    store.close().await;
    pool.close().await;
}

/// Says how far it is.
#[derive(Serialize, Deserialize)]
struct Import;

impl Job for Import {
    const CLASS: &'static str = "ImportJob";
}

impl Perform for Import {
    async fn perform(self, cx: Context) -> JobResult {
        cx.progress(Progress::of(40, 100).text("rows")).await?;
        cx.record(&json!({"rows": 40, "skipped": ["a", "ä"]})).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_are_shown_with_their_job_and_go_with_it() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    make_notes(&store).await;
    let worker = Harness::start(&database, Registry::default().register::<Import>()).await;
    let id = worker.enqueue(Import).await;
    worker.finished(id).await;
    let notes = store.show(id).await.unwrap().unwrap().notes.unwrap();
    assert_eq!(notes.progress, Progress::of(40, 100).text("rows"));
    assert_eq!(
        (notes.result, notes.attempt),
        (Some(json!({"rows": 40, "skipped": ["a", "ä"]})), 1)
    );
    let age = (chrono::Utc::now() - notes.noted_at).abs();
    assert!(age < chrono::TimeDelta::minutes(1), "{age}");
    store.delete_finished(&[id]).await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM goodjob_notes").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
    worker.stop().await;
    store.close().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_table_for_them_notes_are_forgotten_and_jobs_succeed() {
    let database = crate::database().await;
    let worker = Harness::start(&database, Registry::default().register::<Import>()).await;
    let id = worker.enqueue(Import).await;
    let job = worker.finished(id).await;
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{job:?}");
    assert_eq!(worker.store().show(id).await.unwrap().unwrap().notes, None);
    worker.stop().await;
}

struct Tenant;

#[async_trait]
impl EnqueueHook for Tenant {
    async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
        job.queue = "tenant".to_owned();
        job.add_label("tenant:7");
        match job.priority {
            Some(99) => Err("nothing that unimportant".into()),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn hooks_are_around_what_is_stored_in_a_transaction() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let adapter = store.adapter().on_enqueue(Tenant);
    let echo = || Echo { text: "x".into() };
    let job = || NewJob::of_class("A", Arguments::default(), Options::new()).unwrap();
    let mut tx = pool.begin().await.unwrap();
    let one = adapter.enqueue(echo()).enqueue_in(&mut *tx).await.unwrap();
    let two = adapter.enqueue_all_in(&mut *tx, [job(), job()]).await.unwrap();
    let stopped = adapter.enqueue(echo()).priority(99).enqueue_in(&mut *tx).await.unwrap_err();
    assert_eq!(stopped.to_string(), "EchoJob: not enqueued: nothing that unimportant");
    tx.commit().await.unwrap(); // it never reached the transaction
    for id in [one, two[0].id(), two[1].id()] {
        let row = goodjob_core::Inspect::job(&store, id).await.unwrap().unwrap();
        assert_eq!(
            (row.queue.as_deref(), row.labels),
            (Some("tenant"), vec!["tenant:7".to_owned()])
        );
    }
    assert_eq!(adapter.enqueue_all_in(&pool, []).await.unwrap(), []);
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM good_jobs").fetch_one(&pool).await.unwrap();
    assert_eq!(stored, 3);
    pool.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_is_told_when_a_session_is_lost() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let (told_of, troubles) = channel();
    let registry = stage.naps().on_error(move |trouble| told_of.send(trouble.kind).unwrap_or(()));
    let worker = Harness::start(&database, registry).await;
    let troubles = Mutex::new(troubles);
    let process = worker.capsule().process();
    for (session, kind) in [
        (lock_session(process), TroubleKind::LockSessionLost),
        (notify_session(process), TroubleKind::ListenerLost),
    ] {
        eventually("the session", secs(10), async || {
            (stage.terminate(&session).await > 0).then_some(())
        })
        .await;
        eventually("the news", secs(30), async || {
            troubles.lock().unwrap().try_iter().any(|told| told == kind).then_some(())
        })
        .await;
    }
    worker.stop().await;
    stage.close().await;
}
