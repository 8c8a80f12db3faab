//! How runs end (wire contract 4.3 to 4.5).

use std::time::Duration;

use goodjob_testkit::gem::GemStrategy::{Advisory, Hybrid, SkipLocked};
use goodjob_testkit::gem::{GemOptions, GemSession, Performed, RubyError};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;

use crate::Rails;

fn boom() -> RubyError {
    RubyError::new("Boom", "no: never")
}

async fn run(session: &mut GemSession, performed: Performed) {
    let job = session.claim().await.unwrap().unwrap();
    session.run(job, async |_| performed).await.unwrap();
}

#[tokio::test]
async fn each_end_writes_its_columns() {
    for (performed, finished, event) in [
        (Performed::Done, true, json!(null)),
        (Performed::Discard(boom()), true, json!(5)),
        (Performed::Raise(boom()), true, json!(1)),
    ] {
        let rails = Rails::new().await;
        let id = rails.enqueue().await;
        run(&mut rails.session(Advisory).await, performed.clone()).await;
        let (job, execution) = (rails.job(id).await, rails.execution(id).await);
        assert_eq!(job["finished_at"] != json!(null), finished, "{performed:?}");
        assert_ne!(job["performed_at"], json!(null), "{performed:?}");
        let error = if event.is_null() { json!(null) } else { json!("Boom: no: never") };
        for row in [&job, &execution] {
            assert_eq!((&row["error"], &row["error_event"]), (&error, &event), "{performed:?}");
        }
        assert_ne!(execution["duration"], json!(null));
        rails.close().await;
    }
}

