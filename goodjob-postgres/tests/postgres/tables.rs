//! Tables under other names, in other schemas, with other types of time and other keys of locks.

use goodjob_core::{
    Job, JobState, NewJob, ProcessRecord, QueueSelector, Registry, Shutdown, Store, Timestamp,
    Wanted,
};
use goodjob_postgres::migrate::{Addition, Indexes};
use goodjob_postgres::{
    DequeueOrder, EnqueueIn, HashFunction, LockStrategy, PgStore, TableNames, advisory_key,
};
use goodjob_testkit::conformance::{self, claim, insert, notice, process, settle, upcoming};
use goodjob_testkit::{Database, Harness, Schema};
use sqlx::{AssertSqlSafe, PgPool};

use crate::conformance::Postgres;
use crate::engine::Echo;
use crate::stage::{Nap, Stage, lock_session};
use crate::statements::assert_prepared;

/// Every way in which the tables may be made differently.
const SCHEMAS: [Schema; 6] = [
    Schema::LEAN.prefixed("acme_"),
    Schema::GEM.in_schema("jobs"),
    Schema::GEM.prefixed("acme_").in_schema("Our jobs"),
    Schema::GEM.timestamptz().time_zone("Asia/Tokyo"),
    Schema::GEM.time_zone("America/New_York"),
    Schema::GEM_V4_0.timestamptz(),
];

impl Postgres {
    async fn on(schema: Schema) -> Self {
        let (database, strategy) = (Database::with_schema(schema).await, LockStrategy::Hybrid);
        Self { database, strategy }
    }
}

macro_rules! on_each_schema {
    ($($topic:ident::$case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                for schema in SCHEMAS {
                    let subject = Postgres::on(schema).await;
                    conformance::run(subject, $topic::$case).await;
                }
            }
        )+
    };
}

on_each_schema! {
    insert::every_field_is_kept
    insert::a_wait_is_counted_by_the_stores_clock
    claim::a_claim_starts_an_attempt
    settle::a_success_ends_the_job
    settle::a_retry_makes_the_job_due_later
    settle::a_repeated_settle_writes_nothing_twice
    settle::an_attempt_that_was_taken_over_is_fenced
    settle::a_release_leaves_no_trace
    upcoming::due_times_come_soonest_first_and_limited
    process::the_job_of_a_dead_process_runs_again_as_interrupted
    process::a_process_that_leaves_frees_its_jobs
    notice::a_future_job_is_heard_with_its_time
}

/// Whatever the caller's connection thinks of zones and schemas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_the_callers_transaction_is_due_at_its_time_and_locked_by_its_name() {
    for schema in SCHEMAS {
        let database = Database::with_schema(schema).await;
        let stage = Stage::on(&database).await;
        let worker = Harness::start(&database, stage.naps()).await;
        let mut tx = stage.pool.begin().await.unwrap();
        sqlx::raw_sql("SET TimeZone = 'Asia/Kolkata'").execute(&mut *tx).await.unwrap();
        if database.options().tables.qualified("").starts_with('"') {
            sqlx::raw_sql("SET search_path = pg_catalog").execute(&mut *tx).await.unwrap();
        }
        let now: Timestamp =
            sqlx::query_scalar("SELECT statement_timestamp()").fetch_one(&mut *tx).await.unwrap();
        let soon = now + chrono::TimeDelta::milliseconds(1_500);
        let first =
            worker.adapter().enqueue(Nap { millis: 60_000 }).enqueue_in(&mut *tx).await.unwrap();
        let later = worker.adapter().enqueue(Nap { millis: 1 }).wait_until(soon);
        let later = later.enqueue_in(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(stage.start().await.0, first, "{schema:?}");
        let name = database.options().tables.lock_name("good_jobs");
        let key = advisory_key(&format!("{name}-{first}"));
        let held: Vec<i64> = sqlx::query_scalar(
            "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE locktype = 'advisory' AND application_name = $1",
        )
        .bind(lock_session(worker.capsule().process()))
        .fetch_all(&stage.pool)
        .await
        .unwrap();
        assert!(held.contains(&key), "{schema:?}: {held:?}");
        let done = worker.finished(later).await;
        // To the microsecond, in whatever type and zone it is kept.
        assert_eq!(done.scheduled_at, Some(soon), "{schema:?}");
        assert!(done.performed_at >= done.scheduled_at, "{schema:?}: {done:?}");
        assert_eq!(done.state(Timestamp::MAX_UTC), JobState::Succeeded, "{schema:?}");
        worker.stop_with(Shutdown::Now).await;
        stage.close().await;
    }
}

