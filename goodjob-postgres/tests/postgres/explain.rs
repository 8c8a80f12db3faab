//! Why a job is not running: one test for each reason, and what a queue string comes to.

use std::time::Duration;

use goodjob_core::{Inspect, JobId, JobState, Pools, ProcessId, Timestamp};
use goodjob_postgres::jobs::{Explanation, LockKind, PauseKind, Reason, Why};
use goodjob_postgres::roster::Pulse;
use goodjob_postgres::{PgStore, advisory_key};
use goodjob_testkit::{Database, Harness, Schema};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::stage::{Nap, Stage};

const LIMIT: &str = "GoodJob::ActiveJobExtensions::Concurrency::ConcurrencyExceededError";
const THROTTLE: &str = "GoodJob::ActiveJobExtensions::Concurrency::ThrottleExceededError";

/// Tables with rows as processes leave them, and a session that holds locks.
struct Scene {
    store: PgStore,
    pool: PgPool,
    holder: PgConnection,
    // Dropped last.
    _database: Database,
}

impl Scene {
    async fn new() -> Self {
        let database = crate::database().await;
        let holder = PgConnection::connect(&database.url()).await.unwrap();
        let (store, pool) = (database.store().await, database.pool().await);
        Self { store, pool, holder, _database: database }
    }

    async fn run(&self, statement: String) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.pool).await.unwrap();
    }

    /// A due job of the class `PlantJob` in the queue `plants`, with `change` to its row.
    async fn plant(&self, change: &str) -> JobId {
        let id = JobId::generate();
        self.run(format!(
            "INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params,
               scheduled_at, created_at, updated_at)
             VALUES ('{id}', '{id}', 'PlantJob', 'plants', 0, '{{\"executions\": 0, \"arguments\": []}}',
               now(), now(), now());
             UPDATE good_jobs SET {change} WHERE id = '{id}'"
        ))
        .await;
        id
    }

    /// A process that takes these queues, and beat so many seconds ago. Without classes it is Ruby's.
    async fn process(&self, queues: &str, classes: Option<&[&str]>, beat: u32) -> ProcessId {
        let id = ProcessId::generate();
        let mut state = json!({
            "hostname": "h1", "pid": 42, "memory": 1,
            "schedulers": [{"queues": queues, "max_threads": 2, "active_threads": 2}],
        });
        if let Some(classes) = classes {
            state["runtime"] = json!("goodjob 0.1.0");
            state["job_classes"] = json!(classes);
            state["host_identity"] =
                json!({"hostname": "h1", "pid": 42, "scope": "elsewhere", "started": 1});
        }
        self.run(format!(
            "INSERT INTO good_job_processes (id, created_at, updated_at, state)
             VALUES ('{id}', now(), now() - interval '{beat} s', '{state}')"
        ))
        .await;
        id
    }

    /// A live goodjob process that knows `PlantJob`.
    async fn worker(&mut self, queues: &str) -> ProcessId {
        let id = self.process(queues, Some(&["PlantJob"]), 1).await;
        self.lock(&format!("good_job_processes-{id}")).await;
        id
    }

    async fn lock(&mut self, name: &str) {
        let query = sqlx::query("SELECT pg_advisory_lock($1)").bind(advisory_key(name));
        query.execute(&mut self.holder).await.unwrap();
    }

    async fn explain(&self, id: JobId) -> Explanation {
        self.store.explain(id).await.unwrap().unwrap()
    }

    async fn first(&self, id: JobId) -> Reason {
        self.explain(id).await.reasons.remove(0)
    }

    async fn codes(&self, id: JobId) -> Vec<String> {
        let json = serde_json::to_value(self.explain(id).await).unwrap();
        let reasons = json["reasons"].as_array().unwrap().iter();
        reasons.map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
    }

    async fn close(self) {
        self.holder.close().await.unwrap();
        self.store.close().await;
        self.pool.close().await;
    }
}

fn seconds_from(at: Option<Timestamp>, explanation: &Explanation) -> f64 {
    (at.unwrap() - explanation.now).as_seconds_f64()
}

