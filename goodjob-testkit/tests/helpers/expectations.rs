//! `assert_enqueued!` finds what is there, and tells what is there instead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{
    Adapter, Arguments, BatchId, Clock, Inspect, JobRecord, MemoryStore, NewJob, Options, Payload,
    Registry, Tick, Ties,
};
use goodjob_testkit::{
    Database, Expected, Harness, Rows, Sequences, assert_enqueued, assert_not_enqueued, enqueued,
    factory,
};
use serde_json::json;

use crate::jobs::{DAY, Hopeless, Welcome};

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Clock::standing_at("2026-03-02T12:00:00Z".parse().unwrap())))
}

fn failure(check: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(check)).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test]
async fn each_condition_holds_for_the_jobs_that_it_is_about_and_for_no_other() {
    let _rewound = Sequences::rewound();
    let store = store();
    let adapter = Adapter::new(store.clone());
    adapter.enqueue(Welcome { user_id: 7 }).await.unwrap();
    adapter.enqueue(Welcome { user_id: 8 }).queue("later").priority(5).wait(DAY).await.unwrap();
    let batch = BatchId::from(factory::id());
    store.plant(JobRecord {
        labels: vec!["rare".to_owned()],
        ties: Ties {
            concurrency_key: Some("key".to_owned()),
            batch: Some(batch),
            tick: Some(Tick { key: "nightly".to_owned(), at: None }),
            ..Ties::default()
        },
        performed_at: Some(factory::time()),
        finished_at: Some(factory::time()),
        ..factory::job()
    });

    let count = |jobs: Vec<JobRecord>| jobs.len();
    assert_eq!(count(enqueued!(store, Welcome)), 3);
    assert_eq!(count(enqueued!(store, Hopeless)), 0);
    assert_eq!(count(enqueued!(store, _)), 3);
    assert_eq!(count(enqueued!(store, _, class = "WelcomeJob")), 3);
    assert_eq!(count(enqueued!(store, Welcome, args = Welcome { user_id: 8 })), 1);
    assert_eq!(count(enqueued!(store, Welcome, args_where = |job| job.user_id < 8)), 2);
    assert_eq!(count(enqueued!(store, Welcome, queue = "mail")), 1);
    assert_eq!(count(enqueued!(store, Welcome, priority = 5)), 1);
    assert_eq!(count(enqueued!(store, Welcome, label = "people")), 2);
    assert_eq!(count(enqueued!(store, Welcome, label = "rare", key = "key", batch = batch)), 1);
    assert_eq!(count(enqueued!(store, Welcome, cron = "nightly")), 1);
    assert_eq!(count(enqueued!(store, Welcome, cron = "hourly")), 0);
    assert_eq!(count(enqueued!(store, Welcome, wait = DAY)), 1);
    assert_eq!(count(enqueued!(store, Welcome, wait = DAY + Duration::from_secs(1))), 0);
    let tomorrow = store.now() + DAY;
    assert_eq!(count(enqueued!(store, Welcome, scheduled_at = tomorrow)), 1);
    assert_eq!(count(enqueued!(store, Welcome, scheduled_within = store.now()..tomorrow)), 1);
    assert_eq!(count(enqueued!(store, Welcome, scheduled_within = store.now()..=tomorrow)), 2);
    assert_eq!(count(enqueued!(store, Welcome, waiting)), 2);
    assert_eq!(count(enqueued!(store, Welcome, finished)), 1);

    let found = assert_enqueued!(store, Welcome, waiting, count = 2);
    assert_eq!(found.len(), 2);
    assert_enqueued!(store, Hopeless, count = 0);
    assert_not_enqueued!(store, Welcome, queue = "late");
}

#[tokio::test]
async fn arguments_are_equal_however_they_are_stored() {
    let store = store();
    // Ruby may write what it reads in another order, and with a plain hash instead of keywords.
    let stored = json!([{"user_id": 7, "_aj_symbol_keys": ["user_id"]}]);
    let stored = Arguments::from_stored(stored.as_array().unwrap().clone());
    let new = NewJob::of_class("WelcomeJob", stored, Options::new()).unwrap();
    store.plant(JobRecord::stored(&new, store.now()));
    assert_enqueued!(store, Welcome, args = Welcome { user_id: 7 });
    assert_not_enqueued!(store, Welcome, args = Welcome { user_id: 8 });
}

