//! Making the tables and indexes: of our own schema, so these run on no other.

use goodjob_core::{Arguments, NewJob, Options, Store};
use goodjob_postgres::migrate::{self, Indexes};
use goodjob_testkit::Database;
use sqlx::PgPool;

use crate::stage::secs;

#[tokio::test]
async fn migrating_leaves_only_plain_tables_and_twice_is_as_good_as_once() {
    let database = Database::empty().await;
    let pool = database.pool().await;
    let (one, other) =
        tokio::join!(migrate::run(&pool, Indexes::All), migrate::run(&pool, Indexes::All));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), migrate::steps(Indexes::All).len());
    assert_eq!(migrate::run(&pool, Indexes::All).await.unwrap(), []);
    assert_eq!(migrate::pending(&pool, Indexes::Lean).await.unwrap(), []);
    let (functions, triggers, types, extensions): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
                (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal),
                (SELECT count(*) FROM pg_type WHERE typtype IN ('e', 'd') AND typnamespace = 'public'::regnamespace),
                (SELECT count(*) FROM pg_extension WHERE extname <> 'plpgsql')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((functions, triggers, types, extensions), (0, 0, 0, 0));
    pool.close().await;
}

#[tokio::test]
async fn a_table_in_use_gets_its_indexes_without_locking_writers_out() {
    let database = Database::empty().await;
    let pool = database.pool().await;
    let tables = migrate::steps(Indexes::Lean)[0];
    sqlx::raw_sql(tables.sql).execute(&pool).await.unwrap();
    sqlx::raw_sql("INSERT INTO good_jobs (created_at, updated_at) VALUES (now(), now())")
        .execute(&pool)
        .await
        .unwrap();
    let steps = migrate::run(&pool, Indexes::All).await.unwrap();
    assert_eq!(steps.len(), 7);
    let invalid: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        .fetch_one(&pool)
        .await
        .unwrap();
    let ours: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE 'index_good%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((invalid, ours), (0, 33));
    pool.close().await;
}

/// They waited for each other: one for the migration's lock, one for the snapshot of the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_migrations_at_once_on_a_table_in_use_both_succeed() {
    let database = Database::empty().await;
    let (one, other) = (database.pool().await, database.pool().await);
    sqlx::raw_sql(migrate::steps(Indexes::All)[0].sql).execute(&one).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, serialized_params,
           scheduled_at, created_at, updated_at)
         SELECT id, id, 'WorkJob', 'default', '{}', now(), now(), now()
         FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 2000)) AS new",
    )
    .execute(&one)
    .await
    .unwrap();
    let both = async {
        tokio::join!(migrate::run(&one, Indexes::All), migrate::run(&other, Indexes::All))
    };
    let (first, second) = tokio::time::timeout(secs(20), both).await.expect("no deadlock");
    let mut ran = [first.unwrap().len(), second.unwrap().len()];
    ran.sort();
    assert_eq!(ran, [0, migrate::steps(Indexes::All).len()]);
    assert_eq!(invalid_indexes(&one).await, 0);
    one.close().await;
    other.close().await;
}

async fn invalid_indexes(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// CREATE INDEX IF NOT EXISTS takes an index for made that a build left unfinished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_a_migration_left_unfinished_is_built_anew() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let store = database.store().await;
    let job = NewJob::of_class("WorkJob", Arguments::default(), Options::new()).unwrap();
    store.insert(&[job]).await.unwrap();
    sqlx::raw_sql(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'index_goodjob_lanes'::regclass;
         DELETE FROM goodjob_migrations WHERE name = '0003_lanes'",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(invalid_indexes(&pool).await, 1);
    let ran = migrate::run(&pool, Indexes::Lean).await.unwrap();
    assert_eq!(ran.iter().map(|step| step.name).collect::<Vec<_>>(), ["0003_lanes"]);
    assert_eq!(invalid_indexes(&pool).await, 0);
    store.close().await;
    pool.close().await;
}