#[tokio::test]
async fn a_finished_job_is_over() {
    let scene = Scene::new().await;
    let done = scene.plant("performed_at = now(), finished_at = now()").await;
    let failed = scene.plant("finished_at = now(), error = 'E: no paper', error_event = 1").await;
    let explanation = scene.explain(done).await;
    assert_eq!((explanation.id, explanation.state), (done, JobState::Succeeded));
    assert_eq!(explanation.reasons.len(), 1);
    let json = serde_json::to_value(scene.explain(failed).await).unwrap();
    assert_eq!(json["state"], "discarded");
    assert_eq!(json["reasons"][0]["code"], "finished");
    assert_eq!(json["reasons"][0]["earliest_start"], Value::Null);
    assert_eq!(json["reasons"][0]["evidence"]["outcome"], "discarded");
    assert_eq!(json["reasons"][0]["evidence"]["error"], "E: no paper");
    assert_eq!(scene.store.explain(JobId::generate()).await.unwrap(), None);
    scene.close().await;
}

#[tokio::test]
async fn a_future_job_waits_for_its_time() {
    let mut scene = Scene::new().await;
    scene.worker("*").await;
    let later = scene.plant("scheduled_at = now() + interval '1 hour'").await;
    let explanation = scene.explain(later).await;
    let due = scene.store.job(later).await.unwrap().unwrap().scheduled_at;
    assert_eq!(
        explanation.reasons,
        [Reason { why: Why::NotDue { scheduled_at: due }, earliest_start: due }]
    );
    let never = scene.plant("scheduled_at = NULL").await;
    let why = Why::NotDue { scheduled_at: None };
    assert_eq!(scene.first(never).await, Reason { why, earliest_start: None });
    scene.close().await;
}

#[tokio::test]
async fn a_failed_job_waits_for_its_retry_with_its_error() {
    let mut scene = Scene::new().await;
    scene.worker("*").await;
    let change =
        "scheduled_at = now() + interval '1 minute', error = 'E: no paper', error_event = 3,
                  executions_count = 2";
    let retried = scene.plant(change).await;
    let explanation = scene.explain(retried).await;
    let [Reason { why: Why::WaitingForRetry { error, attempts, .. }, earliest_start }] =
        explanation.reasons.as_slice()
    else {
        panic!("{explanation:?}")
    };
    assert_eq!((error.as_str(), *attempts), ("E: no paper", 2));
    assert!((50.0..=60.0).contains(&seconds_from(*earliest_start, &explanation)));
    scene.run(format!("UPDATE good_jobs SET scheduled_at = now() WHERE id = '{retried}'")).await;
    assert_eq!(scene.codes(retried).await, ["behind"]);
    scene.close().await;
}

#[tokio::test]
async fn a_pause_is_told_by_queue_class_and_label() {
    let mut scene = Scene::new().await;
    scene.worker("*").await;
    let id = scene.plant("labels = '{big,slow}'").await;
    for (pauses, by, name) in [
        (json!({"queues": ["plants", "x"]}), PauseKind::Queue, "plants"),
        (json!({"job_classes": ["PlantJob"]}), PauseKind::Class, "PlantJob"),
        (json!({"labels": ["slow"]}), PauseKind::Label, "slow"),
    ] {
        scene
            .run(format!(
                "DELETE FROM good_job_settings; INSERT INTO good_job_settings (created_at, updated_at, key, value)
                 VALUES (now(), now(), 'pauses', '{pauses}')"
            ))
            .await;
        let explanation = scene.explain(id).await;
        let why = Why::Paused { by, name: name.to_owned() };
        assert_eq!(explanation.reasons, [Reason { why, earliest_start: None }]);
    }
    scene.close().await;
}

