//! Batches on a real server: each event is told once, whoever finishes what, and nothing is left hanging.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use goodjob_core::{
    Arguments, Batch, BatchCallback, BatchEvent, BatchId, BatchQuery, BatchRecord, BatchState,
    BatchStore, Bulk, Config, Context, Due, Inserted, Inspect, Job, JobError, JobId, JobResult,
    Limits, NewJob, Options, Perform, Preserve, Registry, RetriedBatch, Rule, Timestamp,
};
use goodjob_postgres::{EnqueueAllIn, EnqueueBatchIn, PgStore, advisory_key};
use goodjob_testkit::{Database, Harness, Schema, eventually};
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use crate::stage::{millis, secs};

const PATIENCE: Duration = secs(30);

/// What was told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(BatchId, BatchEvent)>>>);

impl Told {
    fn of(&self, batch: BatchId) -> Vec<BatchEvent> {
        let told = self.0.lock().unwrap();
        let mut events: Vec<_> =
            told.iter().filter(|(id, _)| *id == batch).map(|(_, event)| *event).collect();
        events.sort_unstable();
        events
    }

    async fn until(&self, batch: BatchId, events: &[BatchEvent]) {
        eventually(&format!("{events:?}"), PATIENCE, async || match self.of(batch) {
            told if told == events => Ok(()),
            told => Err(format!("{told:?}")),
        })
        .await;
    }
}

/// A job of a batch.
#[derive(Clone, Serialize, Deserialize)]
struct Part {
    how: String,
}

impl Job for Part {
    const CLASS: &'static str = "PartJob";
}