#[tokio::test]
async fn a_process_that_shares_the_lock_names_of_a_prefix_is_excluded() {
    let database = Database::with_schema(Schema::GEM.prefixed("acme_")).await;
    let pool = database.pool().await;
    let store = database.store().await;
    let process = ProcessRecord::new("test");
    store.beat(&process).await.unwrap();
    let id = store.adapter().enqueue(Echo { text: "x".into() }).await.unwrap();
    let mut other = pool.acquire().await.unwrap();
    let lock = |name: &str| advisory_key(&format!("{name}-{id}"));
    for (name, taken) in [("acme_good_jobs", 0), ("good_jobs", 1)] {
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(lock(name))
            .execute(&mut *other)
            .await
            .unwrap();
        let wanted = Wanted { queues: QueueSelector::All, classes: vec![Echo::CLASS.to_owned()] };
        let claims = goodjob_testkit::claims(&store, &wanted, 1).await;
        assert_eq!(claims.taken.len(), taken, "while {name} is locked");
        sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(lock(name))
            .execute(&mut *other)
            .await
            .unwrap();
        for claim in claims.taken {
            store.release(&[claim.token]).await.unwrap();
        }
    }
    drop(other);
    store.leave(&process).await.unwrap();
    store.close().await;
    pool.close().await;
}

/// The keys that Postgres itself makes of the lock's name by the functions that the gem may be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_have_the_keys_of_the_hash_function_and_none_stays() {
    let database = Database::with_schema(Schema::GEM).await;
    let stage = Stage::on(&database).await;
    let mut options = database.options();
    options.hash_function = HashFunction::Sha256;
    let refusal = PgStore::connect(options).await.unwrap_err().to_string();
    assert!(refusal.contains("sha256 needs the extension pgcrypto"), "{refusal}");
    sqlx::raw_sql("CREATE EXTENSION pgcrypto; CREATE EXTENSION \"uuid-ossp\"")
        .execute(&stage.pool)
        .await
        .unwrap();
    for (function, key) in [
        (HashFunction::Hashtext, "hashtext($1)::bigint"),
        (
            HashFunction::Sha224,
            "('x' || left(encode(sha224(convert_to($1, 'UTF8')), 'hex'), 16))::bit(64)::bigint",
        ),
        (
            HashFunction::Sha256,
            "('x' || left(encode(sha256(convert_to($1, 'UTF8')), 'hex'), 16))::bit(64)::bigint",
        ),
        (
            HashFunction::Sha384,
            "('x' || left(encode(sha384(convert_to($1, 'UTF8')), 'hex'), 16))::bit(64)::bigint",
        ),
        (
            HashFunction::Sha512,
            "('x' || left(encode(sha512(convert_to($1, 'UTF8')), 'hex'), 16))::bit(64)::bigint",
        ),
        (
            HashFunction::Sha1,
            "('x' || left(encode(digest($1, 'sha1'), 'hex'), 16))::bit(64)::bigint",
        ),
        (
            HashFunction::UuidV5,
            "('x' || left(translate(uuid_generate_v5(uuid_ns_dns(), $1)::text, '-', ''), 16))::bit(64)::bigint",
        ),
    ] {
        let worker = Harness::start_with(&database, stage.naps(), |_, options| {
            options.hash_function = function;
        })
        .await;
        let nap = worker.enqueue(Nap { millis: 60_000 }).await;
        assert_eq!(stage.start().await.0, nap);
        let key: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {key}")))
            .bind(format!("good_jobs-{nap}"))
            .fetch_one(&stage.pool)
            .await
            .unwrap();
        let session = lock_session(worker.capsule().process());
        let held: Vec<i64> = sqlx::query_scalar(
            "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE locktype = 'advisory' AND application_name = $1",
        )
        .bind(&session)
        .fetch_all(&stage.pool)
        .await
        .unwrap();
        assert_eq!(held, [key], "{function}");
        let quick = (0..20).map(|_| NewJob::new(&Nap { millis: 0 }).unwrap());
        let ids: Vec<_> = worker
            .adapter()
            .enqueue_all(quick)
            .await
            .unwrap()
            .into_iter()
            .map(|job| job.id())
            .collect();
        worker.all_finished(&ids).await;
        stage.starts(20).await;
        // An unlock under another key would leave the lock of each.
        stage.until_locks(&session, 1).await;
        worker.stop_with(Shutdown::Now).await;
        sqlx::query("DELETE FROM good_jobs").execute(&stage.pool).await.unwrap();
    }
    stage.close().await;
}

