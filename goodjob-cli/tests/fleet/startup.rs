//! Why a worker does not start: one clear line with what to do, and a code for the supervisor.

use goodjob_testkit::{Database, Schema};

use crate::command::{Ended, goodjob};

fn start(url: &str) -> Ended {
    goodjob(["start", "--max-threads=1"]).env("DATABASE_URL", url).run()
}

#[track_caller]
fn assert_one_line(ended: Ended, code: i32, parts: &[&str]) {
    let ended = ended.with(code);
    println!("{code}: {}", ended.err.trim_end());
    assert_eq!((ended.err.trim_end().lines().count(), ended.out.as_str()), (1, ""), "{ended:#?}");
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} in {ended:#?}");
    }
    assert!(!ended.err.contains("hush"), "{ended:#?}");
}

#[test]
fn no_database_and_no_server_are_told_apart() {
    assert_one_line(goodjob(["start"]).run(), 78, &["no database", "DATABASE_URL"]);
    let nobody = "postgres://ann:hush@127.0.0.1:1/shop";
    assert_one_line(
        start(nobody),
        69,
        &["cannot reach Postgres at ann@127.0.0.1:1/shop", "running"],
    );
    let nowhere = "postgres://ann:hush@goodjob.invalid/shop";
    assert_one_line(start(nowhere), 69, &["cannot reach Postgres at ann@goodjob.invalid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_named() {
    let database = Database::empty().await;
    let gone = database.url().replace("/goodjob_test", "/goodjob_gone");
    assert_one_line(start(&gone), 78, &["refuses the connection", "does not exist"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_missing_older_or_newer_say_what_to_run() {
    let empty = Database::empty().await;
    assert_one_line(start(&empty.url()), 78, &["tables are missing", "goodjob migrate"]);

    let older = Database::fresh().await;
    change(&older, "ALTER TABLE good_jobs DROP COLUMN labels").await;
    assert_one_line(start(&older.url()), 78, &["lack good_jobs.labels", "goodjob migrate"]);

    let newer = Database::fresh().await;
    change(&newer, "INSERT INTO goodjob_migrations (name) VALUES ('9999_from_the_future')").await;
    assert_one_line(start(&newer.url()), 78, &["newer goodjob (9999_from_the_future)", "upgrade"]);

    // More than is known is fine: the next version of the gem adds columns while we run.
    let wider = Database::fresh().await;
    change(&wider, "ALTER TABLE good_jobs ADD COLUMN of_tomorrow text").await;
    let once = ["start", "--once", "--quiet"];
    goodjob(once).env("DATABASE_URL", &wider.url()).run().with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_no_place_for_a_worker() {
    let database = Database::fresh().await;
    let name = database.url();
    let name = name.split(['/', '?']).find(|part| part.starts_with("goodjob_test")).unwrap();
    change(&database, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .await;
    assert_one_line(start(&database.url()), 78, &["is read-only", "primary"]);
}

/// Those of a gem before 4.15: what is missing, what that costs and how to mend it, in one line.
#[tokio::test(flavor = "multi_thread")]
async fn tables_from_before_the_lock_type_are_warned_of_once() {
    let older = Database::with_schema(Schema::GEM_V4_0).await;
    let ended = goodjob(["start", "--once"]).env("DATABASE_URL", &older.url()).run().with(0);
    let warnings: Vec<&str> = ended.err.lines().filter(|line| line.contains("WARN")).collect();
    let about: Vec<&&str> = warnings.iter().filter(|line| line.contains("lock_type")).collect();
    let [warning] = about[..] else { panic!("{ended:#?}") };
    for part in [
        "no good_jobs.lock_type, as before GoodJob 4.15",
        "Ruby's workers lock by advisory alone",
        "freed after 5 minutes instead of 15 seconds",
        "run the gem's update migrations",
    ] {
        assert!(warning.contains(part), "{part:?} in {warning:?}");
    }
    let doctor = goodjob(["doctor"]).env("DATABASE_URL", &older.url()).run();
    assert!(doctor.out.contains("good_jobs.lock_type is missing"), "{doctor:#?}");

    let newer = Database::with_schema(Schema::GEM).await;
    let ended = goodjob(["start", "--once"]).env("DATABASE_URL", &newer.url()).run().with(0);
    assert!(!ended.err.contains("lock_type"), "{ended:#?}");
}

/// H9: the gem's own processes disagree about the keys of locks then.
#[tokio::test(flavor = "multi_thread")]
async fn another_hash_function_than_the_gems_default_is_warned_of() {
    let database = Database::with_schema(Schema::GEM).await;
    let once = |function: &str| {
        let mut start = goodjob(["start", "--once"]).env("DATABASE_URL", &database.url());
        start = start.env("GOOD_JOB_HASH_FUNCTION", function);
        start.run().with(0).err
    };
    let warned = once("hashtext");
    assert!(warned.contains("Ruby workers that lock by hybrid use md5"), "{warned}");
    assert!(!once("md5").contains("use md5 whatever"), "the default");
}

async fn change(database: &Database, statement: &str) {
    let pool = database.pool().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    pool.close().await;
}
