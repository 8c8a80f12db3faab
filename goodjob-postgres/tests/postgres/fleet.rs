//! Workers whose strategies do not exclude each other are kept apart.

use goodjob_core::{ProcessId, ProcessRecord, Store, StoreError};
use goodjob_postgres::{LockStrategy, PgStore};
use goodjob_testkit::Database;
use sqlx::PgPool;

use LockStrategy::{Advisory, Hybrid, SkipLocked};

async fn store(database: &Database, strategy: LockStrategy) -> PgStore {
    let mut options = database.options();
    options.lock_strategy = strategy;
    PgStore::connect(options).await.unwrap()
}

/// Whether a worker of this strategy is let in; it leaves again.
async fn admitted(database: &Database, strategy: LockStrategy) -> Result<(), String> {
    let store = store(database, strategy).await;
    let process = ProcessRecord::new("new");
    let beaten = store.beat(&process).await;
    if beaten.is_ok() {
        store.leave(&process).await.unwrap();
    }
    store.close().await;
    match beaten {
        Ok(_) => Ok(()),
        Err(StoreError::Unfit(reason)) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_refused_beside_one_that_would_run_its_jobs() {
    for (there, comes, is_safe) in [
        (Hybrid, Hybrid, true),
        (Hybrid, Advisory, true),
        (Hybrid, SkipLocked, true),
        (Advisory, Hybrid, true),
        (Advisory, Advisory, true),
        (Advisory, SkipLocked, false),
        (SkipLocked, Hybrid, true),
        (SkipLocked, Advisory, false),
        (SkipLocked, SkipLocked, true),
    ] {
        let database = crate::database().await;
        let first = store(&database, there).await;
        let process = ProcessRecord::new("there");
        first.beat(&process).await.unwrap();
        let answer = admitted(&database, comes).await;
        assert_eq!(answer.is_ok(), is_safe, "{comes} beside {there}: {answer:?}");
        if let Err(reason) = answer {
            for part in
                [&*there.to_string(), &*comes.to_string(), &process.id.to_string(), "use hybrid"]
            {
                assert!(reason.contains(part), "{reason}");
            }
        }
        first.leave(&process).await.unwrap();
        first.close().await;
        assert_eq!(admitted(&database, comes).await, Ok(()), "{comes} after {there} has left");
    }
}

/// A Ruby process does not say how it locks; the rows that it holds do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ruby_worker_is_known_by_the_rows_that_it_holds() {
    for (lock_type, refused) in [(0, Some(SkipLocked)), (1, Some(Advisory)), (2, None)] {
        let database = crate::database().await;
        let pool = database.pool().await;
        let ruby = plant_ruby_worker(&pool, lock_type).await;
        for strategy in [Hybrid, Advisory, SkipLocked] {
            let answer = admitted(&database, strategy).await;
            assert_eq!(answer.is_err(), refused == Some(strategy), "{lock_type}: {answer:?}");
            if let Err(reason) = answer {
                assert!(reason.contains("a Ruby process"), "{reason}");
            }
        }
        // One that has been silent for too long says nothing about how anybody locks now.
        sqlx::query(
            "UPDATE good_job_processes SET updated_at = now() - interval '6 minutes' WHERE id = $1",
        )
        .bind(ruby.as_uuid())
        .execute(&pool)
        .await
        .unwrap();
        for strategy in [Advisory, SkipLocked] {
            assert_eq!(admitted(&database, strategy).await, Ok(()));
        }
        pool.close().await;
    }
}

/// H18: a process of the gem that ends leaves `lock_type` on its rows, and a forced discard leaves the owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_jobs_were_locked_that_nobody_is_doing_says_nothing() {
    let database = crate::database().await;
    let pool = database.pool().await;
    for (lock_type, left) in [
        (0, "locked_by_id = NULL"),
        (1, "locked_by_id = NULL"),
        (0, "finished_at = now(), error = 'discarded by force'"),
        (1, "finished_at = now(), error = 'discarded by force'"),
    ] {
        let ruby = plant_ruby_worker(&pool, lock_type).await;
        let statement = format!("UPDATE good_jobs SET {left} WHERE locked_by_id = $1");
        let changed =
            sqlx::query(sqlx::AssertSqlSafe(statement)).bind(ruby.as_uuid()).execute(&pool).await;
        assert_eq!(changed.unwrap().rows_affected(), 1);
    }
    for strategy in [Hybrid, Advisory, SkipLocked] {
        assert_eq!(admitted(&database, strategy).await, Ok(()), "{strategy}");
    }
    pool.close().await;
}

async fn plant_ruby_worker(pool: &PgPool, lock_type: i16) -> ProcessId {
    let process = ProcessId::generate();
    sqlx::query(
        "INSERT INTO good_job_processes (id, created_at, updated_at, state)
         VALUES ($1, now(), now(), '{\"memory\": 1, \"schedulers\": []}')",
    )
    .bind(process.as_uuid())
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, serialized_params, created_at,
           updated_at, scheduled_at, performed_at, locked_by_id, locked_at, lock_type)
         SELECT id, id, 'RubyJob', 'q', '{}', now(), now(), now(), now(), $1, now(), $2
         FROM gen_random_uuid() AS id",
    )
    .bind(process.as_uuid())
    .bind(lock_type)
    .execute(pool)
    .await
    .unwrap();
    process
}
