//! Jobs that are in somebody's hands.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use goodjob_core::{
    Context, Due, Inspect, Job, JobId, JobResult, JobState, NewJob, Perform, Registry, Timestamp,
};
use goodjob_postgres::jobs::{Acted, Action, Filter, Tally};
use goodjob_postgres::{PgStore, advisory_key};
use goodjob_testkit::{Harness, eventually};
use serde::{Deserialize, Serialize};
use sqlx::Connection;
use tokio::sync::Semaphore;

use crate::plant::{DISCARDED, plant, row};

/// Lasts until it is let go.
#[derive(Serialize, Deserialize)]
struct Hold;

impl Job for Hold {
    const CLASS: &'static str = "HoldJob";
}

impl Perform<Arc<Semaphore>> for Hold {
    async fn perform(self, cx: Context<Arc<Semaphore>>) -> JobResult {
        cx.state().acquire().await?.forget();
        Ok(())
    }
}

/// Says that it ran, once for each time.
#[derive(Serialize, Deserialize)]
struct Tick;

impl Job for Tick {
    const CLASS: &'static str = "TickJob";
}

impl Perform<Arc<Mutex<Vec<JobId>>>> for Tick {
    async fn perform(self, cx: Context<Arc<Mutex<Vec<JobId>>>>) -> JobResult {
        cx.state().lock().unwrap().push(cx.job_id());
        Ok(())
    }
}

