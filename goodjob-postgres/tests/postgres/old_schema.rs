//! The tables of an application that upgraded the gem and not its schema: what workers do most works
//! there too, under each lock strategy.

use goodjob_core::{Due, ErrorEvent, JobState, NewJob, Registry, Timestamp};
use goodjob_postgres::jobs::{Acted, Action, Filter};
use goodjob_postgres::{EnqueueIn, LockStrategy, PgStore};
use goodjob_testkit::conformance::{self, Trial, claim, clean_up, insert, notice, process, settle};
use goodjob_testkit::{Database, Harness, Schema};

use crate::conformance::Postgres;
use crate::engine::Echo;
use crate::statements::assert_prepared;

async fn database_v4_0() -> Database {
    Database::with_schema(Schema::GEM_V4_0).await
}

/// Ruby's workers lock by `advisory` there, so that `skiplocked` is refused.
async fn under_each_strategy(case: impl AsyncFn(&Trial<Postgres>) + Copy) {
    for strategy in [LockStrategy::Hybrid, LockStrategy::Advisory] {
        let subject = Postgres { database: database_v4_0().await, strategy };
        conformance::run(subject, case).await;
    }
}

macro_rules! cases {
    ($($topic:ident::$case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                under_each_strategy($topic::$case).await;
            }
        )+
    };
}

cases! {
    insert::every_field_is_kept
    insert::the_same_id_stores_one_job
    claim::a_claim_starts_an_attempt
    claim::a_claimed_job_is_not_claimed_again
    claim::processes_that_claim_at_once_share_no_job
    settle::a_success_ends_the_job
    settle::a_retry_makes_the_job_due_later
    settle::a_put_back_job_is_claimable_at_once
    settle::a_discard_ends_the_job_with_its_error
    settle::an_attempt_that_was_taken_over_is_fenced
    settle::a_release_leaves_no_trace
    settle::a_job_that_is_not_kept_goes_with_its_attempts
    clean_up::old_jobs_go_with_their_attempts
    notice::an_insert_is_heard
    process::a_living_process_keeps_its_jobs
    process::the_job_of_a_dead_process_runs_again_as_interrupted
    process::a_process_that_leaves_frees_its_jobs
}

#[tokio::test]
async fn a_strategy_that_is_not_safe_there_is_refused() {
    let database = database_v4_0().await;
    let mut options = database.options();
    options.lock_strategy = LockStrategy::SkipLocked;
    let refusal = PgStore::connect(options).await.unwrap_err().to_string();
    assert!(refusal.contains("older than GoodJob 4.15"), "{refusal}");
    assert!(refusal.ends_with("expected hybrid or advisory"), "{refusal}");
}

/// The gem 4.0 takes a job without `is_discrete` for one of version 3, which leaves no attempts (wire
/// contract 16.1). Newer ones do not look at it.
#[tokio::test]
async fn a_job_is_marked_as_the_gem_wants_it_there_however_it_is_stored() {
    for (schema, marked) in [(Schema::GEM_V4_0, 6), (Schema::GEM, 0)] {
        let database = Database::with_schema(schema).await;
        let (store, pool) = (database.store().await, database.pool().await);
        let echo = || Echo { text: "x".into() };
        store.adapter().enqueue(echo()).await.unwrap();
        let many: Vec<NewJob> = (0..4).map(|_| NewJob::new(&echo()).unwrap()).collect();
        store.adapter().enqueue_all(many).await.unwrap();
        store.adapter().enqueue(echo()).enqueue_in(&pool).await.unwrap();
        let found: (i64, i64) =
            sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE is_discrete) FROM good_jobs")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(found, (6, marked), "{schema:?}");
        store.close().await;
        pool.close().await;
    }
}

/// What a person does needs no newer column either.
#[tokio::test]
async fn jobs_are_found_and_acted_on_there() {
    let database = database_v4_0().await;
    let store = database.store().await;
    let id = store.adapter().enqueue(Echo { text: "x".into() }).await.unwrap();
    assert_eq!(store.discard(id, Some("no more")).await.unwrap(), Acted::Done);
    let discarded = Filter::new().states([JobState::Discarded]);
    assert_eq!(store.count(&discarded).await.unwrap(), 1);
    assert_eq!(store.show(id).await.unwrap().unwrap().lock_type, None);
    for action in [Action::Retry, Action::Reschedule(Due::Now)] {
        assert_eq!(store.act(&[id], &action).await.unwrap(), [(id, Acted::Done)], "{action}");
    }
    assert_eq!(store.force_discard(id, None).await.unwrap(), Acted::Done);
    assert_eq!(store.delete(id).await.unwrap(), Acted::Done);
    store.close().await;
}

#[tokio::test]
async fn every_statement_prepares_there() {
    let database = database_v4_0().await;
    let store = database.store().await;
    assert_prepared(&store, false).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_does_jobs() {
    let database = database_v4_0().await;
    let worker = Harness::start(&database, Registry::default().register::<Echo>()).await;
    let good = worker.enqueue(Echo { text: "ok".into() }).await;
    let bad = worker.enqueue(Echo { text: "fail".into() }).await;
    assert_eq!(worker.finished(good).await.state(Timestamp::MAX_UTC), JobState::Succeeded);
    let bad = worker.finished(bad).await;
    assert_eq!(bad.error_event, Some(ErrorEvent::Unhandled), "{bad:?}");
    assert_eq!(worker.attempts(bad.id).await.len(), 1);
    worker.stop().await;
}
