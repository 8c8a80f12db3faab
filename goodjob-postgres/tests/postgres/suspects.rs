//! Jobs that vanished with their process: how often, in what order they are taken again, and how they are given up.

use goodjob_core::{
    Claim, Defaults, Fate, JobId, NewJob, Policy, QueueSelector, Settled, Store, Wanted,
};
use goodjob_postgres::PgStore;
use goodjob_testkit::Database;
use sqlx::PgPool;

use crate::regressions::{CLASS, beating, claim, ended, job, take_from_owner};
use crate::stage::millis;

/// A store that claims and dies with the job, whose attempt is interrupted.
async fn killed_by_its_job(database: &Database, pool: &PgPool) -> Claim {
    let (store, _) = beating(database).await;
    let claim = claim(&store).await;
    store.close().await;
    sqlx::raw_sql("DELETE FROM good_job_processes").execute(pool).await.unwrap();
    take_from_owner(pool).await;
    claim
}

/// Under a backlog every catch is full, and what was passed over for being suspected waited for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_vanished_twice_are_taken_one_by_one_while_others_wait() {
    const BACKLOG: usize = 100;
    let database = crate::database().await;
    let pool = database.pool().await;
    let wanted = Wanted { queues: QueueSelector::All, classes: vec![CLASS.to_owned()] };
    let take = async |store: &PgStore, most| store.claim(&wanted, most).await.unwrap().taken;
    let suspects: Vec<JobId> = {
        let store = database.store().await;
        let stored = store.adapter().enqueue_all((0..2).map(|_| job())).await.unwrap();
        store.close().await;
        stored.iter().map(|stored| stored.id()).collect()
    };
    for _ in 0..2 {
        let (store, _) = beating(&database).await;
        claim(&store).await;
        assert_eq!(take(&store, 1).await.len(), 1, "neither is suspected yet");
        store.close().await;
        sqlx::raw_sql("DELETE FROM good_job_processes").execute(&pool).await.unwrap();
        take_from_owner(&pool).await;
    }

    let (store, process) = beating(&database).await;
    store.adapter().enqueue_all((0..BACKLOG).map(|_| job())).await.unwrap();
    let done = async |taken: &[Claim]| {
        let ends: Vec<_> = taken.iter().map(|claim| (claim.token, ended(Fate::Succeed))).collect();
        store.settle(&ends).await.unwrap();
    };
    let is_suspect = |claim: &Claim| suspects.contains(&claim.token.job);
    let next = async |within: usize| {
        for _ in 0..within {
            let taken = take(&store, 5).await;
            assert!(taken.len() <= 5, "no more than asked for");
            let (suspected, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(is_suspect);
            done(&others).await;
            assert!(suspected.len() < 2, "one at a time");
            if let Some(suspect) = suspected.into_iter().next() {
                return Some(suspect);
            }
        }
        None
    };
    let first = next(4).await.expect("the first of them before the end of the backlog");
    assert_eq!(first.interruptions, 2);
    assert!(next(4).await.is_none(), "not beside the first");
    done(&[first]).await;
    let second = next(6).await.expect("the second before the end of the backlog");
    done(&[second]).await;
    assert_eq!(take(&store, 1).await.len(), 1, "others wait still");
    store.leave(&process).await.unwrap();
    store.close().await;
    pool.close().await;
}

/// The error of a job that is given up quotes the last interruption, and was taken for one itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_a_job_that_kills_its_process_is_an_outcome_like_others() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let id = job().id;
    let (store, process) = {
        let store = database.store().await;
        store.insert(&[NewJob { id, ..job() }]).await.unwrap();
        store.close().await;
        for times in 0..3 {
            let claim = killed_by_its_job(&database, &pool).await;
            assert_eq!(claim.interruptions, times);
        }
        beating(&database).await
    };
    let poisoned = claim(&store).await;
    assert_eq!((poisoned.token.job, poisoned.interruptions), (id, 3));
    let outcome = goodjob_core::Outcome::Poisoned { interruptions: 3 };
    let defaults = Defaults::default();
    let given_up =
        goodjob_core::settle(&poisoned, &outcome, &Policy::new(), defaults, millis(3), 0.0);
    let given_up = [(poisoned.token, given_up)];
    assert_eq!(store.settle(&given_up).await.unwrap(), [Settled::Written]);
    assert_eq!(store.settle(&given_up).await.unwrap(), [Settled::Written], "told again");
    store.leave(&process).await.unwrap();
    store.close().await;

    // As the gem's dashboard retries it.
    sqlx::query(
        "UPDATE good_jobs SET scheduled_at = now(), performed_at = NULL, finished_at = NULL,
           created_at = now(), updated_at = now(), error_event = 3,
           serialized_params = jsonb_set(serialized_params, '{executions}',
             to_jsonb(COALESCE((serialized_params->>'executions')::int, 0) + 1))
         WHERE id = $1 AND finished_at IS NOT NULL",
    )
    .bind(id.as_uuid())
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(killed_by_its_job(&database, &pool).await.interruptions, 0, "a new beginning");
    let (store, process) = beating(&database).await;
    let again = claim(&store).await;
    assert_eq!((again.token.job, again.interruptions), (id, 1));
    assert_eq!(
        store.settle(&[(again.token, ended(Fate::Succeed))]).await.unwrap(),
        [Settled::Written]
    );
    store.leave(&process).await.unwrap();
    store.close().await;
    pool.close().await;
}