/// What goodjob adds to tables that Rails made: nothing, unless it is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_adds_nothing_to_the_database_and_a_migration_what_it_says() {
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    let before = objects(&pool).await;
    let worker = Harness::start(&database, Registry::default().register::<Echo>()).await;
    let ids = [
        worker.enqueue(Echo { text: "ok".into() }).await,
        worker.enqueue(Echo { text: "fail".into() }).await,
    ];
    worker.all_finished(&ids).await;
    let additions = worker.store().migration_additions(Indexes::All).await.unwrap();
    assert_eq!(objects(&pool).await, before);

    let mut announced: Vec<String> = additions.iter().map(|added| added.name.clone()).collect();
    announced.sort();
    let ours = [
        "index_goodjob_errored",
        "index_goodjob_keys",
        "index_goodjob_keys_running",
        "index_goodjob_keys_waiting",
        "index_goodjob_lanes",
        "index_goodjob_open_batches",
    ];
    assert_eq!(announced, [&["goodjob_migrations"], &ours[..]].concat());
    worker.store().migrate(Indexes::All).await.unwrap();
    let added: Vec<String> =
        objects(&pool).await.into_iter().filter(|object| !before.contains(object)).collect();
    // A table comes with its row type, its array type, its key and what is too large for a row.
    assert_eq!(
        added,
        [
            "r goodjob_migrations",
            "i goodjob_migrations_pkey",
            "i index_goodjob_errored",
            "i index_goodjob_keys",
            "i index_goodjob_keys_running",
            "i index_goodjob_keys_waiting",
            "i index_goodjob_lanes",
            "i index_goodjob_open_batches",
            "type _goodjob_migrations",
            "type goodjob_migrations",
        ]
    );
    assert_eq!(
        worker.store().migration_additions(Indexes::All).await.unwrap(),
        [] as [Addition; 0]
    );
    worker.stop().await;
    pool.close().await;
}

