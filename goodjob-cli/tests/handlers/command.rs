//! What a command is given, and what its end means.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use goodjob_core::Verdict;
use serde_json::{Value, json};

use crate::trial::{attempt, claim, handler, perform, shell, stored, verdict};

fn sh(script: &str) -> Value {
    shell(script, Path::new("sh"))
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("seen");
    (dir, file)
}

/// Arguments that fill no pipe's buffer.
fn large() -> Value {
    json!(["x".repeat(5 * 1024 * 1024)])
}

#[tokio::test]
async fn the_exit_code_decides() {
    let discard = Err(Some(Verdict::Discard));
    for (code, expected) in [
        (0, Ok(())),
        (1, Err(None)),
        (2, Err(None)),
        (64, Err(None)),
        (65, discard),
        (75, Err(None)),
        (99, Err(None)),
        (100, discard),
        (101, Err(None)),
        (127, Err(None)),
        (255, Err(None)),
        (42, discard),
    ] {
        let mut settings = sh(&format!("cat >/dev/null; exit {code}"));
        settings["discard_exit_codes"] = json!([42]);
        assert_eq!(verdict(perform(settings).await), expected, "exit code {code}");
    }
    let killed = perform(sh("kill -9 $$")).await.unwrap_err();
    assert_eq!(killed.verdict(), None);
    assert!(stored(&killed).starts_with("CommandFailed: signal: 9"), "{killed}");
}

#[tokio::test]
async fn a_command_may_put_its_job_off() {
    let settings = sh(r#"echo noise; echo '{"retry_in": 300}'; exit 75"#);
    let snooze = Verdict::Snooze(Duration::from_secs(300));
    assert_eq!(verdict(perform(settings).await), Err(Some(snooze)));
}

#[tokio::test]
async fn the_error_is_what_the_command_says() {
    let told =
        r#"echo '{"error": {"class": "Smtp::Down", "message": "no route", "backtrace": ["a:1"]}}'"#;
    let error = perform(sh(&format!("echo noise >&2; {told}; exit 1"))).await.unwrap_err();
    assert_eq!(stored(&error), "Smtp::Down: no route");
    let error = perform(sh("echo first >&2; echo last >&2; exit 3")).await.unwrap_err();
    assert_eq!(stored(&error), "CommandFailed: exit status: 3: first\nlast");
}

#[tokio::test]
async fn a_command_reads_its_job_as_one_line_of_json() {
    let (_dir, file) = scratch();
    let arguments = json!([1, {"deep": [true], "_aj_symbol_keys": ["deep"]},
                           {"to": "ä\n", "_aj_ruby2_keywords": ["to"]}]);
    let claim = claim(arguments);
    let id = claim.job.id;
    let handler = handler(shell("cat > \"$0\"", &file));
    attempt(&handler, claim, Some(Duration::from_secs(60))).await.unwrap();

    let text = fs::read_to_string(&file).unwrap();
    assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true));
    let mut job: Value = serde_json::from_str(&text).unwrap();
    let deadline: DateTime<Utc> = job["deadline"].take().as_str().unwrap().parse().unwrap();
    let left = deadline - Utc::now();
    assert!(left > TimeDelta::seconds(30) && left <= TimeDelta::seconds(60), "{left}");
    assert_eq!(
        job,
        json!({
            "v": 1, "id": id, "class": "MailJob", "queue": "mail", "priority": -3, "attempt": 2,
            "max_attempts": 5, "args": [1, {"deep": [true]}], "kwargs": {"to": "ä\n"},
            "labels": ["urgent"], "cron_key": null,
            "scheduled_at": "2026-01-02T03:04:05.000006Z", "deadline": null,
        })
    );
}

#[tokio::test]
async fn a_command_gets_no_variables_but_the_listed_ones() {
    let (_dir, file) = scratch();
    let mut settings = shell("env > \"$0\"", &file);
    settings["env"] = json!({"MODE": "test", "GOOD_JOB_ID": "mine"});
    settings["env_allow"] = json!(["CARGO_PKG_NAME", "NO_SUCH_VARIABLE_7"]);
    let claim = claim(json!([]));
    let id = claim.job.id.to_string();
    attempt(&handler(settings), claim, Some(Duration::from_secs(60))).await.unwrap();

    let text = fs::read_to_string(&file).unwrap();
    let seen: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |name: &str| seen.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    assert_eq!(value("GOOD_JOB_ID"), Some(id.as_str()), "the contract's own names win");
    assert_eq!(value("GOOD_JOB_CLASS"), Some("MailJob"));
    assert_eq!(value("GOOD_JOB_QUEUE"), Some("mail"));
    assert_eq!(value("GOOD_JOB_ATTEMPT"), Some("2"));
    assert!(value("GOOD_JOB_DEADLINE").is_some());
    assert_eq!((value("MODE"), value("CARGO_PKG_NAME")), (Some("test"), Some("goodjob-cli")));

    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "something to hide");
    let expected = BTreeSet::from([
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "MODE",
        "CARGO_PKG_NAME",
        "GOOD_JOB_ID",
        "GOOD_JOB_CLASS",
        "GOOD_JOB_QUEUE",
        "GOOD_JOB_ATTEMPT",
        "GOOD_JOB_DEADLINE",
        // A shell's own.
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ]);
    let names: BTreeSet<&str> = seen.iter().map(|(name, _)| *name).collect();
    assert!(names.is_subset(&expected), "{:?}", names.difference(&expected));
}

