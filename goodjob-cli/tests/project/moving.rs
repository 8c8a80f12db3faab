//! The scripts of `docs/moving/` on tables as Que and Delayed::Job make them: every unfinished job arrives, is
//! counted, and can be done.

use std::sync::{Arc, Mutex};

use goodjob_core::{Context, Job, JobId, JobResult, JobState, Perform, Registry, Timestamp, ruby};
use goodjob_testkit::{Database, Harness, Schema};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool, Row};

use crate::tree::read;

/// Que's own, from its migrations 1 to 5; 6 adds `kwargs`. Without what no script reads.
const QUE_JOBS: &str = "
    CREATE TABLE que_jobs (
      priority smallint NOT NULL DEFAULT 100,
      run_at timestamptz NOT NULL DEFAULT now(),
      id bigserial PRIMARY KEY,
      job_class text NOT NULL,
      error_count integer NOT NULL DEFAULT 0,
      last_error_message text,
      queue text NOT NULL DEFAULT 'default',
      last_error_backtrace text,
      finished_at timestamptz,
      expired_at timestamptz,
      args jsonb NOT NULL DEFAULT '[]',
      data jsonb NOT NULL DEFAULT '{}',
      job_schema_version integer NOT NULL DEFAULT 1
    )";

/// By the generator of delayed_job_active_record.
const DELAYED_JOBS: &str = "
    CREATE TABLE delayed_jobs (
      id bigserial PRIMARY KEY,
      priority integer NOT NULL DEFAULT 0,
      attempts integer NOT NULL DEFAULT 0,
      handler text NOT NULL,
      last_error text,
      run_at timestamp,
      locked_at timestamp,
      failed_at timestamp,
      locked_by varchar,
      queue varchar,
      created_at timestamp(6) NOT NULL DEFAULT now(),
      updated_at timestamp(6) NOT NULL DEFAULT now()
    )";

/// What the jobs were given.
type Seen = Arc<Mutex<Vec<String>>>;

fn see(cx: &Context<Seen>, what: String) -> JobResult {
    cx.state().lock().unwrap().push(what);
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Greet(i64, ruby::Keywords<Note>);

#[derive(Serialize, Deserialize)]
struct Note {
    note: String,
}

impl Job for Greet {
    const CLASS: &'static str = "GreetJob";
}

impl Perform<Seen> for Greet {
    async fn perform(self, cx: Context<Seen>) -> JobResult {
        let Self(number, ruby::Keywords(Note { note })) = self;
        see(&cx, format!("{number} {note}"))
    }
}

/// Of Active Job.
#[derive(Serialize, Deserialize)]
struct Welcome {
    user_id: i64,
}

impl Job for Welcome {
    const CLASS: &'static str = "WelcomeJob";
}

impl Perform<Seen> for Welcome {
    async fn perform(self, cx: Context<Seen>) -> JobResult {
        see(&cx, format!("welcome {}", self.user_id))
    }
}

#[derive(Serialize, Deserialize)]
struct Plain(String);

impl Job for Plain {
    const CLASS: &'static str = "PlainJob";
}

impl Perform<Seen> for Plain {
    async fn perform(self, cx: Context<Seen>) -> JobResult {
        see(&cx, format!("{}, attempt {}", self.0, cx.attempt()))
    }
}

#[derive(Serialize, Deserialize)]
struct DelayedJob {
    class: String,
    handler: String,
}

impl Job for DelayedJob {
    const CLASS: &'static str = "DelayedJob";
}

impl Perform<Seen> for DelayedJob {
    async fn perform(self, cx: Context<Seen>) -> JobResult {
        see(&cx, format!("{}: {}", self.class, self.handler.lines().last().unwrap_or_default()))
    }
}

/// Runs a script; answers how many were unfinished, moved and left.
async fn run(pool: &PgPool, script: &str) -> Result<[i64; 3], sqlx::Error> {
    let script = read(script).text;
    let mut connection = pool.acquire().await?;
    let rows = sqlx::raw_sql(AssertSqlSafe(script)).fetch_all(&mut *connection).await;
    if rows.is_err() {
        // As a client that ends does.
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
    }
    let rows = rows?;
    let [counts] = rows.as_slice() else { panic!("{} rows, expected one of counts", rows.len()) };
    Ok([counts.get(0), counts.get(1), counts.get(2)])
}

async fn execute(pool: &PgPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}

async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// Does what is due, and tells what the jobs were given.
async fn perform(database: &Database, ids: &[JobId]) -> Vec<String> {
    let seen = Seen::default();
    let jobs = Registry::new(Arc::clone(&seen));
    let jobs = jobs.register::<Greet>().register::<Welcome>().register::<Plain>();
    let worker = Harness::start(database, jobs.register::<DelayedJob>()).await;
    for id in ids {
        let job = worker.finished(*id).await;
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded, "{job:?}");
    }
    worker.capsule().drained().await;
    worker.stop().await;
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    seen
}

