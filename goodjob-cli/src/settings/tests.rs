use std::collections::BTreeMap;
use std::time::Duration;

use goodjob_core::{Config, Preserve, Retention, Shutdown, Unhandled};
use goodjob_postgres::LockStrategy;
use proptest::prelude::*;

use super::*;

/// Settings from the three places where they can be written.
fn load(
    flags: &[(&'static str, &str)],
    variables: &[(&str, &str)],
    toml: &str,
) -> Result<Loaded, Problems> {
    let flags: BTreeMap<_, _> = flags.iter().map(|(name, text)| (*name, (*text).into())).collect();
    let environment = variables.iter().copied().collect();
    let file = SettingsFile { path: "goodjob.toml".into(), text: toml.into() };
    Settings::load(&flags, &environment, Some(&file))
}

fn settings(flags: &[(&'static str, &str)], variables: &[(&str, &str)], toml: &str) -> Settings {
    load(flags, variables, toml).unwrap().settings
}

fn problems(flags: &[(&'static str, &str)], variables: &[(&str, &str)], toml: &str) -> Vec<String> {
    load(flags, variables, toml).unwrap_err().0.iter().map(ToString::to_string).collect()
}

fn warnings(variables: &[(&str, &str)], toml: &str) -> Vec<String> {
    load(&[], variables, toml).unwrap().warnings.iter().map(ToString::to_string).collect()
}

fn queues(settings: &Settings) -> String {
    settings.queues.to_string()
}

#[test]
fn without_a_word_the_defaults_are_the_engines() {
    let settings = settings(&[], &[], "");
    assert_eq!(settings.config(), Config::default());
    assert_eq!(settings.shutdown, Shutdown::Forever);
    assert_eq!(settings.idle_timeout, None);
    assert!(settings.database.is_none());
    assert!(Settings::load(&BTreeMap::new(), &Environment::default(), None).is_ok());
}

#[test]
fn without_a_word_the_database_is_used_as_the_store_would_by_itself() {
    let url = "postgres://ada@db/app";
    let ours = settings(&[("database_url", url)], &[], "").database.unwrap();
    let theirs = PgOptions::from_url(url).unwrap();
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_defaults() {
    let flag: &[(&str, &str)] = &[("queues", "flag")];
    let variable: &[(&str, &str)] = &[("GOOD_JOB_QUEUES", "variable")];
    let file = "queues = \"file\"";
    assert_eq!(queues(&settings(flag, variable, file)), "flag");
    assert_eq!(queues(&settings(&[], variable, file)), "variable");
    assert_eq!(queues(&settings(&[], &[], file)), "file");
    assert_eq!(queues(&settings(&[], &[], "")), "*");
}

#[test]
fn the_gems_variables_are_read_and_an_empty_one_counts_as_unset() {
    let threads = |variables: &[(&str, &str)]| settings(&[], variables, "").max_threads.get();
    assert_eq!(threads(&[("RAILS_MAX_THREADS", "7")]), 7);
    assert_eq!(threads(&[("RAILS_MAX_THREADS", "7"), ("GOOD_JOB_MAX_THREADS", "8")]), 8);
    assert_eq!(threads(&[("RAILS_MAX_THREADS", "7"), ("GOOD_JOB_MAX_THREADS", "")]), 7);
    let all = settings(
        &[],
        &[
            ("GOOD_JOB_QUEUES", "mice:2;elephants:1"),
            ("GOOD_JOB_POLL_INTERVAL", "20"),
            ("GOOD_JOB_MAX_CACHE", "0"),
            ("GOOD_JOB_SHUTDOWN_TIMEOUT", "2.5"),
            ("GOOD_JOB_IDLE_TIMEOUT", "5m"),
            ("GOOD_JOB_QUEUE_SELECT_LIMIT", "50"),
            ("GOOD_JOB_ENABLE_LISTEN_NOTIFY", "f"),
            ("GOOD_JOB_LOCK_STRATEGY", "skiplocked"),
            ("DATABASE_URL", "postgres://ada@db/app"),
        ],
        "",
    );
    assert_eq!(queues(&all), "mice:2;elephants:1");
    assert_eq!(all.poll_interval, Some(Duration::from_secs(20)));
    assert_eq!(all.max_cache, 0);
    assert_eq!(all.shutdown, Shutdown::After(Duration::from_millis(2_500)));
    assert_eq!(all.idle_timeout, Some(Duration::from_secs(300)));
    let database = all.database.unwrap();
    assert_eq!(database.queue_select_limit, 50);
    assert!(!database.listen_notify);
    assert_eq!(database.lock_strategy, LockStrategy::SkipLocked);
    assert_eq!(database.target(), "ada@db:5432/app");
}

#[test]
fn sentinels_become_what_they_mean() {
    for off in ["-1", "0", "false"] {
        assert_eq!(settings(&[("poll_interval", off)], &[], "").poll_interval, None, "{off}");
    }
    assert_eq!(settings(&[], &[], "poll_interval = false").poll_interval, None);
    assert_eq!(settings(&[], &[], "poll_interval = \"\"").poll_interval, None);
    assert_eq!(settings(&[("idle_timeout", "-1")], &[], "").idle_timeout, None);
    assert_eq!(settings(&[("shutdown_timeout", "-1")], &[], "").shutdown, Shutdown::Forever);
    assert_eq!(settings(&[("shutdown_timeout", "0")], &[], "").shutdown, Shutdown::Now);
    assert_eq!(queues(&settings(&[("queues", "")], &[], "")), "*");
    assert_eq!(
        settings(&[], &[], "retry_on_unhandled_error = true").unhandled,
        Unhandled::RetryAtOnce
    );
}

#[test]
fn what_is_kept_is_read_in_the_gems_words() {
    let preserve =
        |text: &str| settings(&[], &[("GOOD_JOB_PRESERVE_JOB_RECORDS", text)], "").preserve;
    assert_eq!(preserve("true"), Preserve::Always);
    assert_eq!(preserve("false"), Preserve::Never);
    assert_eq!(preserve("on_unhandled_error"), Preserve::OnUnhandledError);
    assert_eq!(settings(&[], &[], "preserve_job_records = false").preserve, Preserve::Never);

    let kept = settings(
        &[],
        &[("GOOD_JOB_CLEANUP_DISCARDED_JOBS", "false")],
        "cleanup_preserved_jobs_before_seconds_ago = \"2d\"",
    );
    let two_days = Duration::from_secs(2 * 24 * 60 * 60);
    assert_eq!(kept.cleanup.retention, Retention { age: two_days, keep_discarded: true });
    let found = problems(
        &[("cleanup_preserved_jobs_before_seconds_ago", "-1")],
        &[("GOOD_JOB_PRESERVE_JOB_RECORDS", "on_error"), ("GOOD_JOB_CLEANUP_INTERVAL_JOBS", "-2")],
        "cleanup_interval_seconds = \"often\"",
    );
    assert_eq!(
        found,
        [
            "GOOD_JOB_PRESERVE_JOB_RECORDS: found \"on_error\", \
             expected true, false or on_unhandled_error",
            "--before-seconds-ago: found \"-1\", expected a time such as 1209600 or 14d",
            "GOOD_JOB_CLEANUP_INTERVAL_JOBS: found \"-2\", \
             expected a whole number such as 1000, false for never, or -1 for always",
            "goodjob.toml, cleanup_interval_seconds: found \"often\", \
             expected a time such as 600 or 10m, false for never, or -1 for always",
        ]
    );
}

#[test]
fn clean_ups_come_always_never_or_at_intervals() {
    let intervals = |value: &str| {
        let toml = format!("cleanup_interval_jobs = {value}\ncleanup_interval_seconds = {value}");
        let cleanup = settings(&[], &[], &toml).cleanup;
        (cleanup.interval_jobs, cleanup.interval.map(|interval| interval.as_secs()))
    };
    for never in ["0", "false", "\"off\""] {
        assert_eq!(intervals(never), (None, None), "{never}");
    }
    assert_eq!(intervals("-1"), (Some(0), Some(0)));
    assert_eq!(intervals("50"), (Some(50), Some(50)));
    for default in ["true", "\"\""] {
        assert_eq!(intervals(default), (Some(1_000), Some(600)), "{default}");
    }
}

#[test]
fn a_queue_named_like_a_number_stays_a_name() {
    assert_eq!(queues(&settings(&[], &[("GOOD_JOB_QUEUES", "1e3")], "")), "1e3");
}

#[test]
fn the_announcements_spelling_is_read_with_a_warning() {
    let misspelt = ("GOOD_JOB_QUEUS", "mice");
    assert_eq!(queues(&settings(&[], &[misspelt], "")), "mice");
    assert_eq!(
        warnings(&[misspelt], ""),
        ["GOOD_JOB_QUEUS: the name is GOOD_JOB_QUEUES; it was read all the same"]
    );
    let both = [misspelt, ("GOOD_JOB_QUEUES", "elephants")];
    assert_eq!(queues(&settings(&[], &both, "")), "elephants");
    assert!(warnings(&both, "")[0].contains("ignored, because GOOD_JOB_QUEUES is set"));
    assert_eq!(queues(&settings(&[("queues", "whales")], &both, "")), "whales");
}

#[test]
fn every_problem_is_reported_with_its_place_what_was_found_and_what_was_expected() {
    let found = problems(
        &[("queues", "mice:0"), ("shutdown_timeout", "soon")],
        &[("GOOD_JOB_MAX_THREADS", "many"), ("GOOD_JOB_IDLE_TIMEOUT", "0")],
        "lock_strategy = \"hybird\"\nmax_cache = [1]\nenable_listen_notify = \"flase\"",
    );
    assert_eq!(
        found,
        [
            "goodjob.toml, lock_strategy: found \"hybird\", expected hybrid, advisory or skiplocked",
            "goodjob.toml, enable_listen_notify: found \"flase\", expected true or false",
            "--queues: queue string \"mice:0\", character 6: found \"0\", \
             expected a number of threads, 1 or more",
            "GOOD_JOB_MAX_THREADS: found \"many\", expected a whole number, 1 or more",
            "goodjob.toml, max_cache: found a table or a list, expected one value",
            "--shutdown-timeout: found \"soon\", expected a time such as 30 or 30s, \
             -1 to wait for ever, or 0 not to wait",
            "GOOD_JOB_IDLE_TIMEOUT: found \"0\", expected a time above 0 such as 300 or 5m, \
             or -1 for never",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_names_the_line() {
    let found = problems(&[], &[], "queues = \"mice\"\nmax_threads = = 5");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("goodjob.toml: "), "{found:?}");
    assert!(found[0].contains("line 2"), "{found:?}");
}

#[test]
fn unknown_keys_and_variables_are_warned_of_with_the_nearest_name() {
    let toml = "max_thread = 3\nzebra = 1\n[jobs]\n";
    let variables = [
        ("GOOD_JOB_MAX_TREADS", "3"),
        ("GOODJOB_POLL_INTERVAL", "3"),
        ("GOOD_JOB_ENABLE_PAUSES", "true"),
        ("GOOD_JOB_XYZZY_PLUGH_AND_MORE", "1"),
        ("PATH", "/bin"),
        ("RAILS_ENV", "test"),
    ];
    assert_eq!(
        warnings(&variables, toml),
        [
            "GOODJOB_POLL_INTERVAL: no such setting; did you mean GOOD_JOB_POLL_INTERVAL?",
            "GOOD_JOB_ENABLE_PAUSES: is read by the gem only and has no effect here",
            "GOOD_JOB_MAX_TREADS: no such setting; did you mean GOOD_JOB_MAX_THREADS?",
            "GOOD_JOB_XYZZY_PLUGH_AND_MORE: no such setting",
            "goodjob.toml, max_thread: no such setting; did you mean max_threads?",
            "goodjob.toml, zebra: no such setting; \"goodjob config show\" lists them",
        ]
    );
}

#[test]
fn a_handlers_own_variables_are_no_typos() {
    let variables = [("GOOD_JOB_ID", "1"), ("GOOD_JOB_QUEUE", "mice"), ("GOOD_JOB_CLASS", "A")];
    assert_eq!(warnings(&variables, ""), [""; 0]);
    assert_eq!(warnings(&variables[1..2], "").len(), 1);
}

/// Each way to mistype `word` by one letter.
fn slips(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let join = |letters: Vec<char>| letters.into_iter().collect::<String>();
    let mut all = Vec::new();
    for n in 0..letters.len() {
        let (mut dropped, mut doubled, mut swapped) =
            (letters.clone(), letters.clone(), letters.clone());
        dropped.remove(n);
        doubled.insert(n, letters[n]);
        swapped.swap(n, (n + 1) % letters.len());
        all.extend([join(dropped), join(doubled), join(swapped)]);
    }
    all.retain(|slip| slip != word);
    all
}

#[test]
fn no_slip_of_a_letter_in_any_name_goes_unnoticed() {
    for key in KEYS {
        for slip in slips(key.name) {
            assert_eq!(warnings(&[], &format!("{slip} = 1")).len(), 1, "{slip}");
        }
        for slip in slips(key.variables[0]) {
            assert_eq!(warnings(&[(&slip, "1")], "").len(), 1, "{slip}");
        }
    }
}

#[test]
fn a_database_is_looked_for_from_the_clearest_name_to_libpqs() {
    let target = |variables: &[(&str, &str)]| {
        settings(&[], variables, "database_url = \"postgres://u@file/d\"")
            .database
            .unwrap()
            .target()
    };
    let ours = ("GOOD_JOB_DATABASE_URL", "postgres://u@ours/d");
    let common = ("DATABASE_URL", "postgres://u@common/d");
    assert_eq!(target(&[ours, common]), "u@ours:5432/d");
    assert_eq!(target(&[common, ("PGHOST", "libpq")]), "u@common:5432/d");
    assert_eq!(target(&[("PGHOST", "libpq")]), "u@file:5432/d");
    let libpq = load(&[], &[("PGHOST", "libpq"), ("PGDATABASE", "app")], "").unwrap();
    assert!(libpq.settings.database.is_some());
    assert_eq!(libpq.shown[0].place, Place::Variable("PGHOST, PGDATABASE".into()));
}

#[test]
fn a_password_is_shown_nowhere() {
    let url = "postgres://ada:s3cret@db/app";
    let loaded = load(&[("database_url", url)], &[("DATABASE_URL", url)], "").unwrap();
    assert!(!format!("{loaded:?}").contains("s3cret"));
    assert_eq!(loaded.shown[0].text.as_deref(), Some("ada@db:5432/app"));
    for wrong in [
        "ada:s3cret@db",
        "postgres://ada:s3cret@db:port/app",
        "mysql://ada:s3cret@db",
        "postgres://ada:s3cret/4@db/app",
        "postgres://ada:5432/s3cret@db/app",
        "postgres://ada:1?s3cret@db/app",
    ] {
        let found = problems(&[("database_url", wrong)], &[], "");
        assert!(!found.concat().contains("s3cret"), "{found:?}");
    }
}

#[test]
fn class_names_keep_their_case_and_their_colons() {
    let toml = "[jobs.\"Billing::InvoiceJob\"]\ncommand = [\"true\"]\n[jobs.\"a.b\"]\nurl = \"x\"";
    let classes: Vec<_> = settings(&[], &[], toml).jobs.into_keys().collect();
    assert_eq!(classes, ["Billing::InvoiceJob", "a.b"]);
    assert!(problems(&[], &[], "jobs = 3")[0].starts_with("goodjob.toml, jobs: expected tables"));
}

#[test]
fn every_setting_is_shown_once_with_its_place() {
    let shown =
        load(&[("queues", "a")], &[("GOOD_JOB_MAX_THREADS", "2")], "max_cache = 1").unwrap().shown;
    let names: Vec<_> = shown.iter().map(|shown| shown.key.name).collect();
    assert_eq!(names, KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
    let place = |name| {
        shown.iter().find(|shown| shown.key.name == name).map(|shown| shown.place.to_string())
    };
    assert_eq!(place("queues").unwrap(), "--queues");
    assert_eq!(place("max_threads").unwrap(), "GOOD_JOB_MAX_THREADS");
    assert_eq!(place("max_cache").unwrap(), "goodjob.toml, max_cache");
    assert_eq!(place("pool_size").unwrap(), "default");
}

#[test]
fn cron_entries_come_from_the_environment_or_else_from_the_file() {
    const FILE: &str = "[cron.nightly]\ncron = \"0 3 * * *\"\nclass = \"NightlyJob\"\n\
                        kwargs = { Size = 2 }\nset = { queue = \"night\", wait = \"5m\" }";
    let keys = |settings: &Settings| -> Vec<String> {
        settings.cron.iter().map(|entry| entry.key().to_owned()).collect()
    };
    let off = settings(&[], &[], FILE);
    assert_eq!(keys(&off), ["nightly"]);
    assert_eq!(off.config().cron, goodjob_core::Cron::default(), "off unless it is switched on");
    let on = settings(&[("enable_cron", "true")], &[("TZ", "Europe/Paris")], FILE);
    let cron = on.config().cron;
    assert_eq!(cron.zone.to_string(), "Europe/Paris");
    assert_eq!((cron.entries.len(), cron.graceful_restart), (1, None));
    let job = cron.entries[0].job(goodjob_core::Timestamp::UNIX_EPOCH).unwrap().unwrap();
    assert_eq!(job.arguments.as_stored()[0]["Size"], 2, "keys keep their case");

    let json = r#"{"other": {"cron": "@hourly", "class": "OtherJob"}}"#;
    let variables = [
        ("GOOD_JOB_CRON", json),
        ("GOOD_JOB_ENABLE_CRON", "1"),
        ("GOOD_JOB_CRON_GRACEFUL_RESTART_PERIOD", "5m"),
        ("GOOD_JOB_CRON_TIME_ZONE", "Asia/Tokyo"),
        ("TZ", "Europe/Paris"),
    ];
    let of_variables = settings(&[], &variables, FILE);
    assert_eq!(keys(&of_variables), ["other"]);
    let cron = of_variables.config().cron;
    assert_eq!(cron.zone.to_string(), "Asia/Tokyo");
    assert_eq!(cron.graceful_restart, Some(Duration::from_secs(300)));
    // What else TZ may hold is none of our business.
    assert_eq!(settings(&[], &[("TZ", ":/etc/localtime")], "").cron_zone, None);
}

#[test]
fn wrong_cron_entries_are_told_with_all_other_problems() {
    let toml = "max_threads = 0\ncron_time_zone = \"Paris\"\ncron_graceful_restart_period = \"soon\"\n\
                [cron.\"a b\"]\ncron = \"every blue moon\"\nclas = \"AJob\"";
    let found = problems(&[("enable_cron", "maybe")], &[], toml);
    let expected = [
        "goodjob.toml, max_threads: found \"0\"",
        "--enable-cron: found \"maybe\", expected true or false",
        "goodjob.toml, cron.\"a b\".clas: no such key; did you mean class?",
        "goodjob.toml, cron.\"a b\".cron: found \"every blue moon\": expected a sentence such as",
        "goodjob.toml, cron.\"a b\".class: found none",
        "goodjob.toml, cron_time_zone: found \"Paris\", expected a time zone such as Europe/Paris or UTC; \
         did you mean Europe/Paris?",
        "goodjob.toml, cron_graceful_restart_period: found \"soon\", expected a time such as 300",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
    let list = problems(&[], &[], "cron = [1]");
    assert_eq!(list, ["goodjob.toml, cron: found a list, expected tables such as [cron.nightly]"]);
}

#[test]
fn every_setting_is_documented() {
    let docs = include_str!("../../../docs/configuration.md");
    for key in KEYS {
        let names = [Some(format!("`{}`", key.name)), key.long().map(|long| format!("`--{long}`"))];
        let variables = key.variables.iter().map(|variable| format!("`{variable}`"));
        for name in names.into_iter().flatten().chain(variables) {
            assert!(docs.contains(&name), "docs/configuration.md lacks {name}");
        }
    }
}

proptest! {
    #[test]
    fn no_file_makes_the_loader_panic(toml in "(([a-z_.\"\\[\\]]{1,12} ?= ?)?[ -~é\n]{0,20}\n){0,6}") {
        let _ = load(&[], &[], &toml);
    }

    #[test]
    fn no_value_makes_the_loader_panic(
        key in 0..KEYS.len(),
        text in prop_oneof![any::<String>(), "-?[0-9]{0,25}(\\.[0-9]{0,5})?[smhdy]{0,2}"],
    ) {
        let name = KEYS[key].name;
        let _ = load(&[(name, &text)], &[], "");
        let _ = load(&[], &[(KEYS[key].variables[0], &text)], "");
        let _ = load(&[], &[], &format!("{name} = {text}"));
        let _ = load(&[], &[], &format!("{name} = {text:?}"));
    }
}
