use serde_json::Value;

use crate::command::goodjob;

#[test]
fn without_a_database_each_command_says_what_to_set() {
    for command in ["start", "status", "doctor", "migrate"] {
        let ended = goodjob([command]).run().with(78);
        assert!(ended.err.contains("no database: set DATABASE_URL"), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
    goodjob(["enqueue", "HelloJob"]).run().with(78);
}

#[test]
fn a_server_that_does_not_answer_may_answer_later() {
    let url = "postgres://ada:s3cret@127.0.0.1:1/app";
    for command in ["start", "status", "migrate"] {
        let ended = goodjob([command]).env("DATABASE_URL", url).run().with(69);
        assert!(ended.err.contains("ada@127.0.0.1:1/app"), "{ended:?}");
        assert!(!ended.err.contains("s3cret"), "{ended:?}");
    }
    goodjob(["enqueue", "HelloJob"]).env("DATABASE_URL", url).run().with(69);
    // libpq's variables are as good.
    let ended = goodjob(["status"]).env("PGHOST", "127.0.0.1").env("PGPORT", "1").run().with(69);
    assert!(ended.err.contains("127.0.0.1:1"), "{ended:?}");
    goodjob(["doctor"]).env("DATABASE_URL", url).run().with(3);
}

#[test]
fn not_even_the_fullest_log_shows_a_password() {
    let url = "postgres://ada:s3cret@127.0.0.1:1/app?sslpassword=s3cret";
    for command in [["-vv", "start"], ["-vv", "enqueue"], ["config", "show"]] {
        let ended = goodjob(command).env("DATABASE_URL", url).env("RUST_LOG", "trace").run();
        assert!(!format!("{ended:?}").contains("s3cret"), "{ended:?}");
    }
}

#[test]
fn a_wrong_queue_string_is_shown_with_its_position() {
    let message = "queue string \"mice:2;elephants:x\", character 18: found \"x\", \
                   expected a number of threads, 1 or more";
    let flag = goodjob(["start", "--queues", "mice:2;elephants:x"]).run().with(2);
    assert_eq!(flag.err, format!("goodjob: error: --queues: {message}\n"));
    let variable = goodjob(["start"]).env("GOOD_JOB_QUEUES", "mice:2;elephants:x").run().with(78);
    assert_eq!(variable.err, format!("goodjob: error: GOOD_JOB_QUEUES: {message}\n"));
}

#[test]
fn every_problem_is_shown_at_once() {
    let ended = goodjob(["start", "--shutdown-timeout", "soon"])
        .env("GOOD_JOB_MAX_THREADS", "0")
        .toml("poll_interval = \"often\"\ndatabase_url = \"mysql://x\"")
        .run()
        .with(78);
    let lines: Vec<_> = ended.err.lines().collect();
    assert_eq!(lines.len(), 4, "{ended:?}");
    for place in ["--shutdown-timeout", "GOOD_JOB_MAX_THREADS", "poll_interval", "database_url"] {
        assert!(lines.iter().any(|line| line.contains(place)), "{place} in {ended:?}");
    }
}

#[test]
fn shown_settings_name_their_place() {
    let shown = goodjob(["config", "show", "--json", "--queues", "-elephants:2"])
        .env("GOOD_JOB_SHUTDOWN_TIMEOUT", "30")
        .toml("max_threads = 2")
        .run()
        .with(0)
        .json();
    let setting = |name: &str| (shown[name]["value"].clone(), shown[name]["from"].clone());
    let pair = |value: &str, from: &str| (Value::from(value), Value::from(from));
    assert_eq!(setting("queues"), pair("-elephants:2", "--queues"));
    assert_eq!(setting("shutdown_timeout"), pair("30", "GOOD_JOB_SHUTDOWN_TIMEOUT"));
    assert_eq!(setting("max_threads"), pair("2", "goodjob.toml, max_threads"));
    assert_eq!(setting("pool_size"), pair("4", "default"));
    assert_eq!(setting("database_url"), (Value::Null, Value::from("default")));
    let text = goodjob(["config", "show"]).run().with(0).out;
    assert!(text.contains("poll_interval"), "{text}");
}

#[test]
fn checking_finds_what_elsewhere_only_warns() {
    goodjob(["config", "check"]).run().with(0);
    let ended = goodjob(["config", "check"]).env("GOOD_JOB_MAX_TREADS", "3").run().with(3);
    assert!(ended.out.contains("did you mean GOOD_JOB_MAX_THREADS?"), "{ended:?}");
    let wrong = goodjob(["config", "check", "--json"]).toml("queues = \":\"").run().with(3);
    assert_eq!(wrong.json()["problems"].as_array().unwrap().len(), 1, "{wrong:?}");
    let start = goodjob(["start"]).env("GOOD_JOB_QUEUS", "mice").run().with(78);
    assert!(
        start.err.contains("warning: GOOD_JOB_QUEUS: the name is GOOD_JOB_QUEUES"),
        "{start:?}"
    );
}

#[test]
fn a_settings_file_that_was_named_has_to_be_there() {
    let flag = goodjob(["--config", "other.toml", "config", "show"]).run().with(2);
    assert!(flag.err.contains("--config: cannot read other.toml"), "{flag:?}");
    let variable = goodjob(["config", "show"]).env("GOOD_JOB_CONFIG", "other.toml").run().with(78);
    assert!(variable.err.contains("GOOD_JOB_CONFIG: cannot read other.toml"), "{variable:?}");
    let mut broken = goodjob(["config", "show"]).toml("queues = \"mice\"\nmax_threads = = 3");
    let broken = broken.run().with(78);
    assert!(broken.err.contains("goodjob.toml: ") && broken.err.contains("line 2"), "{broken:?}");
}
