//! Every statement is one that the server understands, and the hot ones use their indexes.

use goodjob_postgres::STATEMENTS;
use goodjob_postgres::migrate::{self, Indexes};
use goodjob_testkit::Database;
use sqlx::{Executor, SqlSafeStr};

#[tokio::test]
async fn every_statement_prepares_on_the_migrated_tables() {
    let database = Database::fresh().await;
    let pool = database.pool().await;
    for (name, statement) in STATEMENTS {
        if name.starts_with("LEDGER_TABLE") {
            continue;
        }
        if let Err(error) = pool.prepare(statement.into_sql_str()).await {
            panic!("{name}: {error}");
        }
    }
    pool.close().await;
}

#[tokio::test]
async fn every_statement_says_why_it_has_its_shape() {
    for (name, statement) in STATEMENTS {
        assert!(statement.trim_start().starts_with("-- "), "{name} has no comment");
        assert!(!statement.contains("SELECT *") || statement.contains("unnest"), "{name}");
    }
}

/// With statistics of a table in use: 20,000 jobs, half of them due.
async fn plan_of(statement: &str, parameters: &str) -> String {
    let database = Database::fresh().await;
    let pool = database.pool().await;
    sqlx::raw_sql(
        "INSERT INTO good_jobs (active_job_id, job_class, queue_name, priority, serialized_params,
                                created_at, updated_at, scheduled_at, finished_at)
         SELECT gen_random_uuid(), 'A', 'q' || n % 3, 0, '{}', now(), now(), now(),
                CASE WHEN n % 2 > 0 THEN now() END FROM generate_series(1, 20000) n;
         INSERT INTO good_job_executions (active_job_id, created_at, updated_at)
         SELECT id, now(), now() FROM good_jobs; ANALYZE;",
    )
    .execute(&pool)
    .await
    .unwrap();
    let text: &'static str =
        STATEMENTS.iter().find(|(name, _)| *name == statement).map(|(_, text)| *text).unwrap();
    let prepare = format!("PREPARE s AS {text}");
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let explain = format!("EXPLAIN EXECUTE s({parameters})");
    let lines: Vec<String> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
    drop(connection);
    pool.close().await;
    lines.join("\n")
}

fn assert_no_scan_of_a_table(plan: &str) {
    assert!(!plan.contains("Seq Scan on good_job"), "{plan}");
}

#[tokio::test]
async fn a_claim_walks_the_index_of_unowned_jobs() {
    let me = "'11111111-2222-4333-8444-555555555555'";
    for (statement, queues) in
        [("CLAIM_ANY", "NULL"), ("CLAIM_ONLY", "'{q1}'"), ("CLAIM_EXCEPT", "'{q1}'")]
    {
        let plan =
            plan_of(statement, &format!("'{{A}}', 5, 995, {queues}, {me}, 2, 's', false")).await;
        assert_no_scan_of_a_table(&plan);
        let uses_one = ["index_good_jobs_for_candidate_dequeue_unlocked", "index_goodjob_lanes"];
        assert!(uses_one.iter().any(|index| plan.contains(index)), "{statement}\n{plan}");
    }
    let parameters = format!("'{{A}}', 5, 995, NULL, {me}, 0, 's', false, 'any'");
    assert_no_scan_of_a_table(&plan_of("CLAIM_ADVISORY", &parameters).await);
    // The order of a list is no index's order: the due rows of its queues are sorted.
    let parameters = format!("'{{A}}', 5, 995, '{{q1,q2}}', {me}, 2, 's', false");
    assert_no_scan_of_a_table(&plan_of("CLAIM_IN_ORDER", &parameters).await);
}

#[tokio::test]
async fn a_settlement_goes_by_primary_keys() {
    let (id, me) =
        ("'{11111111-2222-4333-8444-555555555555}'", "'11111111-2222-4333-8444-555555555555'");
    let settle = format!(
        "{id}, {id}, '{{2026-01-01}}', '{{1}}', '{{succeed}}', '{{0}}', '{{NULL}}', '{{NULL}}', '{{NULL}}', \
         '{{NULL}}', '{{0.1}}', {me}"
    );
    let plan = plan_of("SETTLE", &settle).await;
    assert_no_scan_of_a_table(&plan);
    assert!(plan.contains("good_jobs_pkey") && plan.contains("good_job_executions_pkey"), "{plan}");
    let plan =
        plan_of("SETTLE_UNKEPT", &format!("{id}, {id}, '{{2026-01-01}}', '{{1}}', {me}")).await;
    assert_no_scan_of_a_table(&plan);
    let plan = plan_of("RELEASE", &format!("{id}, {id}, '{{2026-01-01}}', '{{1}}', {me}")).await;
    assert_no_scan_of_a_table(&plan);
    let plan = plan_of("CLEAN_UP_JOBS", "1209600, false, 1000").await;
    assert_no_scan_of_a_table(&plan);
    let plan = plan_of("UPCOMING", "'{A}', 'any', NULL, 100").await;
    assert_no_scan_of_a_table(&plan);
}

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
    assert_eq!(steps.len(), 4);
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
    assert_eq!((invalid, ours), (0, 28));
    pool.close().await;
}
