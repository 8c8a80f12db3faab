//! What is paused is left alone, whatever the setting holds.

use goodjob_core::{
    Arguments, Job, JobId, NewJob, Options, Pause, PauseStore, Paused, ProcessRecord,
    QueueSelector, Store, Wanted,
};
use goodjob_postgres::{LockStrategy, PgStore};
use serde_json::{Value, json};

use crate::engine::Echo;

async fn pause(store: &PgStore, value: &Value) {
    sqlx::query(
        "INSERT INTO good_job_settings (created_at, updated_at, key, value) VALUES (now(), now(), 'pauses', $1)
         ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
    )
    .bind(value)
    .execute(store.pool())
    .await
    .unwrap();
}

async fn enqueue(store: &PgStore, class: &str, options: Options) -> JobId {
    let job = NewJob::of_class(class, Arguments::default(), options).unwrap();
    store.insert(std::slice::from_ref(&job)).await.unwrap();
    job.id
}

/// What a claim takes now; given back at once.
async fn claimable(store: &PgStore, queues: &QueueSelector) -> Vec<JobId> {
    let classes = vec![Echo::CLASS.to_owned(), "OtherJob".to_owned()];
    let wanted = Wanted { queues: queues.clone(), classes };
    let claims = goodjob_testkit::claims(store, &wanted, 10).await;
    let tokens: Vec<_> = claims.taken.iter().map(|claim| claim.token).collect();
    store.release(&tokens).await.unwrap();
    let mut ids: Vec<_> = claims.taken.iter().map(|claim| claim.job.id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn queues_classes_and_labels_are_paused_for_every_way_to_claim() {
    for strategy in [LockStrategy::Hybrid, LockStrategy::Advisory, LockStrategy::SkipLocked] {
        let database = crate::database().await;
        let mut options = database.options();
        options.lock_strategy = strategy;
        let store = PgStore::connect(options).await.unwrap();
        let process = ProcessRecord::new("pauses");
        store.beat(&process).await.unwrap();
        let plain = enqueue(&store, Echo::CLASS, Options::new()).await;
        let mice = enqueue(&store, Echo::CLASS, Options::new().queue("mice")).await;
        let other = enqueue(&store, "OtherJob", Options::new()).await;
        let labelled = enqueue(&store, Echo::CLASS, Options::new().label("a").label("b")).await;
        let nowhere = enqueue(&store, Echo::CLASS, Options::new()).await;
        sqlx::query("UPDATE good_jobs SET queue_name = NULL WHERE id = $1")
            .bind(nowhere.as_uuid())
            .execute(store.pool())
            .await
            .unwrap();
        let all = [plain, mice, other, labelled, nowhere];
        for (pauses, paused) in [
            (json!({}), vec![]),
            (json!({"queues": ["mice"]}), vec![mice]),
            (json!({"job_classes": ["OtherJob"]}), vec![other]),
            (json!({"labels": ["b", "c"]}), vec![labelled]),
            (
                json!({"queues": ["mice", "x"], "job_classes": ["OtherJob"], "labels": ["a"]}),
                vec![mice, other, labelled],
            ),
            // What the gem fails on, and what would pause everything for it.
            (json!({"queues": "mice", "labels": {"a": 1}, "job_classes": null}), vec![]),
            (json!({"queues": [null, 7, ["mice"], "mice"]}), vec![mice]),
            (json!("mice"), vec![]),
            (json!(null), vec![]),
            (json!([["mice"]]), vec![]),
        ] {
            pause(&store, &pauses).await;
            let mut expected: Vec<_> = all.into_iter().filter(|id| !paused.contains(id)).collect();
            expected.sort();
            let found = claimable(&store, &QueueSelector::All).await;
            assert_eq!(found, expected, "{strategy}: {pauses}");
        }
        pause(&store, &json!({"queues": ["mice"]})).await;
        let names = vec!["mice".to_owned(), "default".to_owned()];
        for (queues, count) in [
            (QueueSelector::Only(names.clone()), 3),
            (QueueSelector::InOrder(names), 3),
            (QueueSelector::Except(vec!["none".to_owned()]), 4),
            (QueueSelector::Only(vec!["mice".to_owned()]), 0),
        ] {
            let found = claimable(&store, &queues).await;
            assert!(!found.contains(&mice) && found.len() == count, "{strategy}: {queues}");
        }
        store.leave(&process).await.unwrap();
        store.close().await;
    }
}

/// The pool of a paused queue does not even look; it finds its jobs as soon as it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_unpaused_is_served_at_the_next_look() {
    let database = crate::database().await;
    let store = database.store().await;
    let process = ProcessRecord::new("pauses");
    store.beat(&process).await.unwrap();
    let mice = QueueSelector::Only(vec!["mice".to_owned()]);
    let mouse = enqueue(&store, Echo::CLASS, Options::new().queue("mice")).await;
    for round in 0..3 {
        pause(&store, &json!({"queues": ["mice"]})).await;
        for _ in 0..2 {
            assert_eq!(claimable(&store, &mice).await, [], "round {round}");
        }
        pause(&store, &json!({"queues": []})).await;
        assert_eq!(claimable(&store, &mice).await, [mouse], "round {round}");
    }
    store.leave(&process).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_pauses_at_the_same_time_are_all_there() {
    let database = crate::database().await;
    let stores = [database.store().await, database.store().await];
    let pauses: Vec<_> = (0..50)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { store.pause(&Pause::Queue(format!("q{n:02}"))).await })
        })
        .collect();
    for paused in pauses {
        paused.await.unwrap().unwrap();
    }
    let paused = stores[0].paused().await.unwrap();
    let expected: Vec<String> = (0..50).map(|n| format!("q{n:02}")).collect();
    assert_eq!(paused.queues, expected);
    let [first, second] = stores;
    let unpauses: Vec<_> = expected
        .into_iter()
        .map(|queue| {
            let store = second.clone();
            tokio::spawn(async move { store.unpause(&Pause::Queue(queue)).await })
        })
        .collect();
    for unpaused in unpauses {
        assert!(unpaused.await.unwrap().unwrap());
    }
    assert_eq!(first.paused().await.unwrap(), Paused::default());
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn the_setting_is_as_the_gem_writes_it_and_what_is_malformed_is_mended() {
    let database = crate::database().await;
    let store = database.store().await;
    let value = async || -> Value {
        sqlx::query_scalar("SELECT value FROM good_job_settings WHERE key = 'pauses'")
            .fetch_one(store.pool())
            .await
            .unwrap()
    };
    assert!(!store.unpause(&Pause::Label("x".into())).await.unwrap(), "nothing was paused yet");
    for pause in [Pause::Queue("q".into()), Pause::Class("A".into()), Pause::Label("l".into())] {
        store.pause(&pause).await.unwrap();
        store.pause(&pause).await.unwrap();
    }
    assert_eq!(value().await, json!({"queues": ["q"], "job_classes": ["A"], "labels": ["l"]}));
    let all: Vec<Pause> = store.paused().await.unwrap().iter().collect();
    assert_eq!(all.len(), 3);
    for pause in &all {
        assert!(store.unpause(pause).await.unwrap());
        assert!(!store.unpause(pause).await.unwrap());
    }
    assert_eq!(value().await, json!({"queues": [], "job_classes": [], "labels": []}));
    for malformed in [json!("q"), json!({"queues": "q"}), json!([1]), json!(null)] {
        pause(&store, &malformed).await;
        store.pause(&Pause::Queue("r".into())).await.unwrap();
        assert_eq!(value().await, json!({"queues": ["r"]}), "{malformed}");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpause_wakes_workers_that_do_not_poll() {
    for pause in
        [Pause::Queue("default".into()), Pause::Class(Echo::CLASS.into()), Pause::Label("l".into())]
    {
        let database = crate::database().await;
        let jobs = goodjob_core::Registry::default().register::<Echo>();
        let worker = goodjob_testkit::Harness::start_with(&database, jobs, |config, _| {
            config.poll_interval = None;
        })
        .await;
        let store = worker.store();
        store.pause(&pause).await.unwrap();
        let echo = Echo { text: "ok".into() };
        let id = worker.adapter().enqueue(echo).label("l").await.unwrap();
        worker.capsule().drained().await;
        assert_eq!(worker.job(id).await.executions_count, 0, "{pause}");
        assert!(store.unpause(&pause).await.unwrap());
        worker.finished(id).await;
        worker.stop().await;
    }
}
