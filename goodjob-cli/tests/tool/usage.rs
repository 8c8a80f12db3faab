use crate::command::goodjob;

#[test]
fn every_command_explains_itself_with_an_example() {
    let commands: &[&[&str]] = &[
        &["start"],
        &["migrate"],
        &["doctor"],
        &["enqueue"],
        &["status"],
        &["explain"],
        &["queues", "explain"],
        &["jobs", "list"],
        &["jobs", "show"],
        &["jobs", "retry"],
        &["jobs", "discard"],
        &["jobs", "reschedule"],
        &["jobs", "delete"],
        &["cron", "list"],
        &["cron", "enable"],
        &["cron", "disable"],
        &["cron", "run"],
        &["pause"],
        &["unpause"],
        &["pauses"],
        &["cleanup-preserved-jobs"],
        &["exec"],
        &["config", "show"],
        &["config", "check"],
        &["completions"],
        &["man"],
    ];
    let overview = goodjob(["--help"]).run().with(0).out;
    for &command in commands {
        assert!(overview.contains(&format!("  {}", command[0])), "{command:?} in {overview}");
        let help = match command {
            [one] => goodjob([one, "--help"]).run(),
            [one, two, ..] => goodjob([one, two, "--help"]).run(),
            [] => unreachable!(),
        };
        let help = help.with(0).out;
        assert!(help.contains("Example"), "{command:?}: {help}");
        assert!(help.contains("--database-url"), "{command:?}: {help}");
    }
}

#[test]
fn the_help_of_start_shows_defaults_variables_and_units() {
    let help = goodjob(["worker", "--help"]).run().with(0).out;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "--max-threads <NUMBER>",
        "[default: 5] [env: GOOD_JOB_MAX_THREADS, RAILS_MAX_THREADS]",
        "Seconds between polls",
        "[env: GOOD_JOB_QUEUES]",
        "--enable-listen-notify",
        "--once",
    ] {
        assert!(help.contains(part), "{part:?} in {help}");
    }
    assert!(!help.contains("GOOD_JOB_QUEUS]"), "{help}");
}

#[test]
fn a_wrong_command_line_is_usage_and_suggests_the_right_one() {
    let ended = goodjob(["strat"]).run().with(2);
    assert!(ended.err.contains("start"), "{ended:?}");
    assert!(ended.out.is_empty());
    let ended = goodjob(["start", "--queue", "mice"]).run().with(2);
    assert!(ended.err.contains("--queues"), "{ended:?}");
    goodjob([]).run().with(2);
    goodjob(["start", "-q", "-v"]).run().with(2);
    goodjob(["migrate", "--sql", "--dry-run"]).run().with(2);
    goodjob(["enqueue", "A", "--wait", "5", "--wait-until", "2030-01-31T09:00:00Z"]).run().with(2);
}

#[test]
fn wrong_json_is_shown_by_line_and_column() {
    let ended = goodjob(["enqueue", "HelloJob", "--args", "{\"name\":\n 1,}"]).run().with(2);
    assert!(ended.err.contains("line 2 column 4"), "{ended:?}");
    let ended = goodjob(["enqueue", "HelloJob", "--args", "3"]).run().with(2);
    assert!(ended.err.contains("expected a JSON array or object"), "{ended:?}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    assert!(goodjob(["completions", "bash"]).run().with(0).out.contains("goodjob"));
    let mut man = goodjob(["man", "."]);
    man.run().with(0);
    let page = std::fs::read_to_string(man.directory().join("goodjob-start.1")).unwrap();
    assert!(page.contains("shutdown\\-timeout"), "{page}");
    let ended = goodjob(["man", "nowhere"]).run().with(1);
    assert!(ended.err.contains("nowhere"), "{ended:?}");
}

#[test]
fn the_sql_of_the_tables_is_printed_without_a_database() {
    let sql = goodjob(["migrate", "--sql"]).run().with(0).out;
    assert!(sql.contains("CREATE TABLE"), "{sql}");
    let all = goodjob(["migrate", "--sql", "--gem-indexes"]).run().with(0).out;
    assert!(all.len() > sql.len());
}

#[test]
fn trying_an_unknown_class_fails_and_names_those_known() {
    let ended = goodjob(["exec", "--class", "HelloJob"]).run().with(1);
    assert!(ended.err.contains("no handler for \"HelloJob\"; known: none"), "{ended:?}");
}
