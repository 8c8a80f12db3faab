//! `goodjob explain` and `goodjob queues explain` as a person and a script meet them.

use goodjob_core::JobId;
use goodjob_testkit::Database;
use serde_json::{Value, json};

use crate::command::{Ended, goodjob};

fn call<const N: usize>(database: &Database, args: [&str; N]) -> Ended {
    goodjob(args).env("DATABASE_URL", &database.url()).run()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_is_explained_in_a_sentence_and_as_json() {
    let database = Database::fresh().await;
    let args = ["enqueue", "HelloJob", "--queue", "mice", "--wait", "2h", "--json"];
    let id = call(&database, args).with(0).json()["id"].as_str().unwrap().to_owned();

    let text = call(&database, ["explain", &id]).with(0).out;
    assert!(text.starts_with(&format!("job {id} (scheduled): it is not due before ")), "{text}");
    assert!(text.contains("\n  earliest start: "), "{text}");
    assert!(text.contains("\nalso: no live process is there to run it; start a worker"), "{text}");

    let json = call(&database, ["explain", &id, "--json"]).with(0).json();
    assert_eq!((&json["id"], &json["state"]), (&json!(id), &json!("scheduled")));
    let reasons = json["reasons"].as_array().unwrap();
    let codes: Vec<_> = reasons.iter().map(|reason| reason["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["not_due", "queue_not_served"]);
    assert_eq!(reasons[0]["earliest_start"], reasons[0]["evidence"]["scheduled_at"]);
    assert_eq!(reasons[1]["earliest_start"], Value::Null);
    assert_eq!(reasons[1]["evidence"], json!({"queue": "mice", "processes": []}));

    call(&database, ["jobs", "discard", &id, "--reason", "sent\u{1b}[2J twice"]).with(0);
    let text = call(&database, ["explain", &id]).with(0).out;
    assert!(text.starts_with(&format!("job {id} (discarded): it is over: discarded\n")), "{text}");
    assert!(text.contains("error: GoodJob::Job::DiscardJobError"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");

    let nobody = JobId::generate().to_string();
    let missing = call(&database, ["explain", &nobody]).with(1);
    assert!(missing.err.contains(&format!("there is no job {nobody}")), "{missing:?}");
    goodjob(["explain", "12"]).run().with(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_string_is_explained() {
    let database = Database::fresh().await;
    let none = call(&database, ["queues", "explain"]).with(0).out;
    assert!(none.contains("no queue has jobs"), "{none}");
    for queue in ["mice", "elephants"] {
        call(&database, ["enqueue", "HelloJob", "--queue", queue]).with(0);
    }
    let text = call(&database, ["queues", "explain", "mise:2;-elephants,mise"]).with(0).out;
    for part in [
        "nothing that is there",
        "nobody takes elephants; no live process does now",
        "no job is on mise; did you mean mice?",
        "connections: a goodjob worker uses 8 at most",
        "with these pools 9",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let args = ["queues", "explain", "-elephants", "--max-threads", "7", "--json"];
    let json = call(&database, args).with(0).json();
    assert_eq!(
        json["pools"],
        json!([{"queues": "-elephants", "max_threads": 7, "takes": ["mice"]}])
    );
    assert_eq!(json["untaken"], json!(["elephants"]));
    assert_eq!(json["connections"]["needed_by_ruby"], 9);

    let wrong = goodjob(["queues", "explain", "mice:0"]).run().with(2);
    assert!(wrong.err.contains("character 6: found \"0\""), "{wrong:?}");
    goodjob(["queues", "explain", "mice", "--max-threads", "0"]).run().with(2);
}