#[tokio::test]
async fn a_queue_that_no_live_process_takes_is_told_with_what_they_take() {
    let mut scene = Scene::new().await;
    let id = scene.plant("priority = 0").await;
    let nobody = Why::QueueNotServed { queue: Some("plants".to_owned()), processes: vec![] };
    assert_eq!(scene.first(id).await, Reason { why: nobody, earliest_start: None });
    let alive = scene.worker("-plants").await;
    let dead = scene.process("plants", Some(&["PlantJob"]), 20).await;
    let explanation = scene.explain(id).await;
    let [Reason { why: Why::QueueNotServed { processes, .. }, .. }] =
        explanation.reasons.as_slice()
    else {
        panic!("{explanation:?}")
    };
    let seen: Vec<_> = processes
        .iter()
        .map(|process| (process.id, process.pulse, process.pools[0].queues.as_str()))
        .collect();
    assert_eq!(seen, [(alive, Pulse::Alive, "-plants"), (dead, Pulse::Dead, "plants")]);
    scene.close().await;
}

#[tokio::test]
async fn a_class_that_no_live_process_of_its_queue_knows_is_told() {
    let mut scene = Scene::new().await;
    let elsewhere = scene.worker("animals").await;
    let serving = scene.process("plants", Some(&["TreeJob"]), 1).await;
    let id = scene.plant("priority = 0").await;
    let explanation = scene.explain(id).await;
    let [Reason { why: Why::ClassUnknown { class, serving: seen, knowing, .. }, .. }] =
        explanation.reasons.as_slice()
    else {
        panic!("{explanation:?}")
    };
    assert_eq!((class.as_str(), seen[0].id, seen.len()), ("PlantJob", serving, 1));
    assert_eq!((knowing[0].id, knowing.len()), (elsewhere, 1));
    scene.close().await;
}

#[tokio::test]
async fn of_a_ruby_process_it_is_not_said_that_it_does_not_know_a_class() {
    let scene = Scene::new().await;
    scene.process("plants", Some(&["TreeJob"]), 1).await;
    let ruby = scene.process("*", None, 1).await;
    let id = scene.plant("priority = 0").await;
    assert_eq!(scene.codes(id).await, ["class_not_told", "behind"]);
    let Why::ClassNotTold { silent, .. } = scene.first(id).await.why else { panic!() };
    assert_eq!((silent[0].id, silent.len()), (ruby, 1));
    scene.close().await;
}

#[tokio::test]
async fn a_limit_is_told_with_the_jobs_that_hold_it() {
    let mut scene = Scene::new().await;
    let worker = scene.worker("*").await;
    let running = |key: &str| {
        format!(
            "concurrency_key = '{key}', performed_at = now(), locked_by_id = '{worker}', lock_type = 2"
        )
    };
    let holder = scene.plant(&running("one")).await;
    scene.plant(&running("two")).await;
    let change = format!(
        "concurrency_key = 'one', error = '{LIMIT}: {LIMIT}', error_event = 3, executions_count = 1,
         scheduled_at = now() + interval '3 s'"
    );
    let blocked = scene.plant(&change).await;
    let explanation = scene.explain(blocked).await;
    let [Reason { why: Why::LimitHeld(limit), earliest_start }] = explanation.reasons.as_slice()
    else {
        panic!("{explanation:?}")
    };
    assert_eq!(limit.others.iter().map(|other| other.id).collect::<Vec<_>>(), [holder]);
    assert_eq!(limit.others[0].process, Some(worker));
    assert_eq!((limit.key.as_deref(), limit.error.is_some()), (Some("one"), true));
    assert!(seconds_from(*earliest_start, &explanation) <= 3.0);

    // No rule has turned this one away yet, so that it is only said what may be.
    let fresh = scene.plant("concurrency_key = 'one'").await;
    assert_eq!(scene.codes(fresh).await, ["limit_held", "behind"]);
    let Why::LimitHeld(limit) = scene.first(fresh).await.why else { panic!() };
    assert_eq!((limit.error.as_deref(), limit.others[0].id), (None, holder));
    let free = scene.plant("concurrency_key = 'free'").await;
    assert_eq!(scene.codes(free).await, ["behind"]);
    scene.close().await;
}

