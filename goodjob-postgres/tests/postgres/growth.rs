//! What a job costs does not grow with what else is in the tables. Counted in pages that a statement looks
//! at, since a clock measures the machine.
//!
//! The statements are planned while the tables are empty and never again, as a worker's are that was started
//! before the first job: a plan that starts from a whole table is the worst that can happen to them.

use goodjob_postgres::{BY_INDEX, STATEMENTS};
use goodjob_testkit::Database;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const ME: &str = "'11111111-2222-4333-8444-555555555555'";
/// Jobs that one claim and one settlement are about.
const GROUP: usize = 100;

/// The statements of a worker at full speed.
const USED: [&str; 5] =
    ["CLAIM_PLAIN", "CLAIM_LANES", "SETTLE_SUCCEEDED", "SETTLE_UNKEPT", "SETTLE"];

/// A session that plans as a worker does.
struct Session(PgConnection);

impl Session {
    /// With the statements planned on the tables as they are.
    async fn on(database: &Database) -> Self {
        let mut session = Self(PgConnection::connect(&database.url()).await.unwrap());
        for (setting, value) in BY_INDEX {
            session.run(&format!("SET {setting} = '{value}'")).await;
        }
        for (name, text) in STATEMENTS {
            if USED.contains(name) {
                session.run(&format!("PREPARE {name} AS {text}")).await;
            }
        }
        session.claim_of_lanes("nothing").await;
        session.claim("nothing", None).await;
        session.succeed("nothing", "SETTLE_SUCCEEDED").await;
        session.succeed("nothing", "SETTLE_UNKEPT").await;
        session.succeed("nothing", "SETTLE").await;
        session
    }

    async fn run(&mut self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut self.0).await.unwrap();
    }

    async fn value(&mut self, query: &str) -> String {
        let query = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(query.to_owned()));
        query.persistent(false).fetch_one(&mut self.0).await.unwrap().unwrap_or_default()
    }

    /// Pages that a prepared statement looks at.
    async fn pages(&mut self, execute: &str) -> i64 {
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {execute}");
        let query = sqlx::query_scalar::<_, Value>(AssertSqlSafe(explain)).persistent(false);
        let plan = query.fetch_one(&mut self.0).await.unwrap();
        pages_of(&plan[0]["Plan"])
    }

    /// Claims a group of a queue from a floor, which is its only lane.
    async fn claim(&mut self, queue: &str, floor: Option<&str>) -> i64 {
        let (at, id) = floor.map_or((None, None), |floor| floor.split_once('|').unzip());
        let literal =
            |text: Option<&str>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
        self.pages(&format!(
            "EXECUTE CLAIM_PLAIN('{{A}}', {GROUP}, 0, NULL, {ME}, 1, 's', false, '{{}}', '{queue}', 0, {}, {}, {})",
            literal(at),
            literal(id),
            GROUP
        ))
        .await
    }

    /// Claims a group from two lanes, of which one is empty.
    async fn claim_of_lanes(&mut self, queue: &str) -> i64 {
        let each = GROUP + 16;
        self.pages(&format!(
            "EXECUTE CLAIM_LANES('{{A}}', {GROUP}, 16, NULL, {ME}, 1, 's', false, '{{}}', '{{{queue},empty}}', '{{0,0}}', \
             '{{NULL,NULL}}', '{{NULL,NULL}}', '{{{each},{each}}}', '{{0,0}}')",
        ))
        .await
    }

    /// Ends what was claimed of a queue.
    async fn succeed(&mut self, queue: &str, statement: &str) -> i64 {
        // Attempts that have lasted a tenth of a second, whose executions are looked for, on any machine.
        self.run("SELECT pg_sleep(0.11)").await;
        let of_queue =
            format!("FROM good_jobs WHERE queue_name = '{queue}' AND locked_by_id = {ME}");
        let column = |of: &str| {
            format!("SELECT COALESCE(array_agg({of} ORDER BY id), '{{}}')::text {of_queue}")
        };
        let jobs = self.value(&column("id")).await;
        let executions = self.value(&column("gen_random_uuid()")).await;
        let (starts, counts) = (column("performed_at::timestamptz"), column("executions_count"));
        let (starts, counts) = (self.value(&starts).await, self.value(&counts).await);
        let tokens = format!("'{jobs}', '{executions}', '{starts}', '{counts}'");
        let (seconds, nulls) =
            (self.value(&column("0.1::float8")).await, self.value(&column("NULL::text")).await);
        let rest = match statement {
            "SETTLE_UNKEPT" => String::new(),
            "SETTLE_SUCCEEDED" => format!(", '{seconds}'"),
            _ => format!(
                ", '{}', '{seconds}', '{nulls}', '{nulls}', '{nulls}', '{nulls}', '{seconds}'",
                self.value(&column("'succeed'::text")).await
            ),
        };
        self.pages(&format!("EXECUTE {statement}({tokens}{rest}, {ME})")).await
    }

    /// The place after which nothing of a queue was taken yet.
    async fn floor(&mut self, queue: &str) -> String {
        self.value(&format!(
            "SELECT scheduled_at || '+00|' || id FROM good_jobs WHERE queue_name = '{queue}' AND performed_at IS NOT NULL
             ORDER BY scheduled_at DESC, id DESC LIMIT 1"
        ))
        .await
    }
}

