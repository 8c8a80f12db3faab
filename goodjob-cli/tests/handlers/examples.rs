//! The handlers in `examples/handlers`, by the `goodjob.toml` beside them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use config::{Config, File, FileFormat};
use goodjob_cli::handlers::HandlerSettings;
use goodjob_core::{JobResult, Verdict};
use serde_json::{Value, json};

use crate::trial::{attempt, claim, handler, stored, verdict};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/handlers").canonicalize().unwrap()
}

/// The settings of a class as they are read from the file.
fn settings(class: &str) -> Value {
    let file = std::fs::read_to_string(directory().join("goodjob.toml")).unwrap();
    let file = Config::builder().add_source(File::from_str(&file, FileFormat::Toml)).build();
    let mut jobs: BTreeMap<String, Value> = file.unwrap().get("jobs").unwrap();
    let mut settings = jobs.remove(class).unwrap_or_else(|| panic!("no {class} in {jobs:?}"));
    // The file is meant for a worker that starts at the top of the repository.
    if settings.get("cwd").is_some() {
        settings["cwd"] = json!(directory());
    }
    settings
}

async fn perform(settings: Value, args: Vec<Value>, mut kwargs: Value) -> JobResult {
    let names: Vec<&String> = kwargs.as_object().unwrap().keys().collect();
    kwargs["_aj_ruby2_keywords"] = json!(names);
    let arguments: Vec<Value> = args.into_iter().chain([kwargs]).collect();
    attempt(&handler(settings), claim(json!(arguments)), None).await
}

fn lacks(interpreter: &str) -> bool {
    let lacks = Command::new(interpreter).arg("--version").output().is_err();
    if lacks {
        eprintln!("SKIPPED: {interpreter} is not installed, so its example handler was not run");
    }
    lacks
}

#[tokio::test]
async fn the_shell_handler_sends_puts_off_and_refuses() {
    let send = |to: &str, subject: &str| {
        perform(settings("SendMailJob"), vec![], json!({"to": to, "subject": subject}))
    };
    send("ada@example.com", "hello").await.unwrap();
    let Err(Some(Verdict::Snooze(wait))) = verdict(send("ada@example.com", "busy").await) else {
        panic!("not put off");
    };
    assert_eq!(wait.as_secs(), 300);
    let refused = send("nobody", "hello").await.unwrap_err();
    assert_eq!(refused.verdict(), Some(Verdict::Discard));
    assert_eq!(stored(&refused), "CommandRefused: exit status: 65: no address: 'nobody'");
}

#[tokio::test]
async fn the_python_handler_resizes_fails_and_refuses() {
    if lacks("python3") {
        return;
    }
    let resize = |path: &str, width: i64| {
        perform(settings("ResizeJob"), vec![json!(path)], json!({"width": width}))
    };
    resize("cat.png", 100).await.unwrap();
    let failed = resize("cat.png", -1).await.unwrap_err();
    assert_eq!((failed.verdict(), stored(&failed)), (None, "ValueError: a width of -1".into()));
    let refused = resize("cat.txt", 100).await.unwrap_err();
    assert_eq!(refused.verdict(), Some(Verdict::Discard));
    assert_eq!(stored(&refused), "NoSuchPicture: cat.txt is no picture");
}

#[tokio::test]
async fn the_node_handler_notifies_fails_and_refuses() {
    if lacks("node") {
        return;
    }
    let notify = |kwargs| perform(settings("NotifyJob"), vec![], kwargs);
    notify(json!({"user_id": 7, "text": "hello"})).await.unwrap();
    let failed = notify(json!({"user_id": 7})).await.unwrap_err();
    assert_eq!(failed.verdict(), None);
    assert!(stored(&failed).contains("TypeError: no text"), "{failed}");
    let refused = notify(json!({"user_id": "7", "text": "hello"})).await.unwrap_err();
    assert_eq!(refused.verdict(), Some(Verdict::Discard));
}

#[test]
fn the_settings_in_the_document_are_understood() {
    let text = std::fs::read_to_string(directory().join("../../docs/handlers.md")).unwrap();
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let blocks: Vec<BTreeMap<String, HandlerSettings>> = blocks
        .map(|block| {
            let file = Config::builder().add_source(File::from_str(block, FileFormat::Toml));
            file.build().unwrap().get("jobs").unwrap()
        })
        .collect();
    let classes: Vec<&String> = blocks.iter().flat_map(BTreeMap::keys).collect();
    assert_eq!(classes, ["Billing::InvoiceJob", "SendMailJob"]);
}

/// The example server, ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(secret: &str) -> (Server, String) {
    let child = Command::new("python3")
        .arg(directory().join("webhook_server.py"))
        .arg("0")
        .env("GOODJOB_SECRET", secret)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut server = Server(child);
    let mut url = String::new();
    let stdout = server.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut url).unwrap();
    (server, url.trim().to_owned())
}

#[tokio::test]
async fn the_python_server_verifies_bills_and_refuses() {
    if lacks("python3") {
        return;
    }
    let mut settings = settings("Billing::InvoiceJob");
    let secret = settings["secret"].as_str().unwrap().to_owned();
    let (_server, url) = serve(&secret);
    settings["url"] = json!(url);
    perform(settings.clone(), vec![], json!({"amount": 7})).await.unwrap();
    let refused = perform(settings.clone(), vec![], json!({"amount": "7"})).await.unwrap_err();
    assert_eq!(refused.verdict(), Some(Verdict::Discard));
    assert_eq!(stored(&refused), "BadAmount: amount is '7'");

    // A new secret is added on one side, then on the other.
    settings["secret"] = json!(["whsec_bmV3", secret]);
    perform(settings.clone(), vec![], json!({"amount": 7})).await.unwrap();
    settings["secret"] = json!("whsec_bmV3");
    let wrong = perform(settings, vec![], json!({"amount": 7})).await.unwrap_err();
    assert_eq!((wrong.verdict(), stored(&wrong)), (None, "BadSignature: who are you?".into()));
}
