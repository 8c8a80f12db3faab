//! Facts 11 to 18: nobody runs what another runs.

use std::time::Duration;

use goodjob_core::{Arguments, JobState, NewJob, Options, Registry, Timestamp};
use goodjob_testkit::gem::{GemOptions, GemStrategy, Performed};
use goodjob_testkit::{GemWorker, Harness};

use crate::jobs;
use crate::scene::{PATIENCE, Scene};

/// While we run a job, a process of the gem takes others and not this one.
async fn ours_is_left_alone_by(strategy: GemStrategy) {
    let scene = Scene::new().await;
    let held = scene.held().await;
    let ruby = scene.gem(strategy).await;
    for _ in 0..3 {
        let free = scene.enqueue("RubysJob").await;
        scene.worker.finished(free).await;
        assert_eq!(scene.worker.attempts(free).await[0].process, Some(ruby.process()));
    }
    assert_eq!(scene.job(held).await.locked_by, Some(scene.worker.capsule().process()));
    scene.gate.open();
    scene.worker.finished(held).await;
    assert_eq!(scene.runs.of(held).await, 1);
    assert_eq!(scene.worker.attempts(held).await.len(), 1);
    assert_eq!(ruby.errors(), [""; 0]);
    ruby.stop().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_11_an_advisory_process_leaves_our_running_job_alone() {
    ours_is_left_alone_by(GemStrategy::Advisory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_12_a_skiplocked_process_leaves_our_running_job_alone() {
    ours_is_left_alone_by(GemStrategy::SkipLocked).await;
}

/// Its one candidate is never ours, so that it takes the next free job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_13_a_hybrid_process_leaves_our_running_job_alone_and_takes_the_next() {
    ours_is_left_alone_by(GemStrategy::Hybrid).await;
}

/// Each step of a run by the gem, with a search of ours in between.
async fn rubys_is_left_alone(strategy: GemStrategy) {
    let scene = Scene::new().await;
    let mut ruby = scene.gem_session(strategy).await;
    // Of a class that our worker does not know, for now.
    let id = scene.enqueue("RubysJob").await;
    let job = ruby.claim().await.unwrap().expect("the job is free");
    assert_eq!(job.id, id);
    // Now our worker may want it; with `advisory` the row has no owner yet.
    scene.change("UPDATE good_jobs SET job_class = 'QuickJob' WHERE id = $1", id).await;
    scene.searched().await;
    assert_eq!(scene.job(id).await.executions_count, 0, "{strategy:?}: claimed, not started");
    let run = ruby.start(job).await.unwrap();
    scene.searched().await;
    let attempts = scene.worker.attempts(id).await;
    assert_eq!(attempts.len(), 1, "{strategy:?}: started");
    assert_eq!(attempts[0].process, Some(ruby.process()));
    ruby.finish(run, &Performed::Done).await.unwrap();
    scene.searched().await;
    ruby.release(id, false).await.unwrap();
    scene.searched().await;
    assert_eq!(scene.runs.of(id).await, 0, "{strategy:?}: our worker ran it");
    assert_eq!(scene.job(id).await.state(Timestamp::MAX_UTC), JobState::Succeeded);
    ruby.unregister().await.unwrap();
    ruby.close().await.unwrap();
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_14_we_leave_alone_what_an_advisory_process_runs_stamped_or_not() {
    rubys_is_left_alone(GemStrategy::Advisory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_15_we_leave_alone_what_a_skiplocked_process_runs() {
    rubys_is_left_alone(GemStrategy::SkipLocked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_16_we_leave_alone_what_a_hybrid_process_runs() {
    rubys_is_left_alone(GemStrategy::Hybrid).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_17_two_processes_of_the_gem_may_run_one_job_and_we_are_no_party_to_it() {
    let scene = Scene::new().await;
    let mut skip = scene.gem_session(GemStrategy::SkipLocked).await;
    let id = scene.enqueue("RubysJob").await;
    let job = skip.claim().await.unwrap().unwrap();
    let run = skip.start(job).await.unwrap();
    scene.change("UPDATE good_jobs SET job_class = 'QuickJob' WHERE id = $1", id).await;
    scene.searched().await;
    assert_eq!(scene.runs.of(id).await, 0);
    let mut advisory = scene.gem_session(GemStrategy::Advisory).await;
    let again = advisory.claim().await.unwrap().expect("the hole is there");
    assert_eq!(again.id, id);
    let second = advisory.start(again).await.unwrap();
    scene.searched().await;
    for (session, run) in [(&mut skip, run), (&mut advisory, second)] {
        session.finish(run, &Performed::Done).await.unwrap();
        session.release(id, false).await.unwrap();
    }
    scene.searched().await;
    let ran: Vec<_> = scene.worker.attempts(id).await.iter().map(|a| a.process).collect();
    assert_eq!(ran, [Some(skip.process()), Some(advisory.process())]);
    assert_eq!(scene.runs.of(id).await, 0);
    for mut session in [skip, advisory] {
        session.unregister().await.unwrap();
        session.close().await.unwrap();
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_18_four_processes_drain_a_thousand_jobs_and_run_each_once() {
    const JOBS: usize = 1_000;
    let scene = Scene::new().await;
    let logged = scene.runs.clone();
    let mut handlers = Registry::default().into_handlers();
    jobs::add(&mut handlers, "QuickJob", goodjob_core::Policy::new(), move |_, cx| {
        let runs = logged.clone();
        async move { Ok(runs.log_as(&cx, async {}).await?) }
    });
    let second = Harness::start(&scene.database, handlers).await;
    let ruby = async |strategy| -> GemWorker {
        let poll_interval = Some(Duration::from_secs(1));
        let options = GemOptions { poll_interval, threads: 2, ..GemOptions::locking_by(strategy) };
        scene.gem_with(options).await
    };
    let rubys = [ruby(GemStrategy::Advisory).await, ruby(GemStrategy::Hybrid).await];
    let jobs = (0..JOBS)
        .map(|_| NewJob::of_class("QuickJob", Arguments::default(), Options::new()).unwrap());
    scene.worker.adapter().enqueue_all(jobs).await.unwrap();
    goodjob_testkit::eventually("every job is over", PATIENCE * 4, async || {
        match scene.count("SELECT count(*) FROM good_jobs WHERE finished_at IS NULL").await {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
    let successes = "SELECT count(*) FROM (SELECT active_job_id FROM good_job_executions
                     WHERE error IS NULL AND finished_at IS NOT NULL
                     GROUP BY 1 HAVING count(*) = 1) AS once";
    let jobs = i64::try_from(JOBS).unwrap();
    assert_eq!(scene.count(successes).await, jobs);
    assert_eq!(scene.count("SELECT count(*) FROM good_job_executions").await, jobs);
    assert_eq!(scene.count("SELECT count(*) FROM runs").await, jobs);
    assert_eq!(scene.runs.overlaps().await, []);
    let busy = "SELECT count(DISTINCT process_id) FROM good_job_executions";
    assert!(scene.count(busy).await > 1, "one process did it all");
    for ruby in rubys {
        assert_eq!(ruby.errors(), [""; 0]);
        ruby.stop().await;
    }
    second.stop().await;
    scene.end().await;
}