/// The pages of a plan and of the writes in it that nothing reads from: they run after it and are not in its
/// sum.
fn pages_of(plan: &Value) -> i64 {
    fn visit<'a>(node: &'a Value, writes: &mut Vec<&'a Value>, read: &mut Vec<&'a str>) {
        if node["Node Type"] == "ModifyTable" && !node["Subplan Name"].is_null() {
            writes.push(node);
        }
        read.extend(node["CTE Name"].as_str());
        for child in node["Plans"].as_array().into_iter().flatten() {
            visit(child, writes, read);
        }
    }
    let of = |node: &Value| {
        ["Shared Hit Blocks", "Shared Read Blocks"].map(|kind| node[kind].as_i64().unwrap())
    };
    let (mut writes, mut read) = (Vec::new(), Vec::new());
    visit(plan, &mut writes, &mut read);
    let unread = |node: &&&Value| {
        let name = node["Subplan Name"].as_str().unwrap().trim_start_matches("CTE ");
        !read.contains(&name)
    };
    let after: i64 = writes.iter().filter(unread).flat_map(|node| of(node)).sum();
    of(plan).iter().sum::<i64>() + after
}

/// Rows of one kind.
fn rows(queue: &str, many: usize, due: &str, finished: bool) -> String {
    let finished = if finished { "now()" } else { "NULL" };
    format!(
        "INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params, created_at,
                                updated_at, scheduled_at, finished_at, performed_at)
         SELECT id, id, 'A', {queue}, 0, '{{\"executions\": 0}}', now(), now(), {due}, {finished}, {finished}
         FROM generate_series(1, {many}) n, LATERAL (SELECT gen_random_uuid() AS id WHERE n > 0) AS ids;"
    )
}

/// How many of each kind the tables grow by: a few seconds' work, or GOODJOB_GROWTH_ROWS.
fn growth() -> usize {
    std::env::var("GOODJOB_GROWTH_ROWS").map_or(150_000, |rows| rows.parse().unwrap())
}

#[tokio::test]
async fn a_job_costs_the_same_whatever_else_is_in_the_tables() {
    // As autovacuum leaves tables that it has seen empty.
    costs_the_same("VACUUM ANALYZE").await;
}

/// Where nothing is known of a table, each of its indexes seems as good as the key's.
#[tokio::test]
async fn a_job_costs_the_same_for_a_worker_that_was_started_on_tables_that_were_never_analyzed() {
    costs_the_same("SELECT 1").await;
}

async fn costs_the_same(first: &str) {
    let database = crate::database().await;
    let pool = database.pool().await;
    let run = async |statement: String| {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&pool).await.unwrap()
    };
    // ANALYZE would have the statements planned anew.
    run("ALTER TABLE good_jobs SET (autovacuum_enabled = false);
         ALTER TABLE good_job_executions SET (autovacuum_enabled = false)"
        .to_owned())
    .await;
    run(first.to_owned()).await;
    let mut session = Session::on(&database).await;
    // So many that the trees have as many levels as with a hundred times as many.
    run(rows("'future'", 20_000, "now() + interval '1 day' + n * interval '1 s'", false)).await;
    run(rows("'done'", 80_000, "now()", true)).await;
    let attempts =
        "INSERT INTO good_job_executions (active_job_id, created_at, updated_at, finished_at)
                    SELECT id, now(), now(), now() FROM good_jobs WHERE queue_name = 'done'";
    run(attempts.to_owned()).await;

    let mut costs = Vec::new();
    for size in ["small", "large"] {
        if size == "large" {
            let more = growth();
            run(rows("'done'", more, "now()", true)).await;
            run(attempts.to_owned()).await;
            run(rows("'other'", more, "now() - interval '1 hour'", false)).await;
            run(rows("'queue ' || n % 300", more / 50, "now() - interval '1 hour'", false)).await;
            run(rows("'future'", more, "now() + interval '2 days' + n * interval '1 s'", false))
                .await;
            run(rows("'large kept'", more, "now() + interval '1 day' + n * interval '1 s'", false))
                .await;
        }
        let mut cost = Vec::new();
        for (queue, statement) in [
            ("kept", "SETTLE_SUCCEEDED"),
            ("unkept", "SETTLE_UNKEPT"),
            ("settled", "SETTLE"),
            ("of lanes", "SETTLE_SUCCEEDED"),
        ] {
            let queue = format!("{size} {queue}");
            run(rows(&format!("'{queue}'"), GROUP + 50, "now() - interval '1 min'", false)).await;
            let claimed = match queue.ends_with("lanes") {
                true => session.claim_of_lanes(&queue).await,
                false => session.claim(&queue, None).await,
            };
            cost.push((format!("claim of {queue}"), claimed));
            let floor = session.floor(&queue).await;
            assert!(!floor.is_empty(), "something was claimed");
            cost.push((
                format!("{statement} of {queue}"),
                session.succeed(&queue, statement).await,
            ));
        }
        costs.push(cost);
    }
    for (small, large) in costs[0].iter().zip(&costs[1]) {
        println!("after {first:?}, pages of a group of {GROUP}: {small:?} {large:?}");
        assert!(small.1 > 5 * GROUP as i64, "{small:?} is about a group of {GROUP}");
        assert!(
            large.1 * 10 <= small.1 * 11,
            "after {first:?}, pages looked at grew by more than a tenth: {small:?} {large:?}"
        );
    }
    session.0.close().await.unwrap();
    pool.close().await;
}

