//! Outcomes that are written twice, late, or by the wrong one.

use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{
    Arguments, Claim, ErrorEvent, Fate, Inspect, NewJob, Options, ProcessRecord, Settled,
    Settlement, Store, Wanted,
};
use goodjob_postgres::{LockStrategy, PgStore};
use goodjob_testkit::{Database, eventually};

use crate::stage::{Gate, Stage, lock_session, secs};

fn success() -> Settlement {
    Settlement { job: Fate::Succeed, keep: true, duration: Duration::from_millis(7) }
}

async fn claim(store: &PgStore) -> Claim {
    let wanted = Wanted { queues: goodjob_core::QueueSelector::All, classes: vec!["A".into()] };
    eventually("a claim", secs(5), async || match store.claim(&wanted, 1).await {
        Ok(mut claims) => claims.taken.pop().ok_or_else(|| "nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await
}

async fn store(database: &Database, strategy: LockStrategy) -> (PgStore, ProcessRecord) {
    let mut options = database.options();
    options.lock_strategy = strategy;
    let store = PgStore::connect(options).await.unwrap();
    let process = ProcessRecord::new("test");
    store.beat(&process).await.unwrap();
    (store, process)
}

async fn enqueue(store: &PgStore) {
    let job = NewJob::of_class("A", Arguments::default(), Options::new()).unwrap();
    store.insert(&[job]).await.unwrap();
}

/// A Ruby worker whose session died before its start writes over our row (H4). Nothing of ours stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_was_written_over_closes_its_own_row() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let (mine, process) = store(&database, LockStrategy::Hybrid).await;
    enqueue(&mine).await;
    let claim = claim(&mine).await;
    sqlx::raw_sql(
        "INSERT INTO good_job_executions (created_at, updated_at, active_job_id, scheduled_at)
         SELECT now(), now(), id, scheduled_at FROM good_jobs;
         UPDATE good_jobs SET performed_at = now(), executions_count = 1, updated_at = now(),
           locked_by_id = gen_random_uuid(), locked_at = now(), lock_type = 0",
    )
    .execute(&pool)
    .await
    .unwrap();
    for time in ["first", "second"] {
        let told = mine.settle(&[(claim.token, success())]).await.unwrap();
        assert_eq!(told, [Settled::Fenced], "the {time} time");
    }
    let attempts = mine.executions(claim.job.id).await.unwrap();
    let ours = attempts.iter().find(|attempt| attempt.id == claim.token.execution).unwrap();
    assert_eq!(ours.error_event, Some(ErrorEvent::Interrupted), "{ours:?}");
    assert!(ours.finished_at.is_some() && ours.duration == Some(success().duration), "{ours:?}");
    let rubys = attempts.iter().find(|attempt| attempt.id != claim.token.execution).unwrap();
    assert_eq!((rubys.finished_at, &rubys.error), (None, &None), "{rubys:?}");
    let job = mine.job(claim.job.id).await.unwrap().unwrap();
    assert_eq!((job.finished_at, job.error), (None, None), "Ruby runs it");
    mine.leave(&process).await.unwrap();
    mine.close().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_whose_commit_was_in_doubt_is_written_once_however_often_it_is_told() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let (mine, process) = store(&database, LockStrategy::Hybrid).await;
    enqueue(&mine).await;
    let claim = claim(&mine).await;
    let ended = [(claim.token, success())];
    let rows = async || -> (String, String) {
        sqlx::query_as("SELECT j::text, x::text FROM good_jobs j JOIN good_job_executions x ON x.active_job_id = j.id")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    assert_eq!(mine.settle(&ended).await.unwrap(), [Settled::Written]);
    let after = rows().await;
    assert_eq!(mine.settle(&ended).await.unwrap(), [Settled::Written]);
    // Not even by another process that tells it for the first, nor as something else.
    let (other, peer) = store(&database, LockStrategy::Hybrid).await;
    assert_eq!(other.settle(&ended).await.unwrap(), [Settled::Written]);
    let again = Fate::Retry { wait: secs(1), payload: claim.job.payload.clone(), error: None };
    mine.settle(&[(claim.token, Settlement { job: again, ..success() })]).await.unwrap();
    assert_eq!(rows().await, after);
    for (store, process) in [(mine, process), (other, peer)] {
        store.leave(&process).await.unwrap();
        store.close().await;
    }
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_was_taken_over_cannot_write_any_more() {
    let database = crate::database().await;
    let (stage, gate) = (Stage::on(&database).await, Gate::of(&database).await);
    let (mine, process) = store(&database, LockStrategy::Hybrid).await;
    // It takes whatever lock is free, as the gem's strategy `advisory` does.
    let (other, peer) = store(&database, LockStrategy::Advisory).await;
    enqueue(&mine).await;
    let first = claim(&mine).await;
    // Opens both connections that outcomes are written on.
    for store in [&mine, &other] {
        let (one, two) = tokio::join!(store.release(&[]), store.release(&[]));
        one.and(two).unwrap();
    }
    gate.close([&stage.pool, mine.pool(), other.pool()]).await;
    stage.terminate(&lock_session(process.id)).await;
    let second = claim(&other).await;
    assert_eq!((second.token.job, second.interruptions), (first.token.job, 1));

    assert_eq!(mine.settle(&[(first.token, success())]).await.unwrap(), [Settled::Fenced]);
    let job = mine.job(first.token.job).await.unwrap().unwrap();
    assert_eq!((job.locked_by, job.finished_at), (Some(peer.id), None));
    assert_eq!(other.settle(&[(second.token, success())]).await.unwrap(), [Settled::Written]);
    assert_eq!(mine.settle(&[(first.token, success())]).await.unwrap(), [Settled::Fenced]);
    gate.open().await;
    let attempts = mine.executions(first.token.job).await.unwrap();
    assert_eq!(attempts.len(), 2);
    assert!(attempts[0].error.as_deref().unwrap().contains("Interrupted"), "{attempts:?}");
    assert_eq!(attempts[1].error, None);
    for (store, process) in [(mine, process), (other, peer)] {
        store.leave(&process).await.unwrap();
        store.close().await;
    }
    stage.close().await;
}

/// The answer of the statement is lost, as its caller is dropped in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_no_lock_behind_a_written_outcome() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let (mine, process) = store(&database, LockStrategy::Hybrid).await;
    let mine = Arc::new(mine);
    for _ in 0..10 {
        enqueue(&mine).await;
        let claim = claim(&mine).await;
        let (store, token) = (Arc::clone(&mine), claim.token);
        let caller = tokio::spawn(async move { store.settle(&[(token, success())]).await });
        tokio::task::yield_now().await;
        caller.abort();
        let _ = caller.await;
        // Whether it came to be written or not: telling it again makes sure, once the statement that
        // nobody awaits has let go of the row.
        eventually("the outcome", secs(5), async || {
            match mine.settle(&[(token, success())]).await.unwrap()[0] {
                Settled::Written => Ok(()),
                Settled::Blocked => Err("blocked"),
                Settled::Fenced => panic!("fenced, though nobody took it over"),
            }
        })
        .await;
        stage.until_locks(&lock_session(process.id), 0).await;
    }
    mine.leave(&process).await.unwrap();
    mine.close().await;
    stage.close().await;
}

/// An attempt whose execution was written while it ran, by a clock that has been set back since: it looks as if
/// it had begun just now, or were still to begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_is_written_although_the_servers_clock_was_set_back() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let (mine, process) = store(&database, LockStrategy::Hybrid).await;
    enqueue(&mine).await;
    let Claim { job, mut token, .. } = claim(&mine).await;
    token.performed_at += chrono::TimeDelta::hours(1);
    sqlx::query(
        "WITH running AS (UPDATE good_jobs SET performed_at = $2::timestamptz RETURNING id, performed_at)
         INSERT INTO good_job_executions (id, created_at, updated_at, active_job_id)
         SELECT $1::uuid, performed_at, performed_at, id FROM running",
    )
    .bind(token.execution.as_uuid())
    .bind(token.performed_at)
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(mine.settle(&[(token, success())]).await.unwrap(), [Settled::Written]);
    let attempts = mine.executions(job.id).await.unwrap();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert!(attempts[0].finished_at.is_some() && attempts[0].error.is_none(), "{attempts:?}");
    assert!(mine.job(job.id).await.unwrap().unwrap().finished_at.is_some());
    mine.leave(&process).await.unwrap();
    mine.close().await;
    pool.close().await;
}