async fn moved(pool: &PgPool) -> Vec<JobId> {
    let ids = sqlx::query_scalar(
        "SELECT id::text FROM good_jobs WHERE scheduled_at <= now() ORDER BY id",
    );
    let ids: Vec<String> = ids.fetch_all(pool).await.unwrap();
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

const QUE: &str = "docs/moving/que.sql";

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_jobs_of_que_are_moved_and_counted() {
    for schema in [Schema::LEAN, Schema::GEM] {
        let database = Database::with_schema(schema).await;
        let pool = database.pool().await;
        execute(&pool, QUE_JOBS).await;
        execute(&pool, "ALTER TABLE que_jobs ADD kwargs jsonb NOT NULL DEFAULT '{}'").await;
        execute(
            &pool,
            r#"INSERT INTO que_jobs
                 (id, job_class, args, kwargs, queue, priority, run_at, error_count, last_error_message,
                  finished_at, expired_at) VALUES
               (1, 'GreetJob', '[7]', '{"note": "hello"}', 'mail', 5, now() - interval '1 h', 0, NULL, NULL, NULL),
               (2, 'PlainJob', '["again"]', '{}', 'default', 100, now() - interval '1 h', 2, 'IOError: closed', NULL, NULL),
               (3, 'ActiveJob::QueueAdapters::QueAdapter::JobWrapper', '[{"job_class": "WelcomeJob",
                  "job_id": "0b7b7b64-3c3f-4b8f-9e63-0d5a1c6f2e11", "provider_job_id": null, "queue_name": "default",
                  "priority": null, "arguments": [{"user_id": 7, "_aj_ruby2_keywords": ["user_id"]}],
                  "executions": 0, "exception_executions": {}, "locale": "en", "timezone": "UTC"}]', '{}', 'default', 100,
                  now() - interval '1 h', 0, NULL, NULL, NULL),
               (4, 'PlainJob', '["later"]', '{}', 'default', 100, '2100-01-01T12:00:00+02:00', 0, NULL, NULL, NULL),
               (5, 'PlainJob', '["finished"]', '{}', 'default', 100, now(), 0, NULL, now(), NULL),
               (6, 'PlainJob', '["given up"]', '{}', 'default', 100, now(), 15, 'IOError: closed', NULL, now()),
               (8589934599, 'PlainJob', '["running"]', '{}', 'default', 100, now(), 0, NULL, NULL, NULL)"#,
        )
        .await;
        // A worker of Que does the last one; its number is one that needs both halves of a lock's key.
        let mut que = pool.acquire().await.unwrap();
        sqlx::raw_sql("SELECT pg_advisory_lock(8589934599)").execute(&mut *que).await.unwrap();

        assert_eq!(run(&pool, QUE).await.unwrap(), [5, 4, 1]);
        assert_eq!(count(&pool, "SELECT count(*) FROM que_jobs").await, 3);
        let later = "SELECT count(*) FROM good_jobs WHERE scheduled_at = '2100-01-01T10:00:00'";
        assert_eq!(count(&pool, later).await, 1);
        let failed = "SELECT count(*) FROM good_jobs WHERE error = 'IOError: closed' AND error_event = 3 AND finished_at IS NULL";
        assert_eq!(count(&pool, failed).await, 1);
        let mail = "SELECT count(*) FROM good_jobs WHERE queue_name = 'mail' AND priority = 5";
        assert_eq!(count(&pool, mail).await, 1);

        let ids = moved(&pool).await;
        assert!(ids.contains(&"0b7b7b64-3c3f-4b8f-9e63-0d5a1c6f2e11".parse().unwrap()));
        let seen = perform(&database, &ids).await;
        assert_eq!(seen, ["7 hello", "again, attempt 3", "welcome 7"]);

        // Its worker died: the job is moved the next time, and nothing after that.
        sqlx::raw_sql("SELECT pg_advisory_unlock(8589934599)").execute(&mut *que).await.unwrap();
        drop(que);
        assert_eq!(run(&pool, QUE).await.unwrap(), [1, 1, 0]);
        assert_eq!(run(&pool, QUE).await.unwrap(), [0, 0, 0]);
        let labelled = "SELECT count(*) FROM good_jobs WHERE labels @> ARRAY['moved:que']";
        assert_eq!(count(&pool, labelled).await, 5);
        pool.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn que_1_has_no_keywords_and_one_bad_row_keeps_all_where_they_are() {
    let database = Database::fresh().await;
    let pool = database.pool().await;
    execute(&pool, QUE_JOBS).await;
    execute(
        &pool,
        r#"INSERT INTO que_jobs (job_class, args) VALUES
           ('PlainJob', '["first"]'),
           ('ActiveJob::QueueAdapters::QueAdapter::JobWrapper', '[{"job_class": "WelcomeJob", "job_id": "none"}]')"#,
    )
    .await;
    run(&pool, QUE).await.unwrap_err();
    assert_eq!(count(&pool, "SELECT count(*) FROM que_jobs").await, 2);
    assert_eq!(count(&pool, "SELECT count(*) FROM good_jobs").await, 0);

    execute(&pool, "DELETE FROM que_jobs WHERE job_class <> 'PlainJob'").await;
    assert_eq!(run(&pool, QUE).await.unwrap(), [1, 1, 0]);
    assert_eq!(perform(&database, &moved(&pool).await).await, ["first, attempt 1"]);
    pool.close().await;
}

const DELAYED: &str = "docs/moving/delayed_job.sql";

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_jobs_of_delayed_job_are_moved_and_counted() {
    for schema in [Schema::LEAN, Schema::GEM] {
        let database = Database::with_schema(schema).await;
        let pool = database.pool().await;
        execute(&pool, DELAYED_JOBS).await;
        execute(
            &pool,
            r"INSERT INTO delayed_jobs (handler, queue, priority, attempts, last_error, run_at, locked_at, failed_at) VALUES
               (E'--- !ruby/object:ActiveJob::QueueAdapters::DelayedJobAdapter::JobWrapper\njob_data:\n  job_id: x\n  job_class: Mail::WelcomeJob\n  arguments:\n  - 7\n',
                NULL, 0, 0, NULL, now() - interval '1 h', NULL, NULL),
               (E'--- !ruby/struct:NewsletterJob\ntext: hello\n', 'mail', 5, 3, E'closed\n/app/mail.rb:7', now() - interval '1 h', NULL, NULL),
               (E'--- !ruby/object:Delayed::PerformableMethod\nmethod_name: :run\n', 'mail', 0, 0, NULL, NULL, now() - interval '5 h', NULL),
               (E'--- !ruby/object:Later\nx: 1\n', 'mail', 0, 0, NULL, '2100-01-01T12:00:00', NULL, NULL),
               (E'--- !ruby/object:Failed\nx: 1\n', 'mail', 0, 25, 'closed', now(), NULL, now()),
               (E'--- !ruby/object:Running\nx: 1\n', 'mail', 0, 0, NULL, now() - interval '1 h', now() - interval '3 h', NULL)",
        )
        .await;
        assert_eq!(run(&pool, DELAYED).await.unwrap(), [5, 4, 1]);
        assert_eq!(count(&pool, "SELECT count(*) FROM delayed_jobs").await, 2);
        let failed = "SELECT count(*) FROM good_jobs WHERE error = 'DelayedJob: closed' AND queue_name = 'mail'
                      AND priority = 5 AND serialized_params -> 'executions' = '3'";
        assert_eq!(count(&pool, failed).await, 1);
        let later = "SELECT count(*) FROM good_jobs WHERE scheduled_at = '2100-01-01T12:00:00'";
        assert_eq!(count(&pool, later).await, 1);

        let seen = perform(&database, &moved(&pool).await).await;
        let expected = [
            "Delayed::PerformableMethod: method_name: :run",
            "Mail::WelcomeJob:   - 7",
            "NewsletterJob: text: hello",
        ];
        assert_eq!(seen, expected);

        execute(&pool, "UPDATE delayed_jobs SET locked_at = NULL").await;
        assert_eq!(run(&pool, DELAYED).await.unwrap(), [1, 1, 0]);
        assert_eq!(run(&pool, DELAYED).await.unwrap(), [0, 0, 0]);
        pool.close().await;
    }
}
