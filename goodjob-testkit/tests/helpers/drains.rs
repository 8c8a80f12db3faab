//! A drain does what is due, and says how it ended; on either store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use goodjob_core::{Adapter, Clock, JobState, MemoryStore, Registry};
use goodjob_testkit::{Database, Drain, Schema, TestStore, assert_enqueued};

use crate::jobs::{DAY, Hopeless, Parent, Sleepy, Stubborn, Traceless, Welcome, all};

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Clock::system()))
}

/// What has to hold on every store.
async fn check(store: &impl TestStore) {
    let adapter = Adapter::new(store.backend());
    let ended = Drain::new(all()).run(store).await;
    assert!(ended.is_empty(), "{ended}");

    adapter.enqueue(Welcome { user_id: 1 }).await.unwrap();
    adapter.enqueue(Hopeless).priority(1).await.unwrap();
    adapter.enqueue(Stubborn).priority(2).await.unwrap();
    adapter.enqueue(Traceless).priority(3).await.unwrap();
    adapter.enqueue(Parent).priority(4).await.unwrap();
    adapter.enqueue(Welcome { user_id: 2 }).wait(3 * DAY).await.unwrap();
    let ended = Drain::new(all()).run(store).await;
    let told: Vec<_> =
        ended.iter().map(|job| (job.class.as_str(), job.state, job.error.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("WelcomeJob", JobState::Succeeded, None),
            ("HopelessJob", JobState::Discarded, Some("JobError: no way")),
            ("StubbornJob", JobState::Scheduled, Some("JobError: not yet")),
            ("TracelessJob", JobState::Succeeded, None),
            ("ParentJob", JobState::Discarded, told[4].2),
            // Of the parent, before it panicked.
            ("WelcomeJob", JobState::Succeeded, None),
        ]
    );
    assert!(told[4].2.unwrap().contains("after that"), "{told:?}");
    assert!(ended.iter().all(|job| job.job.is_some() == (job.class != "TracelessJob")));
    assert_eq!(ended.of::<Welcome>().count(), 2);

    // Two days are not three. Then all that is left, in the order of its time.
    store.travel(2 * DAY).await;
    let ended = Drain::new(all()).queues("-default").run(store).await;
    assert!(ended.is_empty(), "{ended}");
    let ended = Drain::new(all()).with_scheduled().run(store).await;
    let told: Vec<_> =
        ended.iter().map(|job| (job.class.as_str(), job.attempts, job.state)).collect();
    let both = [("StubbornJob", 2, JobState::Succeeded), ("WelcomeJob", 1, JobState::Succeeded)];
    assert_eq!(told, both);
    ended.assert_succeeded();
    assert_enqueued!(store.inspect(), Welcome, finished, count = 3);
}

#[tokio::test]
async fn what_is_due_is_done_in_memory() {
    check(&memory()).await;
}

#[tokio::test]
async fn what_is_due_is_done_on_postgres() {
    for schema in [Schema::LEAN, Schema::GEM_V4_0.prefixed("acme_").in_schema("jobs")] {
        let database = Database::with_schema(schema).await;
        let store = database.store().await;
        check(&store).await;
        store.close().await;
    }
}

#[tokio::test]
async fn only_some_queues_are_drained() {
    let store = memory();
    let adapter = Adapter::new(store.clone());
    adapter.enqueue(Welcome { user_id: 1 }).await.unwrap();
    adapter.enqueue(Welcome { user_id: 2 }).queue("other").await.unwrap();
    let ended = Drain::new(all()).queues("mail").run(&store).await;
    assert_eq!(ended.len(), 1);
    assert_enqueued!(store, Welcome, waiting, queue = "other", count = 1);
    assert!(catch_unwind(|| Drain::new(all()).queues(":")).is_err());
}

#[tokio::test]
async fn classes_that_it_cannot_do_are_left_alone_and_not_waited_for() {
    let store = memory();
    let adapter = Adapter::new(store.clone());
    adapter.enqueue(Hopeless).await.unwrap();
    adapter.enqueue(Hopeless).wait(DAY).await.unwrap();
    let welcome = Registry::default().register::<Welcome>();
    assert!(Drain::new(welcome).with_scheduled().run(&store).await.is_empty());
    assert_enqueued!(store, Hopeless, waiting, count = 2);
}

#[tokio::test]
async fn not_one_attempt_more_than_the_limit_is_begun() {
    for (limit, at_the_limit) in [(0, None), (1, None), (3, None), (3, Some("a panic"))] {
        let store = memory();
        let adapter = Adapter::new(store.clone());
        for n in 0..6 {
            match (n, at_the_limit) {
                (2, Some(_)) => adapter.enqueue(Parent).queue("mail").await.unwrap(),
                _ => adapter.enqueue(Welcome { user_id: n }).await.unwrap(),
            };
        }
        let ended = Drain::new(all()).limit(limit).run(&store).await;
        assert_eq!(ended.len(), limit);
        let finished = assert_enqueued!(store, _, finished, count = limit);
        let waiting = 6 - limit + usize::from(at_the_limit.is_some());
        assert_enqueued!(store, _, waiting, count = waiting);
        assert!(finished.iter().all(|job| job.executions_count == 1));
    }
}

#[tokio::test]
async fn what_did_not_succeed_is_listed() {
    let store = memory();
    let adapter = Adapter::new(store.clone());
    adapter.enqueue(Welcome { user_id: 1 }).priority(-1).await.unwrap();
    adapter.enqueue(Hopeless).await.unwrap();
    let ended = Drain::new(all()).run(&store).await;
    let panic = catch_unwind(AssertUnwindSafe(|| ended.assert_succeeded())).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    let expected = format!(
        "1 of 2 jobs did not succeed:\n  WelcomeJob {}: succeeded\n  HopelessJob {}: discarded: JobError: no way\n",
        ended[0].id, ended[1].id
    );
    assert_eq!(*text, expected);
}

#[tokio::test]
async fn a_job_that_puts_itself_off_for_ever_ends_the_test_with_its_name() {
    let store = memory();
    Adapter::new(store.clone()).enqueue(Sleepy).await.unwrap();
    let ended = Drain::new(all()).with_scheduled().limit(20).run(&store).await;
    assert_eq!(ended[0].attempts, 20);
    let drain = Drain::new(all()).with_scheduled().patience(Duration::from_secs(300)).run(&store);
    let panic = AssertUnwindSafe(drain).catch_unwind().await.unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("puts itself off for ever") && text.contains("SleepyJob"), "{text}");
}