#[tokio::test]
async fn a_throttle_is_told_with_the_last_starts_and_the_next_try() {
    let mut scene = Scene::new().await;
    scene.worker("*").await;
    let started = scene.plant("concurrency_key = 'one', finished_at = now()").await;
    let turned_away = scene.plant("concurrency_key = 'one', finished_at = now()").await;
    for (job, error) in [(started, "NULL"), (turned_away, &*format!("'{THROTTLE}: {THROTTLE}'"))] {
        scene
            .run(format!(
                "INSERT INTO good_job_executions (active_job_id, job_class, created_at, updated_at, error)
                 VALUES ('{job}', 'PlantJob', now() - interval '5 s', now(), {error})"
            ))
            .await;
    }
    let change = format!(
        "concurrency_key = 'one', error = '{THROTTLE}: {THROTTLE}', error_event = 3, executions_count = 1,
         scheduled_at = now() + interval '1 minute'"
    );
    let blocked = scene.plant(&change).await;
    let explanation = scene.explain(blocked).await;
    let [Reason { why: Why::Throttled(throttle), earliest_start }] = explanation.reasons.as_slice()
    else {
        panic!("{explanation:?}")
    };
    assert_eq!(throttle.others.iter().map(|other| other.id).collect::<Vec<_>>(), [started]);
    assert!((5.0..10.0).contains(&throttle.latest_seconds_ago.unwrap()), "{throttle:?}");
    assert!((50.0..=60.0).contains(&seconds_from(*earliest_start, &explanation)));
    scene.close().await;
}

#[tokio::test]
async fn whoever_runs_it_is_alive_frozen_unconfirmed_or_dead_by_the_evidence() {
    let mut scene = Scene::new().await;
    let classes: Option<&[&str]> = Some(&["PlantJob"]);
    // Somebody who would free it.
    scene.worker("other").await;
    for (classes, beat, process_lock, job_lock, lock_type, expected, within) in [
        (classes, 3, true, true, "2", Pulse::Alive, None),
        // Its notify session is gone, the lock session is not.
        (classes, 3, false, true, "2", Pulse::Alive, None),
        (classes, 90, true, true, "2", Pulse::Frozen, None),
        (classes, 900, false, true, "2", Pulse::Frozen, None),
        (classes, 3, false, false, "2", Pulse::Unconfirmed, Some(7.0)),
        (classes, 15, false, false, "2", Pulse::Dead, Some(0.0)),
        (None, 3, false, true, "0", Pulse::Alive, None),
        (None, 3, false, false, "1", Pulse::Alive, None),
        (None, 90, false, false, "1", Pulse::Frozen, None),
        (None, 3, false, false, "0", Pulse::Unconfirmed, Some(297.0)),
        (None, 90, false, false, "0", Pulse::Dead, Some(210.0)),
        (None, 400, false, false, "1", Pulse::Dead, Some(0.0)),
    ] {
        let owner = scene.process("*", classes, beat).await;
        if process_lock {
            scene.lock(&format!("good_job_processes-{owner}")).await;
        }
        let change = format!(
            "locked_by_id = '{owner}', locked_at = now(), performed_at = now(), lock_type = {lock_type}"
        );
        let id = scene.plant(&change).await;
        if job_lock {
            scene.lock(&format!("good_jobs-{id}")).await;
        }
        let explanation = scene.explain(id).await;
        let case = format!("{classes:?} {beat} {process_lock} {job_lock} {lock_type}");
        let Reason { why: Why::Running { pulse, process, sessions, .. }, earliest_start } =
            &explanation.reasons[0]
        else {
            panic!("{case}: {explanation:?}")
        };
        assert_eq!((*pulse, sessions.len()), (expected, usize::from(job_lock)), "{case}");
        assert_eq!(process.as_ref().map(|process| process.id), Some(owner));
        match within {
            None => assert_eq!(*earliest_start, None, "{case}"),
            Some(within) => {
                let wait = seconds_from(*earliest_start, &explanation);
                assert!((wait - within).abs() < 2.0, "{case}: {wait}");
            }
        }
    }
    scene.close().await;
}

