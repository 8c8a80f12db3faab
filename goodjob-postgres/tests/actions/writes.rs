//! What each action writes, and for which states it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use goodjob_core::{
    Context, Due, ErrorEvent, Inspect, Job, JobId, JobResult, JobState, Perform, Registry,
    Timestamp,
};
use goodjob_postgres::jobs::{Acted, Action};
use goodjob_testkit::{Harness, eventually};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;

use crate::plant::{DISCARDED, EACH_STATE, changed, one, plant, row};

/// Fails until the customer has paid.
#[derive(Serialize, Deserialize)]
struct Bill {
    customer: String,
}

impl Job for Bill {
    const CLASS: &'static str = "BillJob";
}

impl Perform<Arc<AtomicBool>> for Bill {
    async fn perform(self, cx: Context<Arc<AtomicBool>>) -> JobResult {
        match cx.state().load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("not paid".into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_job_runs_again_to_success() {
    let database = crate::database().await;
    let paid = Arc::new(AtomicBool::default());
    // Without polls: only the notice can start it again.
    let jobs = Registry::new(paid.clone()).register::<Bill>();
    let worker =
        Harness::start_with(&database, jobs, |config, _| config.poll_interval = None).await;
    let id = worker.enqueue(Bill { customer: "Ada".into() }).await;
    let failed = worker.finished(id).await;
    assert_eq!(failed.state(Timestamp::MAX_UTC), JobState::Discarded);

    paid.store(true, Ordering::Relaxed);
    // The lock of an attempt is given back just after its outcome is committed.
    eventually("the end of the attempt's lock", Duration::from_secs(10), async || {
        match worker.store().retry(id).await.unwrap() {
            Acted::Done => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let done = eventually("its success", Duration::from_secs(20), async || {
        let job = worker.job(id).await;
        let succeeded = job.finished_at.is_some() && job.error.is_none();
        if succeeded { Ok(job) } else { Err(format!("{job:?}")) }
    })
    .await;
    assert_eq!((done.payload.executions(), done.executions_count), (1, 2));
    assert_eq!((done.error_event, done.created_at), (None, failed.created_at));
    let attempts = worker.attempts(id).await;
    let errors: Vec<_> = attempts.iter().map(|attempt| attempt.error.as_deref()).collect();
    assert_eq!(errors, [Some("JobError: not paid"), None]);
    worker.stop().await;
}

#[tokio::test]
async fn each_action_is_for_its_states_and_leaves_the_others_alone() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let actions = [
        Action::Retry,
        Action::Discard { reason: None },
        Action::Reschedule(Due::Now),
        Action::Delete,
    ];
    for action in actions {
        for (state, change) in EACH_STATE {
            let id = plant(&pool, change).await;
            let before = row(&pool, id).await;
            let acted = store.act(&[id], &action).await.unwrap();
            let expected = match action.states().contains(&state) {
                true => Acted::Done,
                false => Acted::WrongState,
            };
            assert_eq!(acted, [(id, expected)], "{action} of a {state} job");
            if expected == Acted::WrongState {
                assert_eq!(row(&pool, id).await, before, "{action} of a {state} job");
            }
        }
        let nobody = JobId::generate();
        assert_eq!(store.act(&[nobody], &action).await.unwrap(), [(nobody, Acted::Gone)]);
    }
    let (done, other) =
        (plant(&pool, "finished_at = now()").await, plant(&pool, "priority = 1").await);
    assert_eq!(store.force_discard(done, None).await.unwrap(), Acted::WrongState);
    assert_eq!(store.force_discard(JobId::generate(), None).await.unwrap(), Acted::Gone);
    assert_eq!(store.delete(other).await.unwrap(), Acted::WrongState);
    // Each id once, in the order asked.
    let acted = store.act(&[done, other, done], &Action::Delete).await.unwrap();
    assert_eq!(acted, [(done, Acted::Done), (other, Acted::WrongState)]);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn a_retry_writes_what_the_gem_writes_and_keeps_the_age() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let id = plant(&pool, &format!("{DISCARDED}, created_at = now() - interval '1 day'")).await;
    let before = row(&pool, id).await;
    assert_eq!(store.retry(id).await.unwrap(), Acted::Done);
    let after = row(&pool, id).await;
    assert_eq!(
        changed(&before, &after),
        [
            "error_event",
            "finished_at",
            "performed_at",
            "scheduled_at",
            "serialized_params",
            "updated_at"
        ]
    );
    assert_eq!((&after["finished_at"], &after["performed_at"]), (&Value::Null, &Value::Null));
    assert_eq!((&after["error"], &after["error_event"]), (&json!("E: x"), &json!(3)));
    let (old, new) = (&before["serialized_params"], &after["serialized_params"]);
    assert_eq!(changed(old, new), ["enqueued_at", "executions", "provider_job_id", "scheduled_at"]);
    assert_eq!((&new["executions"], &new["provider_job_id"]), (&json!(1), &json!(id)));
    let enqueued_at = new["enqueued_at"].as_str().unwrap();
    assert_eq!(enqueued_at.len(), "2026-01-01T00:00:00.000000000Z".len(), "{enqueued_at}");
    let enqueued_at: Timestamp = enqueued_at.parse().unwrap();
    let job = store.job(id).await.unwrap().unwrap();
    assert_eq!(Some(enqueued_at), job.scheduled_at);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn an_envelope_of_any_shape_can_be_retried() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    for (payload, executions) in [
        (r#"'{"executions": 4, "arguments": []}'"#, 5),
        (r#"'{"executions": "4"}'"#, 1),
        (r#"'{"executions": -3}'"#, 1),
        (r#"'{"executions": 2.5}'"#, 1),
        (r#"'{"executions": 1e400}'"#, 1),
        (r#"'{"executions": 99999999999}'"#, 1),
        (r#"'{"executions": {"a": 1}}'"#, 1),
        (r#"'{}'"#, 1),
        ("'[1, 2]'", 1),
        ("'null'", 1),
        ("NULL", 1),
    ] {
        let id = plant(&pool, &format!("{DISCARDED}, serialized_params = {payload}")).await;
        assert_eq!(store.retry(id).await.unwrap(), Acted::Done, "{payload}");
        let after = row(&pool, id).await;
        assert_eq!(after["serialized_params"]["executions"], executions, "{payload}");
    }
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn a_discarded_job_says_that_it_was_and_why() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    for (force, reason, expected) in [
        (false, None, "GoodJob::Job::DiscardJobError: Discarded through goodjob"),
        (
            false,
            Some("sent twice"),
            "GoodJob::Job::DiscardJobError: Discarded through goodjob: sent twice",
        ),
        (
            true,
            Some("hangs"),
            "GoodJob::Job::DiscardJobError: Force discarded through goodjob: hangs",
        ),
    ] {
        let id = plant(&pool, "priority = 0").await;
        let before = row(&pool, id).await;
        let acted = match force {
            true => store.force_discard(id, reason).await,
            false => store.discard(id, reason).await,
        };
        assert_eq!(acted.unwrap(), Acted::Done);
        let job = store.job(id).await.unwrap().unwrap();
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Discarded);
        assert_eq!(job.error.as_deref(), Some(expected));
        assert_eq!(job.error_event, Some(ErrorEvent::Discarded));
        let after = row(&pool, id).await;
        let columns = ["error", "error_event", "finished_at", "updated_at"];
        assert_eq!(changed(&before, &after), columns);
    }
    store.close().await;
    pool.close().await;
}

/// The process of an attempt died, and nobody is going to claim the job again and close the attempt.
#[tokio::test]
async fn a_discarded_job_leaves_no_open_attempt_unless_it_runs() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    for (force, closed) in [(false, true), (true, false)] {
        let id = plant(&pool, "performed_at = now() - interval '1 minute'").await;
        sqlx::query(
            "INSERT INTO good_job_executions (active_job_id, created_at, updated_at, scheduled_at)
             VALUES ($1, now(), now(), now())",
        )
        .bind(id.as_uuid())
        .execute(&pool)
        .await
        .unwrap();
        let acted = match force {
            true => store.force_discard(id, None).await,
            false => store.discard(id, None).await,
        };
        assert_eq!(acted.unwrap(), Acted::Done);
        let attempts = store.executions(id).await.unwrap();
        assert_eq!(attempts[0].finished_at.is_some(), closed, "{attempts:?}");
        assert_eq!(attempts[0].error_event, closed.then_some(ErrorEvent::Interrupted));
    }
    store.close().await;
    pool.close().await;
}

/// The gem's dashboard casts it on every row that waits.
#[tokio::test]
async fn a_rescheduled_job_has_a_count_that_is_one() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    for (executions, expected) in [("\"x\"", 0), ("1.5", 0), ("null", 0), ("7", 7)] {
        let change =
            format!("serialized_params = serialized_params || '{{\"executions\": {executions}}}'");
        let id = plant(&pool, &change).await;
        store.reschedule(id, Due::In(Duration::from_secs(3600))).await.unwrap();
        let job = store.job(id).await.unwrap().unwrap();
        assert_eq!(job.payload.get("executions"), Some(&json!(expected)), "{executions}");
    }
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn a_rescheduled_job_is_due_when_it_was_said() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let id = plant(&pool, "scheduled_at = now() + interval '1 day'").await;
    let due = async || store.job(id).await.unwrap().unwrap().scheduled_at.unwrap();
    let at: Timestamp = "2031-05-06T07:08:09Z".parse().unwrap();
    assert_eq!(store.reschedule(id, Due::At(at)).await.unwrap(), Acted::Done);
    assert_eq!(due().await, at);
    store.reschedule(id, Due::In(Duration::from_secs(3600))).await.unwrap();
    let hour = "SELECT scheduled_at - updated_at = interval '1 hour' FROM good_jobs";
    assert!(one::<bool>(&pool, hour).await);
    store.reschedule(id, Due::Now).await.unwrap();
    assert!(one::<bool>(&pool, "SELECT scheduled_at = updated_at FROM good_jobs").await);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn a_deleted_job_takes_its_attempts_along_and_no_others() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let gone = plant(&pool, DISCARDED).await;
    let kept = plant(&pool, DISCARDED).await;
    for id in [gone, gone, kept] {
        sqlx::query(
            "INSERT INTO good_job_executions (active_job_id, created_at, updated_at) VALUES ($1, now(), now())",
        )
        .bind(id.as_uuid())
        .execute(&pool)
        .await
        .unwrap();
    }
    assert_eq!(store.delete(gone).await.unwrap(), Acted::Done);
    assert_eq!(store.job(gone).await.unwrap(), None);
    assert_eq!(store.executions(gone).await.unwrap(), []);
    assert_eq!(store.executions(kept).await.unwrap().len(), 1);
    assert_eq!(store.delete(gone).await.unwrap(), Acted::Gone);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn workers_are_told_of_what_became_due_and_of_nothing_else() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let mut listener = PgListener::connect(&database.url()).await.unwrap();
    listener.listen("good_job").await.unwrap();
    let notice = async |listener: &mut PgListener| -> Value {
        let heard = tokio::time::timeout(Duration::from_secs(20), listener.recv()).await;
        serde_json::from_str(heard.unwrap().unwrap().payload()).unwrap()
    };
    let failed = [
        plant(&pool, DISCARDED).await,
        plant(&pool, DISCARDED).await,
        plant(&pool, &format!("{DISCARDED}, queue_name = NULL")).await,
    ];
    // Nobody has to be told of a discard or a deletion.
    let waiting = plant(&pool, "priority = 0").await;
    store.discard(waiting, None).await.unwrap();
    store.delete(waiting).await.unwrap();
    store.act(&failed, &Action::Retry).await.unwrap();
    let mut notices = [notice(&mut listener).await, notice(&mut listener).await];
    notices.sort_by_key(|notice| notice["queue_name"].is_null());
    let due = store.job(failed[0]).await.unwrap().unwrap().scheduled_at.unwrap();
    let due = due.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    assert_eq!(notices[0], json!({"queue_name": "default", "scheduled_at": due, "count": 2}));
    assert_eq!(notices[1], json!({"queue_name": null, "scheduled_at": due}));

    let at: Timestamp = "2031-05-06T07:08:09.1234Z".parse().unwrap();
    store.reschedule(failed[0], Due::At(at)).await.unwrap();
    let expected = json!({"queue_name": "default", "scheduled_at": "2031-05-06T07:08:09.124Z"});
    assert_eq!(notice(&mut listener).await, expected);
    // A name that fits into no payload is no reason to fail.
    let long = plant(&pool, &format!("{DISCARDED}, queue_name = repeat('q', 9000)")).await;
    assert_eq!(store.retry(long).await.unwrap(), Acted::Done);
    drop(listener);
    store.close().await;
    pool.close().await;
}