#[tokio::test]
async fn a_retry_raises_the_counts_begins_a_new_and_is_told() {
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let before = rails.job(id).await;
    let mut listener = PgListener::connect(&rails.database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();
    let wait = Duration::from_secs(60);
    run(&mut rails.session(Hybrid).await, Performed::Retry { error: boom(), wait }).await;

    let (job, execution) = (rails.job(id).await, rails.execution(id).await);
    assert_eq!((&job["performed_at"], &job["finished_at"]), (&json!(null), &json!(null)));
    assert_eq!((&job["locked_by_id"], &job["error_event"]), (&json!(null), &json!(3)));
    assert_ne!(job["created_at"], before["created_at"]);
    let params = &job["serialized_params"];
    assert_eq!((&params["executions"], &params["provider_job_id"]), (&json!(1), &json!(id)));
    assert_eq!(params["exception_executions"], json!({"[Boom]": 1}));
    assert_eq!(execution["serialized_params"]["executions"], 0);
    assert_ne!(execution["finished_at"], json!(null));

    let notice: Value = serde_json::from_str(listener.recv().await.unwrap().payload()).unwrap();
    let at = notice["scheduled_at"].as_str().unwrap();
    assert!(job["scheduled_at"].as_str().unwrap().starts_with(at.trim_end_matches('Z')), "{at}");
    assert!(rails.session(Advisory).await.claim().await.unwrap().is_none(), "not due yet");
    drop(listener);
    rails.close().await;
}

#[tokio::test]
async fn a_vanished_run_is_recorded_by_the_next_and_forgotten_by_its_success() {
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let mut killed = rails.session(Advisory).await;
    let job = killed.claim().await.unwrap().unwrap();
    let begun = killed.start(job).await.unwrap().started_at;
    drop(killed);

    let mut next = rails.session(Advisory).await;
    let job = goodjob_testkit::eventually("the lock of the dead", crate::PATIENCE, async || {
        next.claim().await.unwrap()
    })
    .await;
    let run = next.start(job).await.unwrap();
    let text = format!(
        "GoodJob::InterruptedError: Interrupted after starting perform at '{}'",
        begun.format("%Y-%m-%d %H:%M:%S UTC")
    );
    for row in [rails.job(id).await, rails.execution(id).await] {
        assert_eq!((&row["error"], &row["error_event"]), (&json!(text), &json!(0)));
    }
    next.finish(run, &Performed::Done).await.unwrap();
    next.release(id, false).await.unwrap();
    let job = rails.job(id).await;
    assert_eq!((&job["error"], &job["error_event"]), (&json!(null), &json!(null)));
    assert_eq!(job["executions_count"], 2);
    rails.close().await;
}

#[tokio::test]
async fn an_exception_that_is_not_handled_leaves_the_run_open_and_frees_an_owned_row() {
    for strategy in [Advisory, SkipLocked, Hybrid] {
        let rails = Rails::new().await;
        let id = rails.enqueue().await;
        run(&mut rails.session(strategy).await, Performed::Abandon).await;
        let job = rails.job(id).await;
        assert_ne!(job["performed_at"], json!(null));
        assert_eq!(job["locked_by_id"].is_null(), strategy != Advisory, "{strategy:?}");
        assert_eq!(rails.execution(id).await["finished_at"], json!(null));
        // Its lock is free.
        assert!(rails.session(Advisory).await.claim().await.unwrap().is_some(), "{strategy:?}");
        rails.close().await;
    }
}

#[tokio::test]
async fn an_unknown_class_is_finished_with_a_name_error() {
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let options = GemOptions { classes: Some(vec!["OtherJob".into()]), ..GemOptions::default() };
    run(&mut rails.session_with(options).await, Performed::Done).await;
    let job = rails.job(id).await;
    assert_eq!(job["error"], "NameError: uninitialized constant WorkJob");
    assert_ne!(job["finished_at"], json!(null));
    rails.close().await;
}

#[tokio::test]
async fn what_is_not_kept_is_deleted_and_what_raised_may_be_claimable_again() {
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let options = GemOptions {
        preserve_job_records: false,
        retry_on_unhandled_error: true,
        ..GemOptions::default()
    };
    let mut session = rails.session_with(options).await;
    run(&mut session, Performed::Raise(boom())).await;
    let job = rails.job(id).await;
    assert_eq!((&job["performed_at"], &job["finished_at"]), (&json!(null), &json!(null)));
    assert_eq!((&job["error_event"], &job["locked_by_id"]), (&json!(1), &json!(null)));

    run(&mut session, Performed::Done).await;
    assert_eq!(rails.row("SELECT to_jsonb(j) FROM good_jobs j WHERE id = $1", id).await, None);
    let executions = "SELECT to_jsonb(x) FROM good_job_executions x WHERE active_job_id = $1";
    assert_eq!(rails.row(executions, id).await, None);
    rails.close().await;
}

/// The attributes in memory are what a run compares with (wire contract 4.4).
#[tokio::test]
async fn a_success_keeps_the_error_of_a_discard_meanwhile() {
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let mut session = rails.session(Advisory).await;
    let job = session.claim().await.unwrap().unwrap();
    let run = session.start(job).await.unwrap();
    sqlx::query("UPDATE good_jobs SET finished_at = now(), error = 'D: by hand', error_event = 5")
        .execute(&rails.pool)
        .await
        .unwrap();
    session.finish(run, &Performed::Done).await.unwrap();
    session.release(id, false).await.unwrap();
    assert_eq!(rails.job(id).await["error"], "D: by hand");
    rails.close().await;
}

/// H5: Rails connects again without a word, and what the old connection locked is free.
#[tokio::test]
async fn a_run_outlives_its_connection_and_loses_its_lock() {
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let mut session = rails.session(Advisory).await;
    let job = session.claim().await.unwrap().unwrap();
    let run = session.start(job).await.unwrap();
    let name = GemSession::application_name(session.process());
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = $1",
    )
    .bind(name)
    .fetch_one(&rails.pool)
    .await
    .unwrap();
    assert_eq!(ended, 1);
    let mut other = rails.session(Advisory).await;
    assert!(other.claim().await.unwrap().is_some(), "nobody holds it");
    session.finish(run, &Performed::Done).await.unwrap();
    assert_ne!(rails.job(id).await["finished_at"], json!(null));
    rails.close().await;
}
