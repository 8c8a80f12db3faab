//! `goodjob jobs` with a real Postgres: what a person finds and does, and what a script is told.

use goodjob_core::{Due, Inspect, JobId, JobState, NewJob, Timestamp};
use goodjob_postgres::PgStore;
use goodjob_postgres::advisory_key;
use goodjob_testkit::Database;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::command::{Ended, goodjob};
use crate::worker::Worker;

#[derive(Serialize, Deserialize)]
struct Report {
    name: String,
}

impl goodjob_core::Job for Report {
    const CLASS: &'static str = "ReportJob";
}

/// A database with jobs, and the command in front of it.
struct Scene {
    store: PgStore,
    // Dropped last.
    database: Database,
}

impl Scene {
    async fn new() -> Self {
        let database = Database::fresh().await;
        Self { store: database.store().await, database }
    }

    fn call<const N: usize>(&self, args: [&str; N]) -> Ended {
        goodjob(args).env("DATABASE_URL", &self.database.url()).run()
    }

    async fn enqueue(&self, name: &str) -> JobId {
        let job = NewJob::new(&Report { name: name.to_owned() }).unwrap();
        let id = job.id;
        self.store.adapter().enqueue_all([job]).await.unwrap();
        id
    }

    /// Jobs that are over, with an error.
    async fn discarded(&self, count: usize) -> Vec<JobId> {
        let mut ids = Vec::new();
        for n in 0..count {
            let id = self.enqueue(&format!("Ada {n}")).await;
            self.store.discard(id, Some("on purpose")).await.unwrap();
            ids.push(id);
        }
        ids
    }

    async fn state(&self, id: JobId) -> Option<JobState> {
        self.store.job(id).await.unwrap().map(|job| job.state(Timestamp::MAX_UTC))
    }