#[tokio::test]
async fn an_owner_without_a_row_is_dead_unless_a_lock_speaks_for_it() {
    let mut scene = Scene::new().await;
    scene.worker("*").await;
    let owner = ProcessId::generate();
    let change = format!(
        "locked_by_id = '{owner}', locked_at = now() - interval '5 s', performed_at = now(), lock_type = 2"
    );
    let id = scene.plant(&change).await;
    let explanation = scene.explain(id).await;
    let Reason { why: Why::Running { pulse, process: None, .. }, earliest_start } =
        &explanation.reasons[0]
    else {
        panic!("{explanation:?}")
    };
    assert_eq!(*pulse, Pulse::Dead);
    assert!((seconds_from(*earliest_start, &explanation) - 10.0).abs() < 2.0);
    scene.lock(&format!("good_jobs-{id}")).await;
    let Why::Running { pulse, .. } = scene.first(id).await.why else { panic!() };
    assert_eq!(pulse, Pulse::Frozen);
    scene.close().await;
}

#[tokio::test]
async fn a_job_that_a_real_worker_runs_is_running() {
    let database = crate::database().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start(&database, stage.naps()).await;
    let id = worker.enqueue(Nap { millis: 5_000 }).await;
    stage.start().await;
    let explanation = worker.store().explain(id).await.unwrap().unwrap();
    let [Reason { why: Why::Running { process, pulse, sessions, .. }, earliest_start: None }] =
        explanation.reasons.as_slice()
    else {
        panic!("{explanation:?}")
    };
    assert_eq!((*pulse, sessions.len()), (Pulse::Alive, 1));
    let process = process.as_ref().unwrap();
    assert_eq!(process.pools[0].queues, "*");
    assert!(process.runtime.as_ref().unwrap().starts_with("goodjob "));
    assert_eq!(process.classes.as_deref(), Some(["NapJob".to_owned()].as_slice()));
    worker.finished(id).await;
    worker.stop().await;
    stage.close().await;
}

#[tokio::test]
async fn a_session_that_is_no_process_and_has_the_job_is_told() {
    let mut scene = Scene::new().await;
    scene.worker("*").await;
    let locked = scene.plant("priority = 0").await;
    scene.lock(&format!("good_jobs-{locked}")).await;
    let Why::Locked { by, sessions } = scene.first(locked).await.why else { panic!() };
    assert_eq!((by, sessions.len()), (LockKind::Advisory, 1));

    let held = scene.plant("priority = 0").await;
    assert_eq!(scene.codes(held).await, ["behind"]);
    let mut console = scene.pool.begin().await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *console).await.unwrap();
    sqlx::query("SELECT FROM good_jobs WHERE id = $1 FOR UPDATE")
        .bind(held.as_uuid())
        .execute(&mut *console)
        .await
        .unwrap();
    let Why::Locked { by, sessions } = scene.first(held).await.why else { panic!() };
    assert_eq!((by, sessions[0].pid, sessions.len()), (LockKind::Row, Some(pid), 1));
    console.rollback().await.unwrap();
    assert_eq!(scene.codes(held).await, ["behind"], "an old xmax is no lock");
    scene.close().await;
}

/// The place in the line and its rate.
async fn line(scene: &Scene, id: JobId) -> (i64, bool, Option<i64>) {
    let explanation = scene.explain(id).await;
    let [Reason { why: Why::Behind(line), .. }] = explanation.reasons.as_slice() else {
        panic!("{explanation:?}")
    };
    assert_eq!((line.slots, line.busy), (2, Some(2)));
    (line.jobs, line.more, line.rate.map(|rate| rate.finished))
}