#[tokio::test]
async fn arguments_are_passed_as_they_are_and_the_directory_is_chosen() {
    let (dir, file) = scratch();
    let script = r#"printf '%s in ' "$1" > "$0"; pwd >> "$0""#;
    let hostile = "$(touch x); `id` * \"'";
    let settings = json!({"command": ["sh", "-c", script, &file, hostile], "cwd": dir.path()});
    perform(settings).await.unwrap();
    let cwd = dir.path().canonicalize().unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{hostile} in {}\n", cwd.display()));
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_is_no_failure() {
    for script in ["exit 0", "exec <&-; exit 0", "head -c 10 >/dev/null"] {
        let result = attempt(&handler(sh(script)), claim(large()), None).await;
        assert_eq!(verdict(result), Ok(()), "{script}");
    }
}

#[tokio::test]
async fn input_and_output_of_any_size_pass_each_other() {
    let both = handler(sh("tee /dev/stderr; echo; echo '{\"retry_in\": 7}'; exit 75"));
    let result = attempt(&both, claim(large()), None).await;
    assert_eq!(verdict(result), Err(Some(Verdict::Snooze(Duration::from_secs(7)))));

    // 10 MiB out before anything is read.
    let flood =
        "head -c 10485760 /dev/zero | tr '\\0' x; head -c 10485760 /dev/zero >&2; cat >/dev/null";
    let result = attempt(&handler(sh(&format!("{flood}; exit 1"))), claim(large()), None).await;
    let text = stored(&result.unwrap_err());
    assert!(text.len() < 32 * 1024 && !text.contains('\0'), "{} bytes", text.len());
}

#[tokio::test]
async fn what_cannot_be_stored_is_stored_readably() {
    let error = perform(sh(r"printf '\377\000boom\n' >&2; exit 1")).await.unwrap_err();
    assert_eq!(stored(&error), "CommandFailed: exit status: 1: \u{fffd}\u{fffd}boom");
    let nul = r#"printf '{"error": {"class": "A\\u0000B", "message": "x\\u0000"}}'; exit 1"#;
    assert_eq!(stored(&perform(sh(nul)).await.unwrap_err()), "A\u{fffd}B: x\u{fffd}");
}

#[tokio::test]
async fn a_program_that_is_missing_is_tried_again() {
    let error = perform(json!({"command": ["/no/such/program"]})).await.unwrap_err();
    assert_eq!((error.verdict(), error.class()), (None, "CommandNotStarted"));
    assert!(error.to_string().contains("\"/no/such/program\""), "{error}");
}

#[tokio::test]
async fn a_job_without_arguments_is_discarded() {
    let mut claim = claim(json!([]));
    claim.job.payload.set("arguments", Value::Null);
    let error = attempt(&handler(sh("exit 0")), claim, None).await.unwrap_err();
    assert_eq!((error.verdict(), error.class()), (Some(Verdict::Discard), "ArgumentsError"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_that_left_the_group_cannot_hold_the_job_up() {
    let began = Instant::now();
    perform(sh("setsid sleep 15 & exit 0")).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn stderr_is_logged_line_by_line_and_progress_as_a_field() {
    let log = Log::default();
    let writer = log.clone();
    // For all threads: tracing decides once for the process which of its lines are of interest, and
    // another test's thread must not decide it. Their lines are in the log too.
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .init();
    let lines = "echo log one >&2; echo '::progress 40 log half::' >&2; printf 'log last' >&2";
    perform(sh(&format!("{lines}; echo '{{\"logged\":1}}'"))).await.unwrap();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |key: &str, value: &str| {
        let found = events.iter().find(|event| event["fields"][key] == value);
        found.unwrap_or_else(|| panic!("no {value:?} in {text}"))
    };
    let one = event("message", "log one");
    assert_eq!(one["fields"]["stream"], "stderr");
    assert!(one["span"]["pid"].as_i64().unwrap() > 1);
    assert_eq!(event("message", "log half")["fields"]["progress"], 40);
    event("message", "log last");
    event("result", "{\"logged\":1}");
}