impl Perform<Told> for Part {
    async fn perform(self, cx: Context<Told>) -> JobResult {
        match self.how.as_str() {
            "grow" => {
                let batch = cx.batch().await?.ok_or("a job of a batch sees it")?;
                let Shared { user, .. } = batch.properties()?;
                assert_eq!((cx.batch_id(), user), (Some(batch.id()), 7));
                batch.add([part("ok")]).await?;
                Ok(())
            }
            // Until it is retried by hand.
            "discard" if cx.attempt() == 1 => Err(JobError::discard("not wanted")),
            _ => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Shared {
    user: i64,
    stage: i64,
}

/// Says what it was told; in a batch of stages the last one enqueues the batch again.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Over(BatchCallback);

impl Job for Over {
    const CLASS: &'static str = "OverJob";

    fn defaults() -> Options {
        Options::new().queue("over").priority(3)
    }
}

impl Perform<Told> for Over {
    async fn perform(self, cx: Context<Told>) -> JobResult {
        let (id, event) = (self.0.batch(), self.0.event());
        cx.state().0.lock().unwrap().push((id, event));
        let mut batch = cx.batch().await?.ok_or("a callback sees its batch")?;
        assert_eq!(batch.id(), id);
        let Shared { stage, .. } = batch.properties()?;
        if event == BatchEvent::Finish && stage > 1 {
            batch.set_property("stage", stage - 1)?;
            let part = NewJob::new(&part("ok"))?;
            batch.enqueue([part]).await?;
        }
        Ok(())
    }
}

fn part(how: &str) -> Part {
    Part { how: how.to_owned() }
}

/// A batch that wants to be told everything.
fn batch(hows: &[&str]) -> Batch {
    Batch::new()
        .properties(&Shared { user: 7, stage: 1 })
        .on_finish::<Over>()
        .on_success::<Over>()
        .on_discard::<Over>()
        .add(hows.iter().map(|how| part(how)))
}

fn quick(config: &mut Config) {
    config.batch_sweep = Some(millis(50));
}

async fn worker(database: &Database, told: &Told, change: impl FnOnce(&mut Config)) -> Harness {
    let jobs = Registry::new(told.clone()).register::<Part>().register::<Over>();
    Harness::start_with(database, jobs, |config, _| change(config)).await
}

async fn stored(store: &PgStore, id: BatchId) -> BatchRecord {
    BatchStore::batch(store, id).await.unwrap().unwrap()
}

async fn finished(store: &PgStore, id: BatchId) -> BatchRecord {
    eventually("the batch is finished", PATIENCE, async || {
        let batch = stored(store, id).await;
        match batch.is_finished() {
            true => Ok(batch),
            false => Err(format!("{batch:?}")),
        }
    })
    .await
}

fn is_now(at: Option<Timestamp>) -> bool {
    at.is_some_and(|at| (chrono::Utc::now() - at).abs() < TimeDelta::seconds(60))
}

use BatchEvent::{Discard, Finish, Success};

async fn lives(database: Database) {
    let told = Told::default();
    let worker = worker(&database, &told, |_| {}).await;
    let (adapter, store) = (worker.adapter(), worker.store());

    // Its jobs add another one, and it succeeds.
    let enqueued = batch(&["ok", "grow", "ok"]).description("all").enqueue(adapter).await.unwrap();
    assert!(enqueued.jobs.len() == 3 && enqueued.jobs.iter().all(|job| job.is_new()));
    told.until(enqueued.id, &[Success, Finish]).await;
    let over = finished(store, enqueued.id).await;
    assert_eq!((over.state(), over.is_succeeded()), (BatchState::Succeeded, true));
    assert!(over.discarded_at.is_none());
    let times = [Some(over.created_at), over.enqueued_at, over.jobs_finished_at, over.finished_at];
    assert!(times.into_iter().all(is_now), "{over:?}");
    let all = BatchQuery { description: Some("AL".into()), ..BatchQuery::default() };
    let summaries = store.batches(&all).await.unwrap();
    let [summary] = summaries.as_slice() else { panic!("{summaries:?}") };
    assert_eq!((summary.jobs, summary.open_jobs, summary.callbacks), (4, 0, 2));

    // Without a job.
    let empty = batch(&[]).enqueue(adapter).await.unwrap();
    told.until(empty.id, &[Success, Finish]).await;
    finished(store, empty.id).await;
    let nobody = Batch::new().enqueue(adapter).await.unwrap();
    assert!(stored(store, nobody.id).await.is_finished());

    // One is discarded, and retried.
    let failing = batch(&["ok", "discard"]).enqueue(adapter).await.unwrap();
    told.until(failing.id, &[Discard, Finish]).await;
    let over = finished(store, failing.id).await;
    assert!(over.state() == BatchState::Discarded && is_now(over.discarded_at), "{over:?}");
    let handle = adapter.batch(failing.id).await.unwrap().unwrap();
    assert_eq!(handle.retry().await.unwrap(), RetriedBatch::Retried { jobs: 1 });
    told.until(failing.id, &[Discard, Success, Finish, Finish]).await;
    assert_eq!(finished(store, failing.id).await.state(), BatchState::Succeeded);
    assert_eq!(handle.retry().await.unwrap(), RetriedBatch::NotDiscarded);

    // Stage by stage.
    let staged = batch(&["ok"]).property("stage", 3).enqueue(adapter).await.unwrap();
    told.until(staged.id, &[Success, Success, Success, Finish, Finish, Finish]).await;
    finished(store, staged.id).await;

    // Filled slowly, and told of only when it is enqueued.
    let slow = batch(&["ok"]).save(adapter).await.unwrap();
    worker.finished(slow.jobs[0].id()).await;
    let mut handle = adapter.batch(slow.id).await.unwrap().unwrap();
    assert_eq!(handle.record().state(), BatchState::Collecting);
    handle.add([part("ok")]).await.unwrap();
    handle.set_description("slow");
    worker.capsule().drained().await;
    assert_eq!(told.of(slow.id), []);
    handle.enqueue([]).await.unwrap();
    told.until(slow.id, &[Success, Finish]).await;
    assert!(handle.reload().await.unwrap());
    assert_eq!(handle.record().spec.description.as_deref(), Some("slow"));
    worker.stop().await;
}

/// One may be there at a time.
#[derive(Clone, Serialize, Deserialize)]
struct Single;

impl Job for Single {
    const CLASS: &'static str = "SingleJob";

    fn limits(&self) -> Limits {
        Rule::by_key("single").total(1).into()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_that_no_live_process_knows_are_seen_before_they_wait() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    let open = Batch::new().on_finish::<Over>().on(BatchEvent::Discard, "NobodysJob");
    let mut later = NewJob::new(&part("ok")).unwrap();
    later.due = Due::In(secs(3600));
    open.add_new([later]).enqueue(&adapter).await.unwrap();
    assert_eq!(store.unknown_callbacks().await.unwrap(), Vec::<String>::new(), "nobody works yet");
    let worker = worker(&database, &Told::default(), |_| {}).await;
    assert_eq!(store.unknown_callbacks().await.unwrap(), ["NobodysJob"]);
    let findings = goodjob_postgres::doctor::examine(store.options()).await;
    let finding = findings.iter().find(|finding| finding.check == "callbacks").unwrap();
    assert!(finding.message.ends_with("NobodysJob") && finding.remedy.is_some(), "{finding:?}");
    worker.stop().await;
    store.close().await;
}

/// Without its end the batch would wait for a sweep.
#[tokio::test]
async fn a_batch_whose_jobs_a_limit_stopped_is_over_at_once() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    adapter.enqueue(Single).wait(secs(3600)).await.unwrap();
    let stopped =
        Batch::new().on_finish::<Over>().add([Single, Single]).enqueue(&adapter).await.unwrap();
    assert!(stopped.jobs.iter().all(|job| matches!(job, Inserted::Stopped { .. })), "{stopped:?}");
    let record = store.batch(stopped.id).await.unwrap().unwrap();
    assert!(record.jobs_finished_at.is_some() && record.finished_at.is_none(), "{record:?}");
    let partly = Batch::new().add([Single]).add([part("ok")]).enqueue(&adapter).await.unwrap();
    let record = store.batch(partly.id).await.unwrap().unwrap();
    assert_eq!(record.jobs_finished_at, None);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_lives_through_all_its_states() {
    lives(crate::database().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_lives_on_tables_that_lack_a_time() {
    lives(Database::with_schema(Schema::GEM_V4_0).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_lives_on_tables_of_another_name_and_zone() {
    let schema = Schema::GEM.timestamptz().time_zone("Asia/Tokyo").prefixed("acme_");
    lives(Database::with_schema(schema).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_end_a_thousand_jobs_and_many_small_batches_and_tell_of_each_once() {
    let database = crate::database().await;
    let told = Told::default();
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(worker(&database, &told, |_| {}).await);
    }
    let adapter = workers[0].adapter();
    let large = batch(&vec!["ok"; 1_000]).enqueue(adapter).await.unwrap();
    let pairs =
        (0..100).map(|n| batch(if n % 4 == 0 { &["ok", "discard"] } else { &["ok", "ok"] }));
    let pairs = adapter.enqueue_batches(pairs.collect::<Vec<_>>()).await.unwrap();
    told.until(large.id, &[Success, Finish]).await;
    for (n, pair) in pairs.iter().enumerate() {
        let expected = if n % 4 == 0 { [Discard, Finish] } else { [Success, Finish] };
        told.until(pair.id, &expected).await;
        finished(workers[0].store(), pair.id).await;
    }
    finished(workers[0].store(), large.id).await;
    for worker in &workers {
        worker.capsule().drained().await;
    }
    assert_eq!(told.0.lock().unwrap().len(), 2 * 101, "nothing is told twice");
    for worker in workers {
        worker.stop().await;
    }
}

/// Two workers: who finishes the other job may be first, and has to see what the first one knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discarded_job_that_is_not_kept_is_told_of() {
    let database = crate::database().await;
    let told = Told::default();
    let unkept = |config: &mut Config| {
        config.preserve = Preserve::Never;
        quick(config);
    };
    let workers = [worker(&database, &told, unkept).await, worker(&database, &told, unkept).await];
    let adapter = workers[0].adapter();
    let failing = (0..100).map(|_| batch(&["discard", "ok", "ok", "discard"]));
    let failing = adapter.enqueue_batches(failing.collect::<Vec<_>>()).await.unwrap();
    for batch in &failing {
        told.until(batch.id, &[Discard, Finish]).await;
        finished(workers[0].store(), batch.id).await;
    }
    let pool = database.pool().await;
    eventually("no row is kept", PATIENCE, async || {
        let rows = "SELECT count(*) FROM good_jobs";
        let rows: i64 = sqlx::query_scalar(rows).fetch_one(&pool).await.unwrap();
        if rows == 0 { Ok(()) } else { Err(rows) }
    })
    .await;
    for batch in failing {
        assert_eq!(told.of(batch.id), [Discard, Finish], "nothing was told later");
    }
    pool.close().await;
    for worker in workers {
        worker.stop().await;
    }
}

/// A worker that does no part itself, and sweeps.
async fn sweeper(database: &Database, told: &Told) -> Harness {
    let jobs = Registry::new(told.clone()).register::<Over>();
    Harness::start_with(database, jobs, |config, _| quick(config)).await
}

async fn execute(database: &Database, statement: &str, id: JobId) {
    let pool = database.pool().await;
    let table = database.options().tables.qualified("good_jobs");
    let statement = statement.replace("good_jobs", &table);
    let done = sqlx::query(AssertSqlSafe(statement)).bind(id.as_uuid()).execute(&pool).await;
    assert_eq!(done.unwrap().rows_affected(), 1);
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_died_before_the_continuation_leaves_no_batch_behind() {
    let database = crate::database().await;
    let told = Told::default();
    let worker = sweeper(&database, &told).await;
    for (how, expected) in [("NULL", [Success, Finish]), ("'E: x'", [Discard, Finish])] {
        let batch = batch(&["ok"]).enqueue(worker.adapter()).await.unwrap();
        // What a worker leaves that is killed between its commit and the continuation.
        let ended =
            format!("UPDATE good_jobs SET finished_at = now(), error = {how} WHERE id = $1");
        execute(&database, &ended, batch.jobs[0].id()).await;
        told.until(batch.id, &expected).await;
        finished(worker.store(), batch.id).await;
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_whose_end_was_not_told_does_not_keep_its_batch_open() {
    let database = crate::database().await;
    let told = Told::default();
    let idle = Harness::start_with(&database, Registry::default(), |config, _| quick(config)).await;
    let empty = batch(&[]).enqueue(idle.adapter()).await.unwrap();
    let (store, pool) = (idle.store(), database.pool().await);
    let ended = "UPDATE good_jobs SET finished_at = now() WHERE batch_callback_id = $1";
    let ended = sqlx::query(ended).bind(empty.id.as_uuid()).execute(&pool).await.unwrap();
    assert_eq!(ended.rows_affected(), 2);
    finished(store, empty.id).await;
    assert_eq!(told.of(empty.id), []);
    pool.close().await;
    idle.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_discards_or_deletes_is_no_job_to_wait_for() {
    let database = crate::database().await;
    let told = Told::default();
    let worker = sweeper(&database, &told).await;
    let discarded = batch(&["ok"]).enqueue(worker.adapter()).await.unwrap();
    worker.store().discard(discarded.jobs[0].id(), Some("by hand")).await.unwrap();
    told.until(discarded.id, &[Discard, Finish]).await;

    let deleted = batch(&["ok"]).enqueue(worker.adapter()).await.unwrap();
    execute(&database, "DELETE FROM good_jobs WHERE id = $1", deleted.jobs[0].id()).await;
    told.until(deleted.id, &[Success, Finish]).await;
    worker.stop().await;

    // The finisher of the last job sees what a person did before, and told nobody.
    let adapter = database.store().await;
    let both = batch(&["ok", "ok"]).enqueue(&adapter.adapter()).await.unwrap();
    adapter.discard(both.jobs[0].id(), None).await.unwrap();
    let worker = self::worker(&database, &told, |config| config.batch_sweep = None).await;
    told.until(both.id, &[Discard, Finish]).await;
    worker.stop().await;
    adapter.close().await;
}

/// The gem's key: while a Ruby process goes on with a batch, ours waits, and sees what it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_goes_on_under_the_lock_of_the_gem() {
    let database = crate::database().await;
    let told = Told::default();
    let worker = worker(&database, &told, quick).await;
    let pool = database.pool().await;
    let saved = batch(&["ok"]).save(worker.adapter()).await.unwrap();
    worker.finished(saved.jobs[0].id()).await;
    worker.capsule().drained().await;
    let mut ruby = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(advisory_key(&format!("good_job_batches-{}", saved.id)))
        .execute(&mut *ruby)
        .await
        .unwrap();
    let adapter = worker.adapter().clone();
    let enqueue = tokio::spawn(async move {
        let batch = adapter.batch(saved.id).await.unwrap().unwrap();
        batch.enqueue([]).await.unwrap();
    });
    eventually("we wait for Ruby", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        (waiting == 1).then_some(())
    })
    .await;
    assert_eq!(told.of(saved.id), []);
    ruby.commit().await.unwrap();
    enqueue.await.unwrap();
    told.until(saved.id, &[Success, Finish]).await;
    worker.stop().await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_in_the_callers_transaction_is_there_when_that_commits_and_else_not() {
    let database = Database::with_schema(Schema::GEM).await;
    let told = Told::default();
    let worker = worker(&database, &told, |_| {}).await;
    let pool = database.pool().await;
    for hows in [&[][..], &["ok"][..]] {
        let mut tx = pool.begin().await.unwrap();
        let lost = batch(hows).enqueue_in(worker.adapter(), &mut tx).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(BatchStore::batch(worker.store(), lost.id).await.unwrap(), None);

        let mut tx = pool.begin().await.unwrap();
        sqlx::query("SET LOCAL TimeZone = 'Asia/Tokyo'").execute(&mut *tx).await.unwrap();
        let kept = batch(hows).enqueue_in(worker.adapter(), &mut tx).await.unwrap();
        assert_eq!(kept.jobs.len(), hows.len());
        tx.commit().await.unwrap();
        told.until(kept.id, &[Success, Finish]).await;
        let over = finished(worker.store(), kept.id).await;
        assert!(is_now(over.enqueued_at) && is_now(over.jobs_finished_at), "{over:?}");
        assert_eq!(told.of(lost.id), []);
    }
    pool.close().await;
    worker.stop().await;
}

#[tokio::test]
async fn callbacks_go_where_the_batch_or_their_class_says_in_the_form_of_the_gem() {
    let database = crate::database().await;
    let store = database.store().await;
    let pool = database.pool().await;
    let called = async |batch: Batch| -> (String, i32, serde_json::Value) {
        let id = batch.enqueue(&store.adapter()).await.unwrap().id;
        sqlx::query_as(
            "SELECT queue_name, priority, serialized_params FROM good_jobs WHERE batch_callback_id = $1",
        )
        .bind(id.as_uuid())
        .fetch_one(&pool)
        .await
        .unwrap()
    };
    let (queue, priority, envelope) = called(Batch::new().on_finish::<Over>()).await;
    assert_eq!((queue.as_str(), priority), ("over", 3));
    assert_eq!(envelope["arguments"][1]["event"]["value"], "finish");
    let reference = envelope["arguments"][0]["_aj_globalid"].as_str().unwrap();
    assert!(reference.starts_with("gid://goodjob/GoodJob::Batch/"), "{reference}");
    let named = Batch::new().on(Success, "RubyJob").callback_queue("mail").callback_priority(-2);
    let (queue, priority, envelope) = called(named).await;
    assert_eq!((queue.as_str(), priority, &envelope["priority"]), ("mail", -2, &(-2).into()));

    let blank = Batch::new().on(Finish, " ").enqueue(&store.adapter()).await.unwrap_err();
    assert_eq!(blank.to_string(), "callback: found a blank name, expected a text");
    let taken = Batch::new().property("on_finish", 1).enqueue(&store.adapter()).await.unwrap_err();
    assert!(taken.to_string().starts_with("properties.on_finish: "), "{taken}");
    pool.close().await;
    store.close().await;
}

#[tokio::test]
async fn ten_thousand_jobs_in_one_call_have_an_answer_each() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    let jobs: Vec<NewJob> = (0..10_000).map(|_| NewJob::new(&part("ok")).unwrap()).collect();
    let bulk: Bulk = jobs.iter().cloned().collect();
    let begun = Instant::now();
    let stored = bulk.clone().enqueue(&adapter).await.unwrap();
    println!("10,000 jobs at once: {:?}", begun.elapsed());
    assert!(stored.iter().zip(&jobs).all(|(stored, job)| *stored == Inserted::New(job.id)));
    let again = bulk.enqueue(&adapter).await.unwrap();
    assert!(again.iter().zip(&jobs).all(|(one, job)| *one == Inserted::AlreadyThere(job.id)));

    let begun = Instant::now();
    let members = batch(&vec!["ok"; 10_000]).enqueue(&adapter).await.unwrap();
    println!("10,000 jobs of a batch: {:?}", begun.elapsed());
    assert_eq!(members.jobs.iter().filter(|job| job.is_new()).count(), 10_000);
    let member = store.job(members.jobs[9_999].id()).await.unwrap().unwrap();
    assert_eq!(member.ties.batch, Some(members.id));

    let pool = database.pool().await;
    let mut bulk = Bulk::new();
    for _ in 0..10_000 {
        bulk.add(part("ok")).unwrap().due = Due::In(secs(60));
    }
    bulk.push(NewJob::of_class("A", Arguments::default(), Options::new()).unwrap());
    let mut tx = pool.begin().await.unwrap();
    let begun = Instant::now();
    let stored = adapter.enqueue_all_in(&mut *tx, bulk).await.unwrap();
    println!("10,000 jobs in the caller's transaction: {:?}", begun.elapsed());
    tx.rollback().await.unwrap();
    assert_eq!(stored.iter().filter(|job| job.is_new()).count(), 10_001);
    let count = "SELECT count(*) FROM good_jobs";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(count, 20_000);
    pool.close().await;
    store.close().await;
}

/// What tells that a batch of many jobs is not over must not read them all each time.
#[tokio::test]
async fn the_end_of_a_job_of_a_large_batch_reads_few_rows() {
    let database = crate::database().await;
    let store = database.store().await;
    let batch = batch(&vec!["ok"; 5_000]).enqueue(&store.adapter()).await.unwrap();
    let pool = database.pool().await;
    sqlx::query("UPDATE good_jobs SET finished_at = now() WHERE id <> $1")
        .bind(batch.jobs[4_999].id().as_uuid())
        .execute(&pool)
        .await
        .unwrap();
    let end = goodjob_core::BatchEnd { batch: batch.id, was_callback: false, discarded: false };
    let callbacks = goodjob_core::Callbacks::new();
    store.go_on(&[end], &callbacks).await.unwrap();
    let text = goodjob_postgres::STATEMENTS.iter().find(|(name, _)| *name == "BATCHES_OPEN");
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}", text.unwrap().1);
    let plan: serde_json::Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .bind(vec![batch.id.as_uuid()])
        .bind(vec![batch.jobs[4_999].id().as_uuid()])
        .fetch_one(&pool)
        .await
        .unwrap();
    let blocks = |kind: &str| plan[0]["Plan"][kind].as_u64().unwrap();
    let pages = blocks("Shared Hit Blocks") + blocks("Shared Read Blocks");
    assert!(pages < 50, "{pages} pages: {plan:#}");
    assert!(!stored(&store, batch.id).await.are_jobs_finished());
    pool.close().await;
    store.close().await;
}

/// A finished batch costs the sweep nothing.
#[tokio::test]
async fn the_sweep_goes_by_an_index_of_open_batches() {
    let database = Database::fresh().await;
    let store = database.store().await;
    let pool = database.pool().await;
    sqlx::raw_sql(
        "INSERT INTO good_job_batches (created_at, updated_at, enqueued_at, finished_at)
         SELECT now(), now(), now(), CASE WHEN n > 5 THEN now() END FROM generate_series(1, 50000) n;
         ANALYZE good_job_batches",
    )
    .execute(&pool)
    .await
    .unwrap();
    let text = goodjob_postgres::STATEMENTS.iter().find(|(name, _)| *name == "BATCHES_LOOK");
    let explain = format!("EXPLAIN {}", text.unwrap().1.replace("$1", "NULL").replace("$2", "500"));
    let plan: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&pool).await.unwrap();
    assert!(plan.join("\n").contains("index_goodjob_open_batches"), "{plan:#?}");
    let found = store.look_at_batches(None, 3).await.unwrap();
    assert!(found.len() == 3 && found.iter().all(|batch| batch.stuck));
    assert_eq!(store.look_at_batches(Some(found[2].id), 3).await.unwrap().len(), 2);
    pool.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_page_of_batches_goes_on_after_its_last() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    let mut ids = Vec::new();
    for n in 0..5 {
        let how: &[&str] = if n == 2 { &[] } else { &["ok"] };
        ids.push(batch(how).description(format!("number {n}")).enqueue(&adapter).await.unwrap().id);
    }
    ids.reverse();
    let page = async |query: BatchQuery| -> Vec<BatchId> {
        let found = store.batches(&query).await.unwrap();
        found.into_iter().map(|found| found.batch.id).collect()
    };
    let two = BatchQuery { limit: 2, ..BatchQuery::default() };
    assert_eq!(page(two.clone()).await, ids[..2]);
    assert_eq!(page(BatchQuery { after: Some(ids[1]), ..two.clone() }).await, ids[2..4]);
    assert_eq!(page(BatchQuery { after: Some(ids[4]), ..two.clone() }).await, []);
    let state = |state| BatchQuery { state: Some(state), ..BatchQuery::default() };
    assert_eq!(page(state(BatchState::JobsFinished)).await, [ids[2]]);
    assert_eq!(page(state(BatchState::Enqueued)).await.len(), 4);
    let text = BatchQuery { description: Some("BER 4".into()), ..BatchQuery::default() };
    assert_eq!(page(text).await, [ids[0]]);
    let one = BatchQuery { id: Some(ids[3]), ..BatchQuery::default() };
    assert_eq!(page(one).await, [ids[3]]);
    store.close().await;
}
