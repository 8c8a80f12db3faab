//! `goodjob pause`, `unpause` and `pauses`, and limits as `goodjob enqueue` heeds them.

use goodjob_testkit::Database;
use serde_json::{Value, json};

use crate::command::goodjob;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_is_told_and_taken_back() {
    let database = Database::fresh().await;
    let url = database.url();
    let call = |args: &[&str]| goodjob(args.iter().copied()).env("DATABASE_URL", &url).run();
    let paused = |args: &[&str]| -> Value {
        serde_json::from_str(&call(&[args, &["--json"]].concat()).with(0).out).unwrap()
    };
    let nothing = json!({"queues": [], "job_classes": [], "labels": []});
    assert_eq!(paused(&["pauses"]), nothing);
    assert!(call(&["pauses"]).with(0).out.contains("nothing is paused"));
    let all = json!({"queues": ["mail", "mice"], "job_classes": ["A"], "labels": ["l"]});
    let three = ["pause", "--queue", "mice", "--queue", "mail", "--class", "A", "--label", "l"];
    assert_eq!(paused(&three), all);
    let text = call(&["pauses"]).with(0).out;
    assert!(text.contains("queue") && text.contains("mice") && text.contains("label"), "{text}");
    let left = call(&["unpause", "--queue", "mice", "--label", "m"]).with(0);
    assert!(left.err.contains("the label \"m\" was not paused"), "{left:?}");
    assert_eq!(paused(&["unpause", "--queue=mail", "--class=A", "--label=l"]), nothing);
    call(&["pause"]).with(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_heeds_the_limits_of_the_settings_file() {
    let database = Database::fresh().await;
    let url = database.url();
    let file = "[jobs.\"ChargeJob\"]\ncommand = [\"true\"]\n\
                limits = [{ key = \"shop-{shop}\", total = 1, strict = true }]";
    let enqueue = |shop: &str| {
        let arguments = json!({ "shop": shop }).to_string();
        goodjob(["enqueue", "ChargeJob", "--args", &arguments])
            .toml(file)
            .env("DATABASE_URL", &url)
            .run()
    };
    enqueue("a").with(0);
    enqueue("b").with(0);
    let stopped = enqueue("a").with(1);
    assert!(
        stopped.err.contains("the limit of 1 for the key \"shop-a\" is reached"),
        "{stopped:?}"
    );
    let pool = database.pool().await;
    let keys: Vec<String> =
        sqlx::query_scalar("SELECT concurrency_key FROM good_jobs ORDER BY concurrency_key")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(keys, ["shop-a", "shop-b"]);
    pool.close().await;
}

#[test]
fn wrong_limits_of_the_settings_file_are_told_before_anything_runs() {
    let file = "[jobs.\"ChargeJob\"]\ncommand = [\"true\"]\n\
                limits = [{ key = \"a\", total = -1 }, { label = \"b\", perform_throttle = { count = 0, per = \"1m\" } }]";
    let ended = goodjob(["start"]).toml(file).env("DATABASE_URL", "postgres://localhost/x").run();
    let ended = ended.with(78);
    assert!(ended.err.contains("goodjob.toml"), "{ended:?}");
    assert!(ended.err.contains("limits[0].total: found -1, expected a whole number"), "{ended:?}");
    assert!(ended.err.contains("limits[1].perform_throttle.count: found 0"), "{ended:?}");
}