    async fn close(self) {
        self.store.close().await;
    }
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_filter_page_by_page() {
    let scene = Scene::new().await;
    assert_eq!(scene.call(["jobs", "list"]).with(0).out, "no jobs\n");
    let discarded = scene.discarded(3).await;
    let waiting = scene.enqueue("Grace").await;

    let table = scene.call(["jobs", "list"]).with(0);
    assert!(table.out.starts_with("id "), "{table:?}");
    assert_eq!(table.out.lines().count(), 5, "{table:?}");
    assert!(table.out.contains("DiscardJobError: Discarded through"), "{table:?}");
    assert_eq!(table.err, "");

    let found = scene.call(["jobs", "list", "--json", "--text", "grace"]).with(0);
    assert_eq!(found.json()["id"], json!(waiting));
    assert_eq!(found.json()["state"], "queued");
    let both = ["jobs", "list", "--json", "--state", "discarded", "--state", "queued"];
    assert_eq!(lines(&scene.call(both).with(0)).len(), 4);
    let other = ["jobs", "list", "--json", "--class", "OtherJob"];
    assert_eq!(scene.call(other).with(0).out, "");

    let first = scene.call(["jobs", "list", "--json", "--limit", "2"]).with(0);
    let last = lines(&first)[1]["id"].as_str().unwrap().to_owned();
    assert!(first.err.contains(&format!("--after {last}")), "{first:?}");
    let second = scene.call(["jobs", "list", "--json", "--limit", "2", "--after", &last]).with(0);
    let ids: Vec<_> = lines(&second).iter().map(|job| job["id"].clone()).collect();
    assert_eq!(ids, [json!(discarded[1]), json!(discarded[0])]);
    assert_eq!(second.err, "");
    let gone = JobId::generate().to_string();
    let gone = scene.call(["jobs", "list", "--after", &gone]).with(1);
    assert!(gone.err.contains("begin without it"), "{gone:?}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_with_its_arguments_and_attempts() {
    let scene = Scene::new().await;
    let url = scene.database.url();
    let args =
        ["enqueue", "FailJob", "--args", "[\"no \\u001b[31mpaper\"]", "--label", "big", "--json"];
    let id = scene.call(args).with(0).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(Worker::start("start --once", &url).end().0, Some(0));

    let shown = scene.call(["jobs", "show", &id]).with(0).out;
    for part in [
        id.as_str(),
        "class        FailJob",
        "state        discarded",
        "labels       big",
        "UTC (",
        "arguments\n[\n",
        "attempt 1: unhandled\n",
        "  error      JobError: no \\u{1b}[31mpaper",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let json = scene.call(["jobs", "show", &id, "--json"]).with(0).json();
    assert_eq!((&json["class"], &json["executions_count"]), (&json!("FailJob"), &json!(1)));
    assert_eq!(json["executions"][0]["error_event"], "unhandled");
    assert_eq!(json["payload"]["arguments"], json!(["no \u{1b}[31mpaper"]));

    let nobody = JobId::generate().to_string();
    let missing = scene.call(["jobs", "show", &nobody]).with(1);
    assert!(missing.err.contains(&format!("there is no job {nobody}")), "{missing:?}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_says_of_itself_is_shown_once_its_table_was_made_by_name() {
    let scene = Scene::new().await;
    let (id, parent) = (scene.enqueue("Ada").await.to_string(), JobId::generate().to_string());
    let shown = scene.call(["jobs", "show", &id]).with(0).out;
    assert!(!shown.contains("progress") && !shown.contains("enqueued by"), "{shown}");
    assert_eq!(scene.call(["jobs", "show", &id, "--json"]).with(0).json()["notes"], Value::Null);

    let announced = scene.call(["migrate", "--dry-run", "--with", "notes"]).with(0).out;
    assert_eq!(announced.matches("would apply").count(), 2, "{announced}");
    assert!(
        announced.contains("would apply goodjob_notes: adds table goodjob_notes"),
        "{announced}"
    );
    assert!(
        scene.call(["migrate", "--quiet"]).with(0).out.contains("nothing to do"),
        "by name only"
    );
    let made = scene.call(["migrate", "--quiet", "--with", "notes"]).with(0).out;
    assert_eq!(made, "applied goodjob_notes\n");
    sqlx::query(
        "WITH job AS (UPDATE good_jobs SET serialized_params = serialized_params || $2 RETURNING id)
         INSERT INTO goodjob_notes SELECT id, 40, 100, 'rows of \u{1b}[31mred', $1, 2, now() FROM job",
    )
    .bind(json!({"skipped": ["ä\u{1b}"]}))
    .bind(json!({"goodjob_trace": {"job": parent}}))
    .execute(scene.store.pool())
    .await
    .unwrap();
    let shown = scene.call(["jobs", "show", &id]).with(0).out;
    for part in [
        "progress     40 of 100 (40 %): rows of \\u{1b}[31mred\n",
        ", at start 2\n",
        "\nresult\n{\n  \"skipped\": [\n",
        &format!("enqueued by  job {parent}\n"),
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let notes = scene.call(["jobs", "show", &id, "--json"]).with(0).json()["notes"].clone();
    assert_eq!((&notes["done"], &notes["result"]["skipped"]), (&json!(40), &json!(["ä\u{1b}"])));
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_acted_on_by_name() {
    let scene = Scene::new().await;
    let discarded = scene.discarded(2).await;
    let (a, b) = (discarded[0].to_string(), discarded[1].to_string());

    let dry = scene.call(["jobs", "retry", &a, &b, "--dry-run"]).with(0);
    assert_eq!(dry.out, "found 2 discarded jobs\n");
    assert_eq!(scene.state(discarded[0]).await, Some(JobState::Discarded));

    assert_eq!(scene.call(["jobs", "retry", &a]).with(0).out, "retried 1 job\n");
    assert_eq!(scene.state(discarded[0]).await, Some(JobState::Queued));
    // The one is over and the other is not, which is told by the exit code.
    let mixed = scene.call(["jobs", "retry", "--json", &a, &b]).with(3);
    assert_eq!(
        mixed.json(),
        json!({
            "action": "retry", "matched": 2, "done": 1, "busy": 0, "wrong_state": 1, "gone": 0,
            "jobs": [{"id": a, "result": "wrong_state"}, {"id": b, "result": "done"}],
        })
    );
    assert!(mixed.err.contains(&format!("job {a} is not discarded")), "{mixed:?}");
    assert!(mixed.err.contains("1 job could not be retried"), "{mixed:?}");

    let at = ["jobs", "reschedule", &a, "--at", "2030-01-31T09:00:00Z"];
    assert_eq!(scene.call(at).with(0).out, "rescheduled 1 job\n");
    let due = async || scene.store.job(discarded[0]).await.unwrap().unwrap().scheduled_at.unwrap();
    assert_eq!(due().await.to_rfc3339(), "2030-01-31T09:00:00+00:00");
    scene.call(["jobs", "reschedule", &a, "--in", "2h"]).with(0);
    let shown = scene.call(["jobs", "show", &a]).with(0).out;
    assert!(shown.contains("(in 119m)") || shown.contains("(in 2h)"), "{shown}");
    scene.call(["jobs", "reschedule", &a]).with(0);
    assert_eq!(scene.state(discarded[0]).await, Some(JobState::Queued));

    scene.call(["jobs", "discard", &a, "--reason", "sent twice"]).with(0);
    let error = scene.store.job(discarded[0]).await.unwrap().unwrap().error.unwrap();
    assert!(error.ends_with("Discarded through goodjob: sent twice"), "{error}");
    scene.call(["jobs", "delete", &a]).with(0);
    assert_eq!(scene.state(discarded[0]).await, None);
    let gone = scene.call(["jobs", "delete", &a]).with(3);
    assert_eq!(gone.out, "deleted 0 of 1 job; 1 is not there\n");
    assert!(gone.err.contains(&format!("there is no job {a}")), "{gone:?}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_job_is_left_alone_unless_it_is_forced_by_name() {
    let scene = Scene::new().await;
    let id = scene.enqueue("Ada").await;
    let name = id.to_string();
    let mut ruby = sqlx::PgConnection::connect(&scene.database.url()).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(advisory_key(&format!("good_jobs-{id}")))
        .execute(&mut ruby)
        .await
        .unwrap();
    let busy = scene.call(["jobs", "discard", &name]).with(3);
    assert!(busy.err.contains("is running or locked"), "{busy:?}");
    let shown = scene.call(["jobs", "show", &name]).with(0).out;
    assert!(shown.contains("lock         held by"), "{shown}");
    // In bulk, to leave some alone is what was asked for.
    let bulk = scene.call(["jobs", "discard", "--all", "--yes"]).with(0);
    assert_eq!(bulk.out, "discarded 0 of 1 job; 1 is running or locked\n");

    for refused in [["--class", "ReportJob"], ["--all", "--yes"]] {
        let refused = scene.call(["jobs", "discard", "--force", refused[0], refused[1]]).with(2);
        assert!(refused.err.contains("--force is for jobs by id"), "{refused:?}");
    }
    assert_eq!(scene.state(id).await, Some(JobState::Queued));
    let forced = scene.call(["jobs", "discard", "--force", &name, &name]).with(0);
    assert_eq!(forced.out, "discarded 1 job\n");
    let error = scene.store.job(id).await.unwrap().unwrap().error.unwrap();
    assert_eq!(error, "GoodJob::Job::DiscardJobError: Force discarded through goodjob");
    ruby.close().await.unwrap();
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_is_counted_first_and_has_to_be_confirmed() {
    let scene = Scene::new().await;
    let jobs = (0..1_204).map(|n| NewJob::new(&Report { name: format!("n{n}") }).unwrap());
    let jobs: Vec<_> = jobs
        .map(|job| NewJob { due: Due::In(std::time::Duration::from_secs(3600)), ..job })
        .collect();
    scene.store.adapter().enqueue_all(jobs).await.unwrap();

    let class = ["jobs", "discard", "--class", "ReportJob"];
    let unconfirmed = scene.call(class).with(2);
    assert!(
        unconfirmed.err.contains(
            "found 1,204 unfinished jobs of class ReportJob; to discard them, pass --yes"
        ),
        "{unconfirmed:?}"
    );
    let dry =
        scene.call(["jobs", "discard", "--class", "ReportJob", "--dry-run", "--json"]).with(0);
    assert_eq!(dry.json(), json!({"action": "discard", "dry_run": true, "matched": 1_204}));
    let dry = scene.call(["jobs", "discard", "--all", "--dry-run"]).with(0);
    assert_eq!(dry.out, "found 1,204 unfinished jobs\n");

    let some = ["jobs", "discard", "--text", "n120", "--yes", "--json"];
    let some = scene.call(some).with(0);
    assert_eq!(some.json()["done"], 5, "n120 and n1200 to n1203");
    assert!(some.err.contains("found 5 unfinished jobs with the text \"n120\""), "{some:?}");

    let rest = scene.call(["jobs", "discard", "--state", "scheduled", "-y"]).with(0);
    assert_eq!(rest.out, "discarded 1,199 jobs\n");
    assert!(rest.err.contains("found 1,199 scheduled jobs\n"), "{rest:?}");
    let none = scene.call(["jobs", "discard", "--all"]).with(0);
    assert_eq!(
        (none.out.as_str(), none.err.contains("found no unfinished jobs")),
        ("discarded no jobs\n", true)
    );
    let deleted = scene.call(["jobs", "delete", "--all", "--yes", "--json"]).with(0);
    assert_eq!(
        deleted.json(),
        json!({"action": "delete", "matched": 1_204, "done": 1_204, "busy": 0, "wrong_state": 0, "gone": 0})
    );
    scene.close().await;
}

#[test]
fn what_cannot_be_asked_for_is_usage() {
    // None of these needs a database to be refused.
    let call =
        |args: &[&str]| goodjob(["jobs"].into_iter().chain(args.iter().copied())).run().with(2).err;
    for action in ["retry", "discard", "reschedule", "delete"] {
        let err = call(&[action]);
        assert!(err.contains("which jobs?") && err.contains("--all"), "{err}");
    }
    assert!(
        call(&["retry", "--state", "queued"])
            .contains("retry is for discarded jobs; found --state queued")
    );
    assert!(call(&["list", "--text", ""]).contains("text: found nothing"));
    assert!(call(&["list", "--state", "done"]).contains("discarded"));
    assert!(call(&["list", "--limit", "0"]).contains("--limit"));
    assert!(call(&["retry", "12"]).contains("invalid value '12'"));
    let id = "0193f1c0-0000-7000-8000-000000000001";
    assert!(call(&["retry", id, "--all"]).contains("cannot be used with"));
    assert!(call(&["retry", id, "--class=A"]).contains("cannot be used with"));
    assert!(call(&["retry", "--all", "--class=A"]).contains("cannot be used with"));
    assert!(
        call(&["reschedule", "--at=2030-01-31T09:00:00Z", "--in=5"])
            .contains("cannot be used with")
    );
}