/// While an old transaction keeps vacuum away, what was taken stays in the indexes.
#[tokio::test]
async fn a_claim_from_its_floor_does_not_walk_over_what_was_taken_before() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let mut session = Session::on(&database).await;
    // After a vacuum each update asks the map of free space, a page or so a job: whether one comes by while
    // this test runs is no question of floors.
    for table in ["good_jobs", "good_job_executions"] {
        session.run(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).await;
    }
    session
        .run(&rows("'long'", 10_000, "now() - interval '1 min' + n * interval '1 ms'", false))
        .await;
    let mut old = pool.begin().await.unwrap();
    sqlx::raw_sql(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM good_jobs",
    )
    .execute(&mut *old)
    .await
    .unwrap();
    let first = session.claim("long", None).await;
    let mut floor = session.floor("long").await;
    for _ in 0..60 {
        session.succeed("long", "SETTLE_SUCCEEDED").await;
        session.claim("long", Some(&floor)).await;
        floor = session.floor("long").await;
    }
    session.succeed("long", "SETTLE_SUCCEEDED").await;
    let last = session.claim("long", Some(&floor)).await;
    assert!(last * 10 <= first * 11, "pages looked at: {first} at first, {last} after 6,000 jobs");
    session.succeed("long", "SETTLE_SUCCEEDED").await;
    let from_the_beginning = session.claim("long", None).await;
    assert!(
        from_the_beginning >= last + 100,
        "{from_the_beginning} after {last} show that there was something to walk over"
    );
    old.rollback().await.unwrap();
    session.0.close().await.unwrap();
    pool.close().await;
}

/// With many lanes each is read less deep, and what comes after the first that was cut off is left. Rows that
/// are compared with the cut of every lane made a claim of a thousand lanes last for seconds.
#[tokio::test]
async fn a_claim_of_many_lanes_compares_rows_with_one_cut() {
    const LANES: usize = 200;
    let database = crate::database().await;
    let mut session = Session::on(&database).await;
    session.run(&rows("'q' || n % 200", LANES * 30, "now() - interval '1 min'", false)).await;
    let each = |value: &str| vec![value; LANES].join(",");
    let queues: Vec<String> = (0..LANES).map(|n| format!("q{n}")).collect();
    let claim = format!(
        "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)
         EXECUTE CLAIM_LANES('{{A}}', {GROUP}, 16, NULL, {ME}, 1, 's', false, '{{}}', '{{{}}}', '{{{}}}', '{{{}}}',
                             '{{{}}}', '{{{}}}', '{{{}}}')",
        queues.join(","),
        each("0"),
        each("NULL"),
        each("NULL"),
        each("16"),
        each("0"),
    );
    let query = sqlx::query_scalar::<_, Value>(AssertSqlSafe(claim)).persistent(false);
    let plan = query.fetch_one(&mut session.0).await.unwrap();
    let compared = rows_of(&plan[0]["Plan"], "CTE cut").expect("the claim has a cut");
    assert_eq!(compared, 1);
    let count = format!("SELECT count(*)::text FROM good_jobs WHERE locked_by_id = {ME}");
    assert_eq!(session.value(&count).await, GROUP.to_string());
    session.0.close().await.unwrap();
}

/// How many rows a part of a plan brought.
fn rows_of(node: &Value, name: &str) -> Option<i64> {
    if node["Subplan Name"] == name {
        return node["Actual Rows"].as_f64().map(|rows| rows as i64);
    }
    node["Plans"].as_array().into_iter().flatten().find_map(|child| rows_of(child, name))
}
