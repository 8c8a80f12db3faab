//! `goodjob cron`, and a worker that keeps the time.

use std::time::Duration;

use goodjob_testkit::{Database, Schema, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::{Ended, goodjob};
use crate::worker::Worker;

const TOML: &str = "
cron_time_zone = \"Europe/Paris\"
[cron.nightly]
cron = \"0 3 * * *\"
class = \"NightlyJob\"
args = [1]
kwargs = { size = 2 }
set = { queue = \"night\", priority = -5 }
description = \"Tidies up\"
[cron.hourly]
cron = \"every hour UTC\"
class = \"HourlyJob\"
enabled_by_default = false
";

fn run<const N: usize>(database: &Database, args: [&str; N]) -> Ended {
    goodjob(args).env("DATABASE_URL", &database.url()).toml(TOML).run()
}

fn rows(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_listed_switched_and_run() {
    for schema in [Schema::LEAN, Schema::GEM] {
        let database = Database::with_schema(schema).await;
        let list = || rows(&run(&database, ["cron", "list", "--json"]).with(0));
        let [hourly, nightly] = &list()[..] else { panic!("{:?}", list()) };
        assert_eq!(nightly["key"], "nightly");
        assert_eq!(nightly["zone"], "Europe/Paris");
        assert_eq!(nightly["description"], "Tidies up");
        assert_eq!((&nightly["enabled"], &nightly["last_job"]), (&json!(true), &Value::Null));
        assert_eq!((&hourly["zone"], &hourly["line"]), (&json!("UTC"), &json!("0 * * * *")));
        assert_eq!(
            (&hourly["enabled"], &hourly["enabled_by_default"]),
            (&json!(false), &json!(false))
        );
        let next: chrono::DateTime<chrono::Utc> =
            serde_json::from_value(hourly["next_at"].clone()).unwrap();
        assert!(next > chrono::Utc::now() && next.timestamp() % 3600 == 0, "{next}");

        let done = run(&database, ["cron", "disable", "nightly"]).with(0);
        assert_eq!(done.out, "nightly is switched off\n");
        let done = run(&database, ["cron", "enable", "hourly", "--json"]).with(0);
        assert_eq!(done.json(), json!({"key": "hourly", "enabled": true}));
        let enabled: Vec<Value> = list().iter().map(|row| row["enabled"].clone()).collect();
        assert_eq!(enabled, [json!(true), json!(false)]);

        // Also one that is switched off, and twice.
        let ids = [(), ()].map(|()| run(&database, ["cron", "run", "nightly"]).with(0).out);
        let shown = run(&database, ["jobs", "show", ids[1].trim(), "--json"]).with(0).json();
        assert_eq!(shown["cron_key"], "nightly");
        assert_eq!((&shown["queue"], &shown["priority"]), (&json!("night"), &json!(-5)));
        let last = list()[1].clone();
        assert_eq!(last["last_job"], ids[1].trim());
        assert_eq!(last["last_at"], shown["cron_at"]);
        let text = run(&database, ["cron", "list"]).with(0).out;
        assert!(text.contains("nightly") && text.contains("queued"), "{text}");
    }
}

#[tokio::test]
async fn an_unknown_entry_is_told_the_nearest_before_the_database_is_asked() {
    let nowhere = "postgres://ada@127.0.0.1:1/app";
    for command in ["enable", "disable", "run"] {
        let call = |key| {
            goodjob(["cron", command, key]).env("DATABASE_URL", nowhere).toml(TOML).run().with(2)
        };
        let message = "no cron entry has the key \"nigthly\"; did you mean nightly?";
        assert_eq!(call("nigthly").err, format!("goodjob: error: {message}\n"));
        assert!(call("x").err.contains("there are hourly, nightly"), "{:?}", call("x"));
    }
    let none = goodjob(["cron", "run", "x"]).env("DATABASE_URL", nowhere).run().with(2);
    assert!(none.err.contains("there are none"), "{none:?}");
}

#[test]
fn wrong_entries_stop_a_worker_with_all_that_is_wrong() {
    let ended = goodjob(["start", "--enable-cron"])
        .env("DATABASE_URL", "postgres://ada@127.0.0.1:1/app")
        .toml("[cron.a]\ncron = \"61 * * * *\"\nargs = 3\n[cron.b]\nclass = \"BJob\"")
        .run()
        .with(78);
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(
        lines,
        [
            "goodjob: error: goodjob.toml, cron.a.cron: found \"61 * * * *\": the minute is \"61\", \
             expected 0 to 59",
            "goodjob: error: goodjob.toml, cron.a.class: found none, expected the class of the jobs",
            "goodjob: error: goodjob.toml, cron.a.args: found 3, expected a list",
            "goodjob: error: goodjob.toml, cron.b.cron: found none, expected a line such as \"0 3 * * *\"",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_the_time_where_it_is_told_to() {
    let database = Database::fresh().await;
    let pool = database.pool().await;
    let entries =
        r#"{"each": {"cron": "* * * * * *", "class": "SleepJob", "kwargs": {"seconds": 0}}}"#;
    let finished = async || -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM good_jobs WHERE cron_key = 'each' AND finished_at IS NOT NULL",
        )
        .fetch_one(&pool)
        .await
        .unwrap()
    };
    let variables = [("GOOD_JOB_CRON", entries)];
    let worker = Worker::start_with("start --enable-cron", &database.url(), &variables);
    eventually("two ticks have run", Duration::from_secs(30), async || {
        (finished().await >= 2).then_some(())
    })
    .await;
    let enabled: bool = sqlx::query_scalar(
        "SELECT bool_and((state->>'cron_enabled')::boolean) FROM good_job_processes",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(enabled, "the dashboard is told");
    worker.signal(Signal::TERM);
    let (code, log) = worker.end();
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(
        log.iter().any(|line| line.contains("cron entry") && line.contains("each")),
        "{log:#?}"
    );
    pool.close().await;
}
