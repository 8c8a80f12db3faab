//! The invariants of docs/ARCHITECTURE.md that no other test sees, each under its name.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::tree::{File, files, read, top};

/// What a person has to read to understand how a job is found, locked, done and written down.
const WAIST: [&str; 21] = [
    "goodjob-core/src/queue.rs",
    "goodjob-core/src/adapter.rs",
    "goodjob-core/src/store.rs",
    "goodjob-core/src/store/claim.rs",
    "goodjob-core/src/store/settle.rs",
    "goodjob-core/src/notifier.rs",
    "goodjob-core/src/capsule/scheduler.rs",
    "goodjob-core/src/capsule/poller.rs",
    "goodjob-core/src/capsule/timetable.rs",
    "goodjob-core/src/capsule/performer.rs",
    "goodjob-core/src/capsule/attempt.rs",
    "goodjob-core/src/capsule/settler.rs",
    "goodjob-core/src/capsule/heart.rs",
    "goodjob-postgres/src/claim.rs",
    "goodjob-postgres/src/settle.rs",
    "goodjob-postgres/src/upcoming.rs",
    "goodjob-postgres/src/herald.rs",
    "goodjob-postgres/src/sessions.rs",
    "goodjob-postgres/src/sessions/lock.rs",
    "goodjob-postgres/src/sessions/search.rs",
    "goodjob-postgres/src/sessions/notify.rs",
];

/// From the claim of a job to its end in the store.
const KERNEL: [&str; 5] = [
    "goodjob-core/src/store/claim.rs",
    "goodjob-core/src/store/settle.rs",
    "goodjob-core/src/capsule/performer.rs",
    "goodjob-core/src/capsule/attempt.rs",
    "goodjob-core/src/capsule/settler.rs",
];

/// The packages of the build and what each needs to run, by name.
struct Packages(BTreeMap<String, Value>);

impl Packages {
    /// For this platform only: a fresh machine has not fetched the packages of others.
    fn read() -> Self {
        let rustc = output(Command::new("rustc").arg("-vV"));
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let described = output(
            Command::new(env!("CARGO"))
                .args(["metadata", "--format-version", "1", "--offline", "--locked"])
                .args(["--filter-platform", host])
                .current_dir(top()),
        );
        let metadata: Value = serde_json::from_str(&described).unwrap();
        let packages = metadata["packages"].as_array().unwrap().iter();
        Self(packages.map(|p| (p["name"].as_str().unwrap().to_owned(), p.clone())).collect())
    }

    /// What `package` itself names, without what only tests and build scripts use.
    fn direct(&self, package: &str) -> Vec<(&str, bool)> {
        let Some(package) = self.0.get(package) else { return Vec::new() };
        let needed = package["dependencies"].as_array().unwrap().iter();
        needed
            .filter(|dependency| dependency["kind"].is_null())
            .map(|d| (d["name"].as_str().unwrap(), d["optional"] == true))
            .collect()
    }

    /// All that may stand behind `package`: optional parts of others are left out, as they are not
    /// a choice of ours.
    fn behind(&self, package: &str) -> BTreeSet<String> {
        let mut behind = BTreeSet::new();
        let mut rest = vec![package.to_owned()];
        while let Some(next) = rest.pop() {
            for (name, optional) in self.direct(&next) {
                if !optional && behind.insert(name.to_owned()) {
                    rest.push(name.to_owned());
                }
            }
        }
        behind
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn core_knows_no_sql() {
    let behind = Packages::read().behind("goodjob-core");
    assert!(behind.contains("tokio"), "{behind:?}");
    for barred in ["sqlx", "sqlx-core", "sqlx-postgres", "axum", "hyper", "clap", "reqwest"] {
        assert!(!behind.contains(barred), "goodjob-core depends on {barred}");
    }
}

#[test]
fn one_way() {
    let packages = Packages::read();
    let ours = |package: &str| -> Vec<(String, bool)> {
        let direct = packages.direct(package).into_iter();
        let ours = direct.filter(|(name, _)| name.starts_with("goodjob"));
        ours.map(|(name, optional)| (name.to_owned(), optional)).collect()
    };
    let needed = |name: &str| (name.to_owned(), false);
    assert_eq!(ours("goodjob-core"), []);
    assert_eq!(ours("goodjob-postgres"), [needed("goodjob-core")]);
    assert_eq!(ours("goodjob-testkit"), [needed("goodjob-core"), needed("goodjob-postgres")]);
    let only_for_the_demo = ("goodjob-testkit".to_owned(), true);
    assert_eq!(
        ours("goodjob-cli"),
        [needed("goodjob-core"), needed("goodjob-postgres"), only_for_the_demo]
    );
}

#[test]
fn waist_knows_no_features() {
    for file in WAIST.map(read) {
        for (line, code) in file.code().filter(|(_, code)| code.starts_with("use ")) {
            for feature in ["cron", "batch", "concurrency", "limits", "janitor"] {
                assert!(!code.contains(feature), "{}:{line}: {code}", file.path);
            }
        }
    }
}

#[test]
fn the_kernel_is_small() {
    let lines: usize = KERNEL.map(read).iter().map(|file| file.code().count()).sum();
    assert!(lines <= 600, "from claim to settlement there are {lines} lines of code");
}

#[test]
fn sql_stands_in_files() {
    let starts =
        ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ", "CREATE ", "ALTER ", "DROP "];
    for file in shipped() {
        for (line, code) in file.code() {
            // The line itself, too: it may stand in the middle of a text.
            let texts = code.split('"').skip(1).step_by(2).chain([code]);
            let found = texts
                .flat_map(|text| starts.iter().filter(|start| text.trim().starts_with(**start)));
            assert_eq!(found.count(), 0, "{}:{line}: {code}", file.path);
        }
    }
    // One constant for each file, and no file without one.
    let list = read("goodjob-postgres/src/sql.rs").text;
    for file in files("goodjob-postgres/src/sql", "sql") {
        let name = file.path.rsplit('/').next().unwrap().trim_end_matches(".sql");
        assert!(list.contains(&format!("\"{name}\"")), "sql.rs does not name {}", file.path);
    }
}

/// The sources of the crates that run in production.
fn shipped() -> impl Iterator<Item = File> {
    ["goodjob-core/src", "goodjob-postgres/src", "goodjob-cli/src"]
        .into_iter()
        .flat_map(|directory| files(directory, "rs"))
}

#[test]
fn every_sql_file_says_why_it_has_its_shape() {
    for file in files("goodjob-postgres", "sql") {
        assert!(file.text.starts_with("-- "), "{} does not open with a comment", file.path);
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks =
        ["TO-DO", "FIX-ME", "to-do!", "un-implemented!", "#[ig-nore"].map(|m| m.replace('-', ""));
    for extension in ["rs", "sql", "toml", "md"] {
        for file in files("", extension) {
            for (line, text) in file.text.lines().enumerate() {
                let found = marks.iter().find(|mark| text.contains(*mark));
                assert_eq!(found, None, "{}:{}: {text}", file.path, line + 1);
            }
        }
    }
}