#[tokio::test]
async fn a_failure_lists_what_is_enqueued_instead_the_nearest_first() {
    let store = store();
    let adapter = Adapter::new(store.clone());
    let far = adapter.enqueue(Hopeless).await.unwrap();
    let near = adapter.enqueue(Welcome { user_id: 8 }).priority(3).wait(DAY).await.unwrap();
    let jobs = store.all_jobs().await;
    let expected = Expected::<Welcome>::job().queue("mail").args(Welcome { user_id: 7 });
    let text = failure(|| drop(expected.assert_among(jobs)));
    let arguments = r#"[{"_aj_ruby2_keywords":["user_id"],"user_id":7}]"#;
    assert_eq!(
        text,
        format!(
            "expected a job of the class WelcomeJob, on the queue \"mail\", with the arguments {arguments}\n\
             2 other jobs enqueued:\n  \
               WelcomeJob {near} on \"mail\", priority 3, labels [\"people\"], enqueued 2026-03-02 12:00:00 UTC, \
             due 2026-03-03 12:00:00 UTC, arguments {}\n    \
                 not with the arguments {arguments}\n  \
               HopelessJob {far} on \"default\", priority 0, enqueued 2026-03-02 12:00:00 UTC, \
             due 2026-03-02 12:00:00 UTC, arguments []\n    \
                 not of the class WelcomeJob, not on the queue \"mail\", not with the arguments {arguments}\n",
            arguments.replace('7', "8")
        )
    );
}

#[tokio::test]
async fn a_wrong_number_and_an_unwanted_job_are_told_with_the_jobs() {
    let store = store();
    let jobs = store.all_jobs().await;
    let text = failure(|| drop(Expected::any().assert_among(jobs)));
    assert_eq!(text, "expected a job of any class\nnothing else is enqueued\n");

    let adapter = Adapter::new(store.clone());
    adapter
        .enqueue_all((0..30).map(|n| NewJob::new(&Welcome { user_id: n }).unwrap()))
        .await
        .unwrap();
    let jobs = store.all_jobs().await;
    let text = failure(|| drop(Expected::<Welcome>::job().count(2).assert_among(jobs)));
    assert!(
        text.starts_with("expected 2 jobs of the class WelcomeJob\nfound 30 jobs like that:\n"),
        "{text}"
    );
    let jobs = store.all_jobs().await;
    let text = failure(|| drop(Expected::<Hopeless>::job().assert_among(jobs)));
    assert!(text.ends_with("  and 10 more\n"), "{text}");
    let jobs = store.all_jobs().await;
    let text = failure(|| Expected::<Welcome>::job().queue("mail").assert_not_among(jobs));
    let start = "expected no job of the class WelcomeJob, on the queue \"mail\"\nfound 30 jobs:\n  WelcomeJob ";
    assert!(text.starts_with(start), "{text}");
}

#[tokio::test]
async fn postgres_and_a_harness_are_asked_in_the_same_way() {
    let _rewound = Sequences::rewound();
    let database = Database::fresh().await;
    let worker = Harness::start(&database, Registry::default().register::<Welcome>()).await;
    let id = worker.enqueue(Welcome { user_id: 7 }).await;
    worker.finished(id).await;
    worker.adapter().enqueue(Welcome { user_id: 8 }).wait(DAY).await.unwrap();
    assert_enqueued!(worker, Welcome, finished, args = Welcome { user_id: 7 }, count = 1);
    assert_enqueued!(
        worker.store(),
        Welcome,
        waiting,
        wait = DAY,
        queue = "mail",
        label = "people"
    );
    assert_not_enqueued!(worker, Welcome, priority = 3);

    // A row that nobody can read is no reason to fail.
    let odd = JobRecord { payload: Payload::default(), queue: None, ..factory::job() };
    Rows { jobs: vec![odd], ..Rows::default() }.store_in(worker.store()).await;
    assert_not_enqueued!(worker, Welcome, args = Welcome { user_id: 1 });
    assert_enqueued!(worker, _, count = 3);
    worker.stop().await;
}
