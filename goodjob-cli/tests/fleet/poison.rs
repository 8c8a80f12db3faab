//! A job that kills its process, and a class that nobody knows.

use std::time::Duration;

use goodjob_core::{ErrorEvent, Inspect, JobState, NewJob, Timestamp};
use goodjob_testkit::{Database, Runs, eventually};
use rustix::process::Signal;

use crate::command::goodjob;
use crate::worker::{Abort, Nap, Worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_kills_its_process_is_given_up_and_its_neighbours_are_done() {
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let poison = store.adapter().enqueue(Abort { millis: 150 }).await.unwrap();
    let naps = (0..40).map(|_| NewJob::new(&Nap { millis: 20 }).unwrap());
    let naps: Vec<_> =
        store.adapter().enqueue_all(naps).await.unwrap().into_iter().map(|job| job.id()).collect();

    // As under a supervisor.
    let (mut crashes, mut worker) = (0, Worker::start("start", &database.url()));
    let job = eventually("the end of the poison", Duration::from_secs(30), async || {
        if worker.has_ended() {
            crashes += 1;
            runs.died(worker.pid()).await;
            worker = Worker::start("start", &database.url());
        }
        let job = store.job(poison).await.unwrap().unwrap();
        if job.finished_at.is_some() { Ok(job) } else { Err(format!("{job:?}")) }
    })
    .await;
    println!("given up after {crashes} crashes: {}", job.error.as_deref().unwrap_or_default());
    assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Discarded);
    assert_eq!(job.error_event, Some(ErrorEvent::Interrupted));
    assert!(job.error.as_deref().unwrap().contains("3 attempts in a row"), "{job:?}");
    assert_eq!((runs.of(poison).await, crashes), (3, 3));
    assert_eq!(store.executions(poison).await.unwrap().len(), 4, "three and the verdict");
    for id in naps {
        eventually("a neighbour", Duration::from_secs(10), async || {
            let job = store.job(id).await.unwrap().unwrap();
            match job.state(Timestamp::MAX_UTC) {
                JobState::Succeeded => Ok(()),
                state => Err(format!("{state}: {job:?}")),
            }
        })
        .await;
    }
    assert_eq!(runs.overlaps().await, []);
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().await.0, Some(0));
    runs.close().await;
    store.close().await;
}

/// They are interrupted with it twice. Of jobs that were, one runs at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_that_run_whenever_the_poison_does_are_not_given_up_with_it() {
    let database = Database::fresh().await;
    let (store, runs) = (database.store().await, Runs::at(&database.url()).await);
    let poison = store.adapter().enqueue(Abort { millis: 0 }).await.unwrap();
    let naps = (0..4).map(|_| NewJob::new(&Nap { millis: 1_000 }).unwrap());
    let naps: Vec<_> =
        store.adapter().enqueue_all(naps).await.unwrap().into_iter().map(|job| job.id()).collect();
    let (mut crashes, mut worker) = (0, Worker::start("start", &database.url()));
    let mut ends = Vec::new();
    for id in naps.into_iter().chain([poison]) {
        let job = eventually("an end", Duration::from_secs(30), async || {
            if worker.has_ended() {
                crashes += 1;
                runs.died(worker.pid()).await;
                worker = Worker::start("start", &database.url());
            }
            store.job(id).await.unwrap().unwrap().finished_at.map(|_| id)
        })
        .await;
        ends.push(store.job(job).await.unwrap().unwrap().state(Timestamp::MAX_UTC));
    }
    println!("{crashes} crashes, four neighbours and the poison: {ends:?}");
    use JobState::{Discarded, Succeeded};
    assert_eq!(ends, [Succeeded, Succeeded, Succeeded, Succeeded, Discarded]);
    assert_eq!((crashes, runs.of(poison).await), (3, 3));
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().await.0, Some(0));
    runs.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_no_worker_knows_is_shown_with_the_reason() {
    let database = Database::fresh().await;
    let url = database.url();
    let mut worker = Worker::ready("start", &url).await;
    let call = |args: [&str; 3]| goodjob(args).env("DATABASE_URL", &url).run();
    call(["enqueue", "NopeJob", "--json"]).with(0);
    call(["enqueue", "NopeJob", "--json"]).with(0);
    let status = call(["--json", "--quiet", "status"]).with(0).json();
    let unserved = &status["unserved"][0];
    assert_eq!((&unserved["class"], &unserved["due"]), (&"NopeJob".into(), &2.into()), "{status}");
    assert_eq!(unserved["reason"], "no goodjob worker knows the class \"NopeJob\"");
    assert_eq!(status["queues"][0]["queued"], 2, "{status}");
    let check = call(["--quiet", "status", "--check"]).with(3);
    assert!(check.err.contains("no goodjob worker knows the class"), "{check:?}");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().await.0, Some(0));
}
