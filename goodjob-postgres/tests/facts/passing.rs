//! Facts 34, 35 and 40: jobs that one side passes to the other.

use std::future::ready;
use std::time::Duration;

use goodjob_core::Options;
use goodjob_core::{ErrorEvent, JobState, Policy, QueueSelector, Timestamp};
use goodjob_testkit::gem::{GemOptions, Performed, RubyError};
use goodjob_testkit::{GemWorker, Harness};
use serde_json::json;

use crate::jobs;
use crate::ruby::{Rails, RubyJob};
use crate::scene::{SOON, STRATEGIES, Scene};

const WAIT: Duration = Duration::from_millis(100);

/// A process of the gem whose jobs raise this, with the waits that `retry` gives by their count so far.
async fn retrying(
    scene: &Scene,
    error: &'static str,
    retry: fn(i64) -> Option<Duration>,
) -> GemWorker {
    let queues = QueueSelector::Only(vec!["ruby".to_owned()]);
    let options = GemOptions { poll_interval: Some(SOON), queues, ..GemOptions::default() };
    GemWorker::start(&scene.database.url(), options, move |job| {
        let executions = job.serialized_params.as_ref().and_then(|p| p["executions"].as_i64());
        ready(match executions.and_then(retry) {
            Some(wait) => Performed::Retry { error: RubyError::new(error, "from Ruby"), wait },
            None => Performed::Done,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_34_a_job_of_ruby_that_we_retry_is_counted_on_by_ruby() {
    let scene = Scene::new().await;
    // A rule for any error counts as Ruby's `retry_on StandardError`, another one as it is told.
    for (class, counted, other) in [
        ("RetryJob", "StandardError", "Net::OpenTimeout"),
        ("NamedRetryJob", "Net::OpenTimeout", "StandardError"),
    ] {
        let (counted_as, other_as) = (format!("[{counted}]"), format!("[{other}]"));
        // Ruby has run it twice.
        let id = RubyJob::new(Rails::V7_1, class, json!([]))
            .key("executions", 2)
            .key("exception_executions", json!({&counted_as: 1, &other_as: 1}))
            .enqueue(&scene.pool)
            .await;
        scene.attempted(id).await;
        let envelope = scene.job(id).await.payload;
        assert_eq!((envelope.executions(), envelope.exception_executions(&counted_as)), (3, 2));

        let ruby = retrying(&scene, counted, |count| (count < 4).then_some(WAIT)).await;
        let pass =
            "UPDATE good_jobs SET queue_name = 'ruby', job_class = 'RubysJob', scheduled_at = now()
                    WHERE id = $1";
        scene.change(pass, id).await;
        scene.worker.finished(id).await;
        let envelope = scene.job(id).await.payload;
        assert_eq!(envelope.executions(), 4);
        let counts = json!({&counted_as: 3, &other_as: 1});
        assert_eq!(envelope.get("exception_executions"), Some(&counts));
        ruby.stop().await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_35_a_retry_by_ruby_keeps_the_row_and_we_count_on() {
    let scene = Scene::new().await;
    // Soon, and then not before this test is over.
    let waits = |count| Some(if count == 0 { WAIT } else { Duration::from_secs(60 * 60) });
    let ruby = retrying(&scene, "FailJob::Boom", waits).await;
    let id = scene.enqueue_with("PassedJob", Options::new().queue("ruby")).await;
    scene.until("SELECT count(*) FROM good_job_executions WHERE error_event = 3 AND finished_at IS NOT NULL", 2).await;
    ruby.stop().await;

    // Now a worker of ours that knows the class.
    let (seen, mut told) = tokio::sync::mpsc::unbounded_channel();
    let handlers = jobs::only("PassedJob", Policy::new(), move |cx| {
        seen.send((cx.job_id(), cx.attempt())).unwrap();
        ready(Ok(()))
    });
    scene.change("UPDATE good_jobs SET scheduled_at = now() WHERE id = $1", id).await;
    let second = Harness::start_with(&scene.database, handlers, |config, _| {
        config.poll_interval = Some(SOON);
    })
    .await;
    assert_eq!(told.recv().await, Some((id, 3)));
    let job = second.finished(id).await;
    assert_eq!(job.payload.executions(), 2);
    assert_eq!(job.payload.exception_executions("[FailJob::Boom]"), 2);
    let jobs = scene.count("SELECT count(*) FROM good_jobs").await;
    assert_eq!(jobs, 1, "one row for life");
    second.stop().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_40_ruby_discards_a_class_that_it_does_not_know_unless_queues_keep_it_away() {
    let scene = Scene::new().await;
    let known = Some(vec!["RubysJob".to_owned()]);
    let star = GemOptions {
        poll_interval: Some(SOON),
        classes: known.clone(),
        ..GemOptions::locking_by(STRATEGIES[0])
    };
    let queues = QueueSelector::Except(vec!["rust".to_owned()]);
    let isolated = GemOptions { queues, ..star.clone() };
    let ruby = scene.gem_with(isolated).await;
    let away = scene.enqueue_with("Rust::OnlyJob", Options::new().queue("rust")).await;
    let rubys = scene.enqueue("RubysJob").await;
    scene.worker.finished(rubys).await;
    assert_eq!(scene.job(away).await.performed_at, None);
    ruby.stop().await;
    let ruby = scene.gem_with(star).await;
    let job = scene.worker.finished(away).await;
    assert_eq!(
        (job.state(Timestamp::MAX_UTC), job.error_event),
        (JobState::Discarded, Some(ErrorEvent::Unhandled))
    );
    assert!(job.error.unwrap().starts_with("NameError: "));
    ruby.stop().await;
    // We do not know Ruby's, and leave them be.
    let rubys = scene.enqueue("RubysJob").await;
    scene.searched().await;
    assert_eq!(scene.job(rubys).await.performed_at, None);
    scene.end().await;
}
