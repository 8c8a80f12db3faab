//! When a job starts: pushed, polled, timed, and after its transaction.

use chrono::TimeDelta;
use goodjob_postgres::EnqueueIn;
use goodjob_testkit::{Harness, eventually};
use tokio::time::Instant;

use crate::stage::{Gate, Nap, Stage, lock_session, millis, notify_session, percentile, secs};

const SHORT: Nap = Nap { millis: 0 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_job_is_pushed_long_before_the_next_poll() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, stage.naps(), |config, _| {
        config.poll_interval = Some(secs(60));
    })
    .await;
    // Whoever enqueues is somebody else, with a connection of its own.
    let mut latencies = Vec::new();
    for _ in 0..150 {
        let mut tx = stage.pool.begin().await.unwrap();
        let id = worker.adapter().enqueue(SHORT).enqueue_in(&mut *tx).await.unwrap();
        let committing = Instant::now();
        tx.commit().await.unwrap();
        let (started, at) = stage.start().await;
        assert_eq!(started, id);
        latencies.push(at.duration_since(committing));
    }
    let (p50, p95) = (percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.95));
    println!("commit to start, poll 60 s: p50 {p50:?}, p95 {p95:?}, max {:?}", latencies[149]);
    assert!(p95 < millis(100), "{p95:?}");
    worker.stop().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_listen_a_job_starts_within_a_poll_interval() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, stage.naps(), |config, options| {
        config.poll_interval = Some(secs(1));
        options.listen_notify = false;
    })
    .await;
    let mut latencies = Vec::new();
    for _ in 0..4 {
        // A search that found a job is followed by another one, which might find the next.
        worker.capsule().drained().await;
        let enqueued = Instant::now();
        let id = worker.enqueue(SHORT).await;
        let (started, at) = stage.start().await;
        assert_eq!(started, id);
        latencies.push(at.duration_since(enqueued));
    }
    println!("enqueue to start, LISTEN off, poll 1 s: {latencies:?}");
    assert!(latencies.iter().all(|latency| *latency < millis(1_250)), "{latencies:?}");
    assert!(latencies.iter().any(|latency| *latency > millis(250)), "pushed? {latencies:?}");
    worker.stop().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_job_starts_at_its_time_without_polls_and_never_before() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, stage.naps(), |config, _| {
        config.poll_interval = None;
    })
    .await;
    let mut ids = Vec::new();
    for n in 0..10 {
        let wait = secs(3) + millis(n * 50);
        ids.push(worker.adapter().enqueue(SHORT).wait(wait).await.unwrap());
    }
    let mut late = Vec::new();
    for job in worker.all_finished(&ids).await {
        // Both by the server's clock: when the claim was made, and when the body ran.
        let due = job.scheduled_at.unwrap();
        assert!(job.performed_at.unwrap() >= due, "{job:?} started early");
        assert!(due - job.created_at >= TimeDelta::seconds(3));
        let started: chrono::DateTime<chrono::Utc> =
            sqlx::query_scalar("SELECT started_at FROM runs WHERE job = $1")
                .bind(job.id.as_uuid())
                .fetch_one(&stage.pool)
                .await
                .unwrap();
        late.push((started - due).to_std().unwrap());
    }
    println!("due to start, polling off: {late:?}");
    assert!(percentile(&mut late, 1.0) < millis(250), "{late:?}");
    worker.stop().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_wakes_nobody_until_it_commits_and_never_if_it_does_not() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start_with(&database, stage.naps(), |config, _| {
        config.poll_interval = None;
    })
    .await;
    // One job through, so that everything is awake, and the look around of who begins to listen is over.
    worker.finished(worker.enqueue(SHORT).await).await;
    stage.start().await;
    eventually("a listener", secs(20), async || worker.capsule().vitals().connected.then_some(()))
        .await;
    worker.capsule().drained().await;
    let searches = |worker: &Harness| worker.capsule().pools()[0].empty;
    let before = searches(&worker);

    let mut tx = stage.pool.begin().await.unwrap();
    let gone = worker.adapter().enqueue(SHORT).enqueue_in(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();

    let mut tx = stage.pool.begin().await.unwrap();
    let kept = worker.adapter().enqueue(SHORT).enqueue_in(&mut *tx).await.unwrap();
    sqlx::query("SELECT pg_sleep(2)").execute(&mut *tx).await.unwrap();
    assert!(!stage.has_start().await, "it started before its commit");
    assert_eq!(searches(&worker), before, "somebody was woken");
    let committing = Instant::now();
    tx.commit().await.unwrap();
    let (started, at) = stage.start().await;
    assert_eq!(started, kept);
    let latency = at.duration_since(committing);
    println!("commit after 2 s to start, polling off: {latency:?}");
    assert!(latency < millis(250), "{latency:?}");
    worker.finished(kept).await;
    assert_eq!(stage.runs.of(gone).await, 0);
    worker.stop().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_worker_polls_and_hears_again_soon() {
    let database = crate::database().await;
    let (stage, gate) = (Stage::on(&database).await, Gate::of(&database).await);
    let poll = secs(2);
    let worker = Harness::start_with(&database, stage.naps(), |config, _| {
        config.poll_interval = Some(poll);
    })
    .await;
    let process = worker.capsule().process();
    worker.finished(worker.enqueue(SHORT).await).await;
    stage.start().await;

    gate.close([&stage.pool, stage.runs.pool(), worker.store().pool()]).await;
    assert_eq!(stage.terminate(&notify_session(process)).await, 1);
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let enqueued = Instant::now();
        worker.enqueue(SHORT).await;
        deaf.push(stage.start().await.1.duration_since(enqueued));
    }
    assert_eq!(stage.pid(&notify_session(process)).await, None, "it is still deaf");
    assert!(stage.pid(&lock_session(process)).await.is_some(), "and only that");
    assert!(deaf.iter().all(|latency| *latency < poll + millis(250)), "{deaf:?}");

    gate.open().await;
    let opened = Instant::now();
    eventually("the listener", secs(10), async || stage.pid(&notify_session(process)).await).await;
    let mut pushed = Vec::new();
    for _ in 0..5 {
        let enqueued = Instant::now();
        worker.enqueue(SHORT).await;
        pushed.push(stage.start().await.1.duration_since(enqueued));
    }
    println!(
        "deaf: {deaf:?}; pushed again {:?} after it could connect: {pushed:?}",
        opened.elapsed()
    );
    // By polls alone one in many thousands would be as fast.
    assert!(pushed.iter().filter(|latency| **latency < millis(200)).count() >= 4, "{pushed:?}");
    assert!(opened.elapsed() < secs(10));
    worker.stop().await;
    stage.close().await;
}
