//! `goodjob batches` as a person and a script meet it.

use goodjob_core::{Arguments, Batch, BatchEvent, BatchId, NewJob, Options};
use goodjob_testkit::{Database, Schema};
use serde_json::{Value, json};

use crate::command::{Ended, goodjob};

fn call<const N: usize>(database: &Database, args: [&str; N]) -> Ended {
    goodjob(args).env("DATABASE_URL", &database.url()).run()
}

async fn stored(database: &Database, description: &str, jobs: usize) -> BatchId {
    let store = database.store().await;
    let job = || NewJob::of_class("PartJob", Arguments::default(), Options::new()).unwrap();
    let batch = Batch::new()
        .description(description)
        .property("user", 7)
        .on(BatchEvent::Finish, "OverJob")
        .callback_queue("mail")
        .add_new((0..jobs).map(|_| job()));
    let id = batch.enqueue(&store.adapter()).await.unwrap().id;
    store.close().await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_listed_shown_and_retried() {
    for schema in [Schema::LEAN, Schema::GEM, Schema::GEM_V4_0] {
        let database = Database::with_schema(schema).await;
        let none = call(&database, ["batches", "list"]).with(0);
        assert_eq!(none.out.trim(), "no batches");
        let two = stored(&database, "two\u{1b}[2J parts", 2).await;
        let empty = stored(&database, "none", 0).await;

        let text = call(&database, ["batches", "list"]).with(0).out;
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() == 3 && lines[1].starts_with(&empty.to_string()), "{text}");
        assert!(lines[2].contains("enqueued") && !text.contains('\u{1b}'), "{text:?}");
        let page = call(&database, ["batches", "list", "--limit", "1", "--json"]).with(0);
        assert!(page.err.contains(&format!("--after {empty}")), "{page:?}");
        let after = empty.to_string();
        let next = call(&database, ["batches", "list", "--after", &after, "--json"]).with(0).json();
        assert_eq!((&next["id"], &next["jobs"]), (&json!(two), &json!(2)));
        let found = ["batches", "list", "--state", "enqueued", "--description", "PARTS", "--json"];
        assert_eq!(call(&database, found).with(0).json()["id"], json!(two));

        let id = two.to_string();
        let text = call(&database, ["batches", "show", &id]).with(0).out;
        for part in [
            "jobs         2, 2 not over",
            "on finish    OverJob",
            "queue        mail",
            "\"user\": 7",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        let shown = call(&database, ["batches", "show", &id, "--json"]).with(0).json();
        assert_eq!((&shown["state"], &shown["open_jobs"]), (&json!("enqueued"), &json!(2)));

        // Nothing to retry, and then something.
        let refused = call(&database, ["batches", "retry", &id]).with(3);
        assert!(refused.err.contains("no job of batch"), "{refused:?}");
        let pool = database.pool().await;
        sqlx::raw_sql(
            "UPDATE good_jobs SET finished_at = now(), error = 'E: x' WHERE job_class = 'PartJob';
             UPDATE good_job_batches SET discarded_at = now() WHERE description <> 'none'",
        )
        .execute(&pool)
        .await
        .unwrap();
        let retried = call(&database, ["batches", "retry", &id]).with(0);
        assert_eq!(retried.out.trim(), format!("retried 2 jobs of batch {id}"));
        let open =
            "SELECT count(*) FROM good_jobs WHERE batch_id IS NOT NULL AND finished_at IS NULL";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&pool).await.unwrap();
        assert_eq!(open, 2);
        pool.close().await;
        let nobody = BatchId::generate().to_string();
        let gone = call(&database, ["batches", "retry", &nobody, "--json"]).with(3);
        assert_eq!(gone.json(), json!({"id": nobody, "result": "gone", "jobs": 0}));
        call(&database, ["batches", "show", &nobody]).with(1);
    }
}

#[test]
fn what_cannot_be_asked_for_is_told() {
    goodjob(["batches", "list", "--state", "rainy"]).run().with(2);
    goodjob(["batches", "retry"]).run().with(2);
    let toml = "globalid_app = \"my app\"\n[callbacks.\"MailJob\"]\nqueue = \" \"\n";
    let told = goodjob(["config", "check"]).toml(toml).run().with(3).out;
    assert!(told.contains("globalid_app: found \"my app\""), "{told}");
    let toml = "[callbacks.\"MailJob\"]\nqueu = \"mail\"\n";
    let told = goodjob(["config", "check"]).toml(toml).run().with(3).out;
    assert!(told.contains("callbacks.\"MailJob\"") && told.contains("queu"), "{told}");
    let toml = "[callbacks.\"MailJob\"]\nqueue = \"mail\"\npriority = -5\n";
    let shown = goodjob(["config", "show", "--json"]).toml(toml).run().with(0);
    let app = shown.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(app.into_iter().any(|line| line.to_string().contains("globalid_app")), "{shown:?}");
}