/// Rails gives a prefix to tables, and not to the indexes that a migration names.
#[tokio::test]
async fn indexes_that_rails_made_without_the_prefix_are_not_made_again() {
    let database = Database::with_schema(Schema::GEM).await;
    let pool = database.pool().await;
    for table in [
        "good_jobs",
        "good_job_executions",
        "good_job_processes",
        "good_job_batches",
        "good_job_settings",
    ] {
        let statement = format!("ALTER TABLE {table} RENAME TO acme_{table}");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    }
    let mut options = database.options();
    options.tables = TableNames::default().with_prefix("acme_").unwrap();
    let store = PgStore::connect(options.clone()).await.unwrap();
    let added = store.migration_additions(Indexes::All).await.unwrap();
    let mut added: Vec<String> = added.into_iter().map(|added| added.name).collect();
    added.sort();
    assert_eq!(
        added,
        [
            "acme_goodjob_migrations",
            "index_acme_goodjob_errored",
            "index_acme_goodjob_keys",
            "index_acme_goodjob_keys_running",
            "index_acme_goodjob_keys_waiting",
            "index_acme_goodjob_lanes",
            "index_acme_goodjob_open_batches",
        ]
    );
    let before = objects(&pool).await;
    store.migrate(Indexes::All).await.unwrap();
    let indexes = objects(&pool).await.into_iter().filter(|object| object.starts_with("i "));
    let new: Vec<String> = indexes.filter(|object| !before.contains(object)).collect();
    assert_eq!(
        new,
        [
            "i acme_goodjob_migrations_pkey",
            "i index_acme_goodjob_errored",
            "i index_acme_goodjob_keys",
            "i index_acme_goodjob_keys_running",
            "i index_acme_goodjob_keys_waiting",
            "i index_acme_goodjob_lanes",
            "i index_acme_goodjob_open_batches",
        ]
    );
    let findings = goodjob_postgres::doctor::examine(&options).await;
    let indexes = findings.iter().find(|finding| finding.check == "indexes").unwrap();
    assert_eq!(indexes.remedy, None, "{indexes:?}");
    store.close().await;
    pool.close().await;
}

/// Everything that somebody could have made outside the server's own schemas.
async fn objects(pool: &PgPool) -> Vec<String> {
    let mut objects: Vec<String> = sqlx::query_scalar(
        "SELECT relkind::text || ' ' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
         WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
         UNION ALL SELECT 'function ' || proname FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
         WHERE nspname NOT IN ('pg_catalog', 'information_schema')
         UNION ALL SELECT 'type ' || typname FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
         WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
         UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
         UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
         UNION ALL SELECT 'extension ' || extname FROM pg_extension
         UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    objects.sort_by_key(|object| (object.starts_with("type"), object[1..].to_owned()));
    objects
}

/// The files are written for the usual case; every other one is made of them.
#[tokio::test]
async fn every_statement_prepares_under_other_names_orders_and_hash_functions() {
    let database = Database::empty().await;
    let pool = database.pool().await;
    sqlx::raw_sql("CREATE EXTENSION pgcrypto; CREATE EXTENSION \"uuid-ossp\"")
        .execute(&pool)
        .await
        .unwrap();
    let named = |prefix: &str, schema: Option<&str>| {
        let tables = TableNames::default().with_prefix(prefix).unwrap();
        schema.map_or(tables.clone(), |schema| tables.in_schema(schema).unwrap())
    };
    for (tables, hash_function) in [
        (named("acme_", None), HashFunction::Md5),
        (named("", Some("Our jobs")), HashFunction::Sha256),
        (named("jobs.", None), HashFunction::UuidV5),
        (named("a_prefix_so_long_that_names_are_cut_of_", Some("x")), HashFunction::Hashtext),
    ] {
        let mut options = database.options();
        options.tables = tables;
        options.hash_function = hash_function;
        options.order = DequeueOrder::CreatedAt;
        options.listen_notify = false;
        let store = PgStore::lazy(options.clone());
        assert_eq!(store.migrate(Indexes::All).await.unwrap().len(), 7);
        assert_eq!(store.migrate(Indexes::All).await.unwrap(), []);
        store.close().await;
        let store = PgStore::connect(options).await.unwrap();
        assert_prepared(&store, true).await;
        let indexes: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_index WHERE indrelid = to_regclass($1)")
                .bind(store.options().tables.qualified("good_jobs"))
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(indexes, 30, "{}", store.options().tables);
        store.close().await;
    }
    pool.close().await;
}