/// Each action that could touch a job that is not finished.
async fn assert_left_alone(store: &PgStore, id: JobId) {
    for action in [Action::Discard { reason: None }, Action::Reschedule(Due::Now)] {
        assert_eq!(store.act(&[id], &action).await.unwrap(), [(id, Acted::Busy)], "{action}");
        let mut bulk = store.bulk(Filter::new().ids([id]), action).await.unwrap();
        let tally = Tally { busy: 1, ..Tally::default() };
        assert_eq!((bulk.matched(), bulk.next_batch().await.unwrap()), (1, Some(tally)));
        assert_eq!(bulk.next_batch().await.unwrap(), None);
    }
    for action in [Action::Retry, Action::Delete] {
        assert_eq!(store.act(&[id], &action).await.unwrap(), [(id, Acted::WrongState)], "{action}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_runs_is_left_alone_and_only_force_ends_it() {
    let database = crate::database().await;
    let gate = Arc::new(Semaphore::new(0));
    let worker = Harness::start(&database, Registry::new(gate.clone()).register::<Hold>()).await;
    let store = database.store().await;
    let (held, forced) = (worker.enqueue(Hold).await, worker.enqueue(Hold).await);
    for id in [held, forced] {
        eventually("the start", Duration::from_secs(20), async || {
            worker.job(id).await.performed_at
        })
        .await;
    }
    assert_left_alone(&store, held).await;
    let shown = store.show(held).await.unwrap().unwrap();
    let owner = shown.owner.unwrap();
    assert_eq!((owner.id, owner.known, owner.alive), (worker.capsule().process(), true, true));
    assert_eq!(owner.pid, Some(i64::from(std::process::id())));
    let [lock] = shown.locks.as_slice() else { panic!("{:?}", shown.locks) };
    assert_eq!(lock.application, Some(format!("goodjob lock {}", worker.capsule().process())));
    assert!(lock.held);

    assert_eq!(store.force_discard(forced, None).await.unwrap(), Acted::Done);
    gate.add_permits(2);
    let held = worker.finished(held).await;
    assert_eq!(held.state(Timestamp::MAX_UTC), JobState::Succeeded);
    eventually("the end of the run", Duration::from_secs(20), async || {
        match worker.job(forced).await.locked_by {
            None => Ok(()),
            Some(owner) => Err(owner),
        }
    })
    .await;
    let forced = worker.job(forced).await;
    assert_eq!(forced.state(Timestamp::MAX_UTC), JobState::Discarded, "as with the gem");
    worker.stop().await;
    store.close().await;
}

#[tokio::test]
async fn a_session_lock_alone_keeps_a_job() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let (waiting, failed) = (plant(&pool, "priority = 0").await, plant(&pool, DISCARDED).await);
    let mut ruby = sqlx::PgConnection::connect(&database.url()).await.unwrap();
    for id in [waiting, failed] {
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(advisory_key(&format!("good_jobs-{id}")))
            .execute(&mut ruby)
            .await
            .unwrap();
    }
    assert_left_alone(&store, waiting).await;
    assert_eq!(store.retry(failed).await.unwrap(), Acted::Busy);
    assert_eq!(store.delete(failed).await.unwrap(), Acted::Busy);
    assert_eq!(store.show(waiting).await.unwrap().unwrap().locks.len(), 1);
    assert_eq!(store.force_discard(waiting, None).await.unwrap(), Acted::Done, "goes by no lock");
    ruby.close().await.unwrap();
    eventually("the end of the session's locks", Duration::from_secs(20), async || {
        match store.delete(failed).await.unwrap() {
            Acted::Done => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn an_owner_without_a_lock_keeps_a_job() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    // As a Ruby worker with the strategy `skiplocked` leaves it, before and after the start.
    for change in ["performed_at = NULL", "performed_at = now()"] {
        let owned = format!("locked_by_id = gen_random_uuid(), locked_at = now(), {change}");
        let id = plant(&pool, &owned).await;
        let before = row(&pool, id).await;
        assert_left_alone(&store, id).await;
        assert_eq!(row(&pool, id).await, before);
        let owner = store.show(id).await.unwrap().unwrap().owner.unwrap();
        assert!(!owner.known && !owner.alive, "{owner:?}");
    }
    store.close().await;
    pool.close().await;
}

/// A foreign key of the application's takes a weaker lock than a deletion does.
#[tokio::test]
async fn a_deletion_waits_for_no_foreign_key() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let (kept, free) = (plant(&pool, DISCARDED).await, plant(&pool, DISCARDED).await);
    let mut other = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM good_jobs WHERE id = $1 FOR KEY SHARE")
        .bind(kept.as_uuid())
        .execute(&mut *other)
        .await
        .unwrap();
    let both = [kept, free];
    let acted = tokio::time::timeout(Duration::from_secs(20), store.act(&both, &Action::Delete));
    assert_eq!(acted.await.unwrap().unwrap(), [(kept, Acted::Busy), (free, Acted::Done)]);
    other.rollback().await.unwrap();
    assert_eq!(store.delete(kept).await.unwrap(), Acted::Done);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn nobodys_row_is_waited_for() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let (kept, free) = (plant(&pool, DISCARDED).await, plant(&pool, DISCARDED).await);
    let mut other = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM good_jobs WHERE id = $1 FOR UPDATE")
        .bind(kept.as_uuid())
        .execute(&mut *other)
        .await
        .unwrap();
    // An action that waited would wait for the end of this test.
    let both = [kept, free];
    let acted = store.act(&both, &Action::Retry);
    let acted = tokio::time::timeout(Duration::from_secs(20), acted).await.unwrap().unwrap();
    assert_eq!(acted, [(kept, Acted::Busy), (free, Acted::Done)]);
    other.rollback().await.unwrap();
    assert_eq!(store.retry(kept).await.unwrap(), Acted::Done);
    store.close().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_act_at_once_one_does() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let id = plant(&pool, DISCARDED).await;
    let retries = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.retry(id).await.unwrap() })
    });
    let mut done = 0;
    for retry in retries.collect::<Vec<_>>() {
        done += usize::from(retry.await.unwrap() == Acted::Done);
    }
    assert_eq!(done, 1);
    assert_eq!(store.job(id).await.unwrap().unwrap().payload.executions(), 1);
    store.close().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_worker_each_job_is_either_run_or_discarded() {
    let database = crate::database().await;
    let store = database.store().await;
    let jobs: Vec<_> = (0..2_000).map(|_| NewJob::new(&Tick).unwrap()).collect();
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    store.adapter().enqueue_all(jobs).await.unwrap();
    let ran = Arc::new(Mutex::new(Vec::new()));
    let worker = Harness::start(&database, Registry::new(ran.clone()).register::<Tick>()).await;
    let mut tally = Tally::default();
    // The newest first, while the worker comes from the oldest.
    for batch in ids.rchunks(50) {
        let acted = store.act(batch, &Action::Discard { reason: None }).await.unwrap();
        tally.extend(acted.into_iter().map(|(_, acted)| acted));
    }
    let ended = worker.all_finished(&ids).await;
    worker.stop().await;
    let mut ran = ran.lock().unwrap().clone();
    ran.sort();
    let state = |state| {
        let of = ended.iter().filter(|job| job.state(Timestamp::MAX_UTC) == state);
        let mut ids: Vec<_> = of.map(|job| job.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ran, state(JobState::Succeeded), "those that ran, and each once");
    assert_eq!(tally.done, state(JobState::Discarded).len() as u64);
    assert!(tally.done > 0, "{tally:?}");
    store.close().await;
}