#[tokio::test]
async fn a_due_job_is_behind_those_that_its_pool_takes_first() {
    let mut scene = Scene::new().await;
    let ahead = "scheduled_at = now() - interval '1 minute'";
    let id = scene.plant("priority = 5").await;
    for (count, change) in [
        (3, format!("priority = 5, {ahead}")),
        (2, "priority = -1".to_owned()),
        (4, format!("queue_name = 'trees', priority = 1, {ahead}")),
        (5, format!("queue_name = NULL, priority = 1, {ahead}")),
        // Not before it: later, less urgent, not due, owned, of an unknown class.
        (1, "priority = NULL".to_owned()),
        (1, "priority = 6".to_owned()),
        (1, "priority = 5, scheduled_at = clock_timestamp()".to_owned()),
        (1, "priority = 1, scheduled_at = now() + interval '1 hour'".to_owned()),
        (1, format!("priority = 1, locked_by_id = gen_random_uuid(), {ahead}")),
        (1, format!("priority = 1, job_class = 'StoneJob', {ahead}")),
    ] {
        for _ in 0..count {
            scene.plant(&change).await;
        }
    }
    for (queues, jobs) in [
        ("*", 14),
        ("plants", 5),
        ("-trees", 10),
        ("plants,trees", 9),
        ("+plants,trees", 5),
        ("+trees,plants", 9),
    ] {
        scene.run("DELETE FROM good_job_processes".to_owned()).await;
        scene.worker(queues).await;
        assert_eq!(line(&scene, id).await, (jobs, false, None), "{queues}");
    }
    let last = scene.plant("priority = NULL").await;
    scene.run("DELETE FROM good_job_processes".to_owned()).await;
    scene.worker("plants").await;
    assert_eq!(line(&scene, last).await.0, 9, "a job without a priority comes last");
    scene.close().await;
}

#[tokio::test]
async fn a_long_line_is_not_counted_to_its_end_and_moves_at_the_measured_rate() {
    let mut scene = Scene::new().await;
    scene.worker("plants").await;
    scene
        .run(
            "INSERT INTO good_jobs (active_job_id, job_class, queue_name, priority, serialized_params,
                                    created_at, updated_at, scheduled_at, finished_at)
             SELECT gen_random_uuid(), 'PlantJob', 'plants', 0, '{}', now(), now(), now() - interval '1 hour',
                    CASE WHEN n <= 600 THEN now() - interval '10 s' END
             FROM generate_series(1, 12600) n"
                .to_owned(),
        )
        .await;
    let id = scene.plant("priority = 0").await;
    let explanation = scene.explain(id).await;
    assert_eq!(line(&scene, id).await, (10_000, true, Some(600)));
    // 600 in five minutes are 2 a second.
    let wait = seconds_from(explanation.reasons[0].earliest_start, &explanation);
    assert!((wait - 5_000.5).abs() < 1.0, "{wait}");
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["reasons"][0]["code"], "behind");
    assert_eq!(json["reasons"][0]["evidence"]["rate"]["within_seconds"], 300.0);
    scene.run("DELETE FROM good_jobs WHERE finished_at IS NOT NULL".to_owned()).await;
    assert_eq!(scene.first(id).await.earliest_start, None, "the rate is unknown");
    scene.close().await;
}

#[tokio::test]
async fn reasons_that_hold_at_once_are_told_in_order() {
    let scene = Scene::new().await;
    scene
        .run(
            "INSERT INTO good_job_settings (created_at, updated_at, key, value)
             VALUES (now(), now(), 'pauses', '{\"queues\": [\"plants\"]}')"
                .to_owned(),
        )
        .await;
    let id = scene.plant("scheduled_at = now() + interval '1 hour'").await;
    assert_eq!(scene.codes(id).await, ["not_due", "paused", "queue_not_served"]);
    scene.close().await;
}

#[tokio::test]
async fn an_explanation_is_quick_on_a_long_table_and_leaves_nothing_behind() {
    let mut scene = Scene::new().await;
    scene.worker("*").await;
    scene
        .run(
            "INSERT INTO good_jobs (active_job_id, job_class, queue_name, priority, serialized_params,
                                    created_at, updated_at, scheduled_at, finished_at)
             SELECT gen_random_uuid(), 'PlantJob', 'q' || n % 50, n % 5, '{}', now(), now(),
                    now() + (n % 2) * interval '1 day', CASE WHEN n % 4 < 2 THEN now() END
             FROM generate_series(1, 100000) n"
                .to_owned(),
        )
        .await;
    let id = scene.plant("priority = 9").await;
    let begun = std::time::Instant::now();
    let Why::Behind(line) = scene.first(id).await.why else { panic!() };
    let took = begun.elapsed();
    println!("an explanation over 100,000 jobs took {took:?}");
    // Half of the waiting ones are future: all 25,000 others are before it.
    assert!(line.more && line.jobs > 1_000, "{line:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    scene.close().await;
}

