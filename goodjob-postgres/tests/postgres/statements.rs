//! Every statement is one that the server understands, and the hot ones use their indexes.

use goodjob_postgres::migrate::{self, Plan};
use goodjob_postgres::{BY_INDEX, PgStore, STATEMENTS};
use goodjob_testkit::Schema;
use sqlx::Executor;

#[tokio::test]
async fn every_statement_prepares_on_the_tables() {
    let database = crate::database().await;
    let store = database.store().await;
    assert_prepared(&store, crate::SCHEMA == Schema::LEAN).await;
    store.close().await;
}

/// The table that is made by name alone.
pub(crate) async fn make_notes(store: &PgStore) {
    let notes = migrate::steps(Plan::default().with_notes()).pop().unwrap();
    let notes = migrate::render(notes, &store.options().tables);
    sqlx::raw_sql(sqlx::AssertSqlSafe(notes)).execute(store.pool()).await.unwrap();
}

pub(crate) async fn assert_prepared(store: &PgStore, with_ledger: bool) {
    make_notes(store).await;
    for (name, statement) in store.statements() {
        let of_the_ledger = name.starts_with("LEDGER");
        if name.starts_with("LEDGER_TABLE") || (of_the_ledger && !with_ledger) {
            continue;
        }
        if let Err(error) = store.pool().prepare(statement).await {
            panic!("{name}: {error}");
        }
    }
}

#[tokio::test]
async fn every_statement_says_why_it_has_its_shape() {
    for (name, statement) in STATEMENTS {
        assert!(statement.trim_start().starts_with("-- "), "{name} has no comment");
        assert!(!statement.contains("SELECT *") || statement.contains("unnest"), "{name}");
    }
}

/// With statistics of a table in use: 20,000 jobs, half of them due and some of those being done.
async fn plan_of(statement: &str, parameters: &str) -> String {
    let database = crate::database().await;
    let pool = database.pool().await;
    sqlx::raw_sql(
        "INSERT INTO good_jobs (active_job_id, job_class, queue_name, priority, serialized_params,
                                created_at, updated_at, scheduled_at, finished_at, locked_by_id, concurrency_key)
         SELECT gen_random_uuid(), 'A', 'q' || n % 3, 0, '{}', now(), now(), now(),
                CASE WHEN n % 2 > 0 THEN now() END, CASE WHEN n % 20 = 2 THEN gen_random_uuid() END,
                CASE WHEN n % 100 < 6 THEN 'k' END
         FROM generate_series(1, 20000) n;
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
    let by_index = ["LANES", "AHEAD", "EXPLAIN", "RECENT", "SEEN", "FREE_GHOSTS", "UPCOMING"];
    if by_index.iter().any(|part| statement.contains(part)) {
        for (setting, value) in BY_INDEX {
            let set = format!("SET {setting} = '{value}'");
            sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *connection).await.unwrap();
        }
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let parameters = if parameters.is_empty() { "" } else { &format!("({parameters})") };
    let explain = format!("EXPLAIN EXECUTE s{parameters}");
    let lines: Vec<String> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
    drop(connection);
    pool.close().await;
    lines.join("\n")
}

fn assert_no_scan_of_a_table(plan: &str) {
    // The settings are a page or two.
    let plan = plan.replace("Seq Scan on good_job_settings", "");
    assert!(!plan.contains("Seq Scan on good_job"), "{plan}");
}

const ME: &str = "'11111111-2222-4333-8444-555555555555'";

/// Each worker asks once in a while, in tables of any size.
#[tokio::test]
async fn jobs_with_an_owner_are_found_without_reading_the_others() {
    let plan = plan_of("FREE_GHOSTS", "").await;
    assert!(plan.contains("index_good_jobs_on_locked_by_id"), "{plan}");
    assert_no_scan_of_a_table(&plan);
    let plan = plan_of("BENCH_OWNED", &format!("'{{{}}}'", ME.trim_matches('\''))).await;
    assert!(plan.contains("index_good_jobs_on_locked_by_id"), "{plan}");
    assert_no_scan_of_a_table(&plan);
}

/// Without the index of lanes.
#[tokio::test]
async fn a_claim_walks_the_gems_index_of_unowned_jobs() {
    if crate::SCHEMA != Schema::GEM {
        return;
    }
    for (statement, queues) in
        [("CLAIM_ANY", "NULL"), ("CLAIM_ONLY", "'{q1}'"), ("CLAIM_EXCEPT", "'{q1}'")]
    {
        let plan =
            plan_of(statement, &format!("'{{A}}', 5, 995, {queues}, {ME}, 2, 's', false, '{{}}'"))
                .await;
        assert_no_scan_of_a_table(&plan);
        // The others differ by the few rows that are being done, and may look cheaper to the planner.
        let uses_one = [
            "index_good_jobs_for_candidate_dequeue_unlocked",
            "index_good_jobs_on_priority_scheduled_at_unfinished",
            "index_good_jobs_on_queue_name_",
        ];
        assert!(uses_one.iter().any(|index| plan.contains(index)), "{statement}\n{plan}");
    }
    let parameters = format!("'{{A}}', 5, 995, NULL, {ME}, 0, 's', false, '{{}}', 'any'");
    assert_no_scan_of_a_table(&plan_of("CLAIM_ADVISORY", &parameters).await);
    // The order of a list is no index's order: the due rows of its queues are sorted.
    let parameters = format!("'{{A}}', 5, 995, '{{q1,q2}}', {ME}, 2, 's', false, '{{}}'");
    assert_no_scan_of_a_table(&plan_of("CLAIM_IN_ORDER", &parameters).await);
    assert_no_scan_of_a_table(&plan_of("UPCOMING", "'{A}', 'any', NULL, 100").await);
}

