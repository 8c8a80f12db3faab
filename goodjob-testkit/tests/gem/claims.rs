//! Who excludes whom (wire contract 3.9), and what a claim and a start write (3.7).

use goodjob_testkit::Schema;
use goodjob_testkit::gem::GemStrategy::{self, Advisory, Hybrid, SkipLocked};
use goodjob_testkit::gem::{GemOptions, Performed};
use serde_json::json;

use crate::Rails;

/// Where the runner stands when the newcomer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Claimed,
    Started,
}

async fn newcomer_gets_it(runner: GemStrategy, step: Step, newcomer: GemStrategy) -> bool {
    let rails = Rails::new().await;
    rails.enqueue().await;
    let (mut one, mut other) = (rails.session(runner).await, rails.session(newcomer).await);
    let job = one.claim().await.unwrap().unwrap();
    let id = job.id;
    let run = match step {
        Step::Claimed => None,
        Step::Started => Some(one.start(job).await.unwrap()),
    };
    let got = other.claim().await.unwrap();
    if got.is_some() {
        other.release(id, true).await.unwrap();
    }
    if let Some(run) = run {
        one.finish(run, &Performed::Done).await.unwrap();
    }
    one.release(id, step == Step::Claimed).await.unwrap();
    rails.close().await;
    got.is_some()
}

#[tokio::test]
async fn the_pairs_are_as_safe_as_the_contract_says() {
    for runner in [Advisory, SkipLocked, Hybrid] {
        for step in [Step::Claimed, Step::Started] {
            for newcomer in [Advisory, SkipLocked, Hybrid] {
                // H1 and H2.
                let hole = match (runner, newcomer) {
                    (SkipLocked, Advisory) => true,
                    (Advisory, SkipLocked) => step == Step::Claimed,
                    _ => false,
                };
                let got = newcomer_gets_it(runner, step, newcomer).await;
                assert_eq!(got, hole, "{runner:?} has {step:?} it, {newcomer:?} comes");
            }
        }
    }
}

#[tokio::test]
async fn what_is_written_at_the_claim_and_at_the_start_depends_on_the_strategy() {
    for (strategy, code) in [(Advisory, 0), (SkipLocked, 1), (Hybrid, 2)] {
        let rails = Rails::new().await;
        let id = rails.enqueue().await;
        let mut session = rails.session(strategy).await;
        let me = json!(session.process());
        let job = session.claim().await.unwrap().unwrap();
        let claimed = rails.job(id).await;
        if strategy == Advisory {
            assert_eq!(
                (&claimed["locked_by_id"], &claimed["lock_type"]),
                (&json!(null), &json!(null))
            );
        } else {
            assert_eq!((&claimed["locked_by_id"], &claimed["lock_type"]), (&me, &json!(code)));
        }
        assert_eq!(claimed["performed_at"], json!(null));

        let run = session.start(job).await.unwrap();
        let started = rails.job(id).await;
        assert_eq!((&started["locked_by_id"], &started["lock_type"]), (&me, &json!(code)));
        assert_eq!(started["executions_count"], 1);
        let execution = rails.execution(id).await;
        assert_eq!(execution["created_at"], started["performed_at"]);
        assert_eq!((&execution["process_id"], &execution["finished_at"]), (&me, &json!(null)));

        session.finish(run, &Performed::Done).await.unwrap();
        session.release(id, false).await.unwrap();
        let ended = rails.job(id).await;
        for column in ["locked_by_id", "locked_at", "lock_type", "error"] {
            assert_eq!(ended[column], json!(null), "{strategy:?} {column}");
        }
        assert_ne!(ended["finished_at"], json!(null));
        rails.close().await;
    }
}

/// H8: one candidate is taken before its lock is tried.
#[tokio::test]
async fn a_hybrid_claim_stalls_behind_a_first_job_whose_lock_another_holds() {
    let rails = Rails::new().await;
    let first = rails.enqueue().await;
    let second = rails.enqueue().await;
    let mut advisory = rails.session(Advisory).await;
    assert_eq!(advisory.claim().await.unwrap().unwrap().id, first);
    let mut hybrid = rails.session(Hybrid).await;
    assert!(hybrid.claim().await.unwrap().is_none());
    let mut other = rails.session(Advisory).await;
    assert_eq!(other.claim().await.unwrap().unwrap().id, second);
    rails.close().await;
}

/// H7: running jobs are candidates too.
#[tokio::test]
async fn an_advisory_claim_finds_nothing_behind_as_many_running_jobs_as_its_limit() {
    let rails = Rails::new().await;
    for _ in 0..3 {
        rails.enqueue().await;
    }
    let limited = GemOptions { queue_select_limit: 2, ..GemOptions::default() };
    let mut sessions = Vec::new();
    for expected in [true, true, false] {
        let mut session = rails.session_with(limited.clone()).await;
        assert_eq!(session.claim().await.unwrap().is_some(), expected);
        sessions.push(session);
    }
    drop(sessions);
    rails.close().await;
}

#[tokio::test]
async fn queues_are_looked_at_as_the_queue_string_says() {
    use goodjob_core::QueueSelector::{Except, Only};
    let rails = Rails::new().await;
    let id = rails.enqueue().await;
    let name = || vec!["default".to_owned()];
    for (queues, found) in [(Only(name()), true), (Except(name()), false)] {
        let options = GemOptions { queues, ..GemOptions::locking_by(SkipLocked) };
        let mut session = rails.session_with(options).await;
        let claimed = session.claim().await.unwrap();
        assert_eq!(claimed.is_some(), found);
        if found {
            session.release(id, true).await.unwrap();
        }
    }
    rails.close().await;
}

#[tokio::test]
async fn on_the_oldest_tables_every_strategy_is_advisory() {
    let rails = Rails::with(Schema::GEM_V4_0).await;
    for asked in [Advisory, SkipLocked, Hybrid] {
        let id = rails.enqueue().await;
        let mut session = rails.session(asked).await;
        assert_eq!(session.strategy(), Advisory);
        let job = session.claim().await.unwrap().unwrap();
        assert_eq!(rails.job(id).await["locked_by_id"], json!(null));
        session.run(job, async |_| Performed::Done).await.unwrap();
        let job = rails.job(id).await;
        assert_ne!(job["finished_at"], json!(null));
        assert_eq!((&job["executions_count"], &job["locked_by_id"]), (&json!(1), &json!(null)));
    }
    rails.close().await;
}