#[tokio::test]
async fn a_queue_string_is_held_against_the_queues_that_there_are() {
    let mut scene = Scene::new().await;
    let worker = scene.worker("plants,trees").await;
    scene.plant("scheduled_at = now() + interval '1 hour'").await;
    scene.plant("priority = 0").await;
    scene.plant("queue_name = NULL").await;
    let owned = format!(
        "queue_name = 'elephants', locked_by_id = '{worker}', performed_at = now() - interval '90 s'"
    );
    scene.plant(&owned).await;
    for (queue, seconds) in [("mice", 0.01), ("plants", 0.02)] {
        let id = scene.plant(&format!("queue_name = '{queue}', finished_at = now()")).await;
        scene
            .run(format!(
                "INSERT INTO good_job_executions (active_job_id, created_at, updated_at, finished_at, duration)
                 VALUES ('{id}', now(), now(), now(), interval '{seconds} s')"
            ))
            .await;
    }
    let plan = async |string: &str| {
        let pools: Pools = string.parse().unwrap();
        let pools = pools.with_default(std::num::NonZeroUsize::new(5).unwrap());
        scene.store.explain_queues(&pools).await.unwrap()
    };
    let name = |queue: &str| Some(queue.to_owned());
    let all = plan("*:2;cats:1").await;
    let seen: Vec<_> = all.queues.iter().map(|seen| (seen.queue.clone(), seen.waiting)).collect();
    assert_eq!(seen, [(name("elephants"), 0), (name("plants"), 2), (None, 1), (name("mice"), 0)]);
    let plants = &all.queues[1];
    assert_eq!((plants.due, plants.running, plants.pools.as_slice()), (1, 0, [0].as_slice()));
    assert_eq!((plants.processes.as_slice(), all.queues[0].running), ([worker].as_slice(), 1));
    assert!((plants.run_times.unwrap().median_seconds - 0.02).abs() < 1e-9);
    assert_eq!((all.unseen.as_slice(), all.untaken.len()), (["cats".to_owned()].as_slice(), 0));
    // An elephant has run for 90 s where mice and plants are taken.
    let slow: Vec<_> = all.only_slow.iter().map(|slow| slow.queue.clone()).collect();
    assert_eq!(slow, [name("plants"), name("mice")]);
    assert!(all.only_slow[0].because[0].seconds >= 90.0, "{:?}", all.only_slow);
    assert_eq!((all.connections.needed, all.connections.needed_by_ruby), (8, 5));
    assert!(all.connections.free > 0);

    let apart = plan("mice:2;elephants").await;
    assert_eq!(apart.untaken, [name("plants"), None]);
    assert!(apart.only_slow.is_empty());
    assert_eq!(apart.pools[1].takes, [name("elephants")]);
    scene.close().await;
}

#[tokio::test]
async fn tables_under_other_names_and_in_the_gems_order_are_explained_too() {
    let database =
        Database::with_schema(Schema::GEM.timestamptz().prefixed("acme_").in_schema("jobs")).await;
    let mut options = database.options();
    options.order = goodjob_postgres::DequeueOrder::CreatedAt;
    let store = PgStore::connect(options).await.unwrap();
    let adapter = store.adapter();
    let first = adapter.enqueue(Nap { millis: 0 }).await.unwrap();
    let second = adapter.enqueue(Nap { millis: 0 }).await.unwrap();
    let state = json!({
        "runtime": "goodjob 0.1.0", "job_classes": ["NapJob"],
        "schedulers": [{"queues": "*", "max_threads": 1, "active_threads": 1}],
    });
    sqlx::query(
        "INSERT INTO jobs.acme_good_job_processes (id, created_at, updated_at, state)
         VALUES (gen_random_uuid(), now(), now(), $1)",
    )
    .bind(state)
    .execute(store.pool())
    .await
    .unwrap();
    for (id, jobs) in [(first, 0), (second, 1)] {
        let explanation = store.explain(id).await.unwrap().unwrap();
        let [Reason { why: Why::Behind(line), .. }] = explanation.reasons.as_slice() else {
            panic!("{explanation:?}")
        };
        assert_eq!(line.jobs, jobs);
    }
    store.close().await;
}