#[tokio::test]
async fn a_claim_reads_ranges_of_the_index_of_lanes() {
    if crate::SCHEMA == Schema::GEM {
        return;
    }
    for (statement, parameters) in [
        ("LANES_ANY", "NULL, 100, '{A}', 2".to_owned()),
        ("LANES_ONLY", "'{q1,q2}', 100, '{A}', 2".to_owned()),
        ("UPCOMING_ANY", "NULL, 100, '{A}', 10".to_owned()),
        ("UPCOMING_ONLY", "'{q1,q2}', 100, '{A}', 10".to_owned()),
        (
            "CLAIM_PLAIN",
            format!("'{{A}}', 5, 0, NULL, {ME}, 2, 's', false, '{{}}', 'q1', 0, NULL, NULL, 5"),
        ),
        (
            "CLAIM_LANES",
            format!(
                "'{{A}}', 5, 16, NULL, {ME}, 2, 's', false, '{{}}', '{{q1,q2}}', '{{0,0}}', '{{NULL,NULL}}', \
                 '{{NULL,NULL}}', '{{21,21}}', '{{0,0}}'"
            ),
        ),
    ] {
        let plan = plan_of(statement, &parameters).await;
        assert_no_scan_of_a_table(&plan);
        assert!(plan.contains("index_goodjob_lanes"), "{statement}\n{plan}");
        let condition = "Index Cond: ((queue_name = ";
        assert!(statement == "LANES_ANY" || plan.contains(condition), "{statement}\n{plan}");
        // What other workers' jobs fill is gone through without reading them.
        let reads_rows = plan.contains(" Index Scan using index_goodjob_lanes");
        assert!(!statement.starts_with("LANES") || !reads_rows, "{statement}\n{plan}");
    }
}

#[tokio::test]
async fn a_settlement_goes_by_primary_keys() {
    let (id, me) = ("'{11111111-2222-4333-8444-555555555555}'", ME);
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
    let succeeded = format!("{id}, {id}, '{{2026-01-01}}', '{{1}}', '{{0.1}}', {me}");
    assert_no_scan_of_a_table(&plan_of("SETTLE_SUCCEEDED", &succeeded).await);
    let open = format!("{id}, {id}, '{{2026-01-01}}', '{{1}}', {me}");
    assert_no_scan_of_a_table(&plan_of("EXECUTIONS_OPEN", &open).await);
}

/// Under the settings of an explanation a table is scanned only where no index leads to the rows.
#[tokio::test]
async fn an_explanation_reads_by_indexes() {
    let place = format!("0, now(), {ME}, 0, false, 10000, '{{A}}', '{{}}', '{{}}', '{{}}'");
    let mut statements = vec![
        ("EXPLAIN_JOB", ME.to_owned()),
        ("EXPLAIN_ROW_LOCK", ME.to_owned()),
        ("EXPLAIN_HOLDERS", format!("{ME}, 'k', '{{a}}', 11")),
        ("EXPLAIN_STARTS", format!("{ME}, 'k', '{{a}}', 'E', 10000, 11")),
        ("RECENT_RUNS", "300, 10000".to_owned()),
        ("QUEUES_SEEN", "500, 1001".to_owned()),
    ];
    if crate::SCHEMA == Schema::GEM {
        statements.push(("AHEAD_IN_ORDER", format!("'{{q1}}', false, {place}, now()")));
    } else {
        statements.push(("AHEAD_ANY", format!("NULL, 4096, {place}")));
        statements.push(("AHEAD_ONLY", format!("'{{q1}}', 4096, {place}")));
    }
    for (statement, parameters) in statements {
        let plan = plan_of(statement, &parameters).await;
        assert_no_scan_of_a_table(&plan);
        // In the order of the index, so that the limit ends the reading.
        let sorts = statement == "AHEAD_IN_ORDER" && plan.contains("Sort");
        assert!(!sorts, "{statement}\n{plan}");
    }
}

#[tokio::test]
async fn limits_by_key_read_the_indexes_of_keys() {
    if crate::SCHEMA != Schema::LEAN {
        return;
    }
    for (statement, parameters, index) in [
        ("LIMIT_RUNNING_KEY", "'k', gen_random_uuid(), now()", "index_goodjob_keys_running"),
        ("LIMIT_NEXT_KEY", "'k', 'A', 1", "index_goodjob_keys_waiting"),
        ("LIMIT_SINCE_KEY", "'k', 60", "index_goodjob_keys"),
        (
            "LIMIT_STARTED_KEY",
            "'k', gen_random_uuid(), now(), gen_random_uuid(), 60, 1",
            "index_goodjob_keys",
        ),
    ] {
        let plan = plan_of(statement, parameters).await;
        assert!(plan.split_whitespace().any(|word| word == index), "{statement}\n{plan}");
        assert_no_scan_of_a_table(&plan);
    }
}
