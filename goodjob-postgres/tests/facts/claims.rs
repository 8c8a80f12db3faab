//! Facts 41 to 44: pauses, queue strings and order.

use goodjob_core::{JobId, Options, Pools, ProcessRecord, QueueSelector, Store, Wanted};
use goodjob_postgres::{DequeueOrder, PgStore};
use goodjob_testkit::{Database, Schema, claims};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::ruby::{Rails, RubyJob};
use crate::scene::Scene;

async fn pause(pool: &PgPool, value: &Value) {
    sqlx::query(
        "INSERT INTO good_job_settings (created_at, updated_at, key, value) VALUES (now(), now(), 'pauses', $1)
         ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
    )
    .bind(value)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_41_a_paused_queue_class_or_label_is_left_until_it_is_not_paused() {
    let scene = Scene::new().await;
    for (pauses, class, options) in [
        (json!({"queues": ["mice"]}), "QuickJob", Options::new().queue("mice")),
        (json!({"job_classes": ["NoopJob"]}), "NoopJob", Options::new()),
        (
            json!({"labels": ["slow"], "queues": []}),
            "QuickJob",
            Options::new().label("a").label("slow"),
        ),
    ] {
        pause(&scene.pool, &pauses).await;
        let paused = scene.enqueue_with(class, options).await;
        scene.searched().await;
        assert_eq!(scene.job(paused).await.performed_at, None, "{pauses}");
        // Nobody is told of the end of a pause: a poll finds the job.
        pause(&scene.pool, &json!({"queues": [], "job_classes": [], "labels": []})).await;
        scene.worker.finished(paused).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_42_a_setting_of_pauses_that_is_malformed_stops_nothing() {
    let scene = Scene::new().await;
    for value in [
        json!(null),
        json!("mice"),
        json!(["mice"]),
        json!(7),
        json!({"queues": "default"}),
        json!({"queues": [null]}),
        json!({"queues": {"default": true}, "labels": 1, "job_classes": null}),
        json!({"queues": [["default"]], "more": []}),
    ] {
        pause(&scene.pool, &value).await;
        scene.searched().await;
    }
    scene.end().await;
}

/// A store that looks at its tables claim by claim.
struct Claims {
    store: PgStore,
    process: ProcessRecord,
    pool: PgPool,
    database: Database,
}

impl Claims {
    async fn ordered_by(order: DequeueOrder) -> Self {
        let database = Database::with_schema(Schema::GEM).await;
        let mut options = database.options();
        options.order = order;
        let store = PgStore::connect(options).await.unwrap();
        let process = ProcessRecord::new("claims");
        store.beat(&process).await.unwrap();
        Self { store, process, pool: database.pool().await, database }
    }

    /// What is taken, one by one; then it is given back.
    async fn taken(&self, queues: &QueueSelector) -> Vec<JobId> {
        let wanted = Wanted { queues: queues.clone(), classes: vec!["QuickJob".to_owned()] };
        let (mut taken, mut tokens) = (Vec::new(), Vec::new());
        while let Some(claim) = claims(&self.store, &wanted, 1).await.taken.pop() {
            taken.push(claim.job.id);
            tokens.push(claim.token);
        }
        self.store.release(&tokens).await.unwrap();
        taken
    }

    /// What the gem takes, by its own condition and order (wire contract 3.3).
    async fn by_the_gem(&self, condition: &str, order: &str) -> Vec<JobId> {
        let statement = format!(
            "SELECT id FROM good_jobs WHERE finished_at IS NULL AND scheduled_at <= now() AND ({condition})
             ORDER BY {order}"
        );
        let rows: Vec<Uuid> =
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&self.pool).await.unwrap();
        rows.into_iter().map(JobId::from).collect()
    }

    async fn end(self) {
        self.store.leave(&self.process).await.unwrap();
        self.store.close().await;
        self.pool.close().await;
        drop(self.database);
    }
}

const BY_DUE_TIME: &str = "priority ASC NULLS LAST, scheduled_at ASC, id ASC";
const BY_ENQUEUE: &str = "priority ASC NULLS LAST, created_at ASC";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_43_a_queue_string_selects_the_jobs_that_the_gem_selects() {
    let claims = Claims::ordered_by(DequeueOrder::ScheduledAt).await;
    for queue in
        [json!("a"), json!("b"), json!("c"), json!(""), Value::Null, json!("*"), json!("a b")]
    {
        for priority in [1, 0] {
            let job = RubyJob::new(Rails::V7_1, "QuickJob", json!([]));
            job.column("queue_name", queue.clone())
                .column("priority", priority)
                .enqueue(&claims.pool)
                .await;
        }
    }
    let in_turn = "CASE WHEN queue_name = 'b' THEN 0 WHEN queue_name = 'a' THEN 1 ELSE 2 END";
    for (text, condition, first) in [
        ("", "true", ""),
        ("*", "true", ""),
        ("-*", "true", ""),
        ("a,*", "true", ""),
        ("+a,*", "true", ""),
        ("a", "queue_name IN ('a')", ""),
        ("a,b", "queue_name IN ('a', 'b')", ""),
        (" a , b ", "queue_name IN ('a', 'b')", ""),
        ("a b", "queue_name IN ('a b')", ""),
        ("-a", "(queue_name NOT IN ('a') OR queue_name IS NULL)", ""),
        ("-a,b", "(queue_name NOT IN ('a', 'b') OR queue_name IS NULL)", ""),
        ("+b,a", "queue_name IN ('b', 'a')", in_turn),
        ("nowhere", "queue_name IN ('nowhere')", ""),
    ] {
        let pools = text.parse::<Pools>().unwrap().with_default(std::num::NonZeroUsize::MIN);
        let order = if first.is_empty() {
            BY_DUE_TIME.to_owned()
        } else {
            format!("{first}, {BY_DUE_TIME}")
        };
        let (ours, gems) =
            (claims.taken(&pools[0].queues).await, claims.by_the_gem(condition, &order).await);
        assert_eq!(ours, gems, "{text:?}");
    }
    claims.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fact_44_jobs_start_in_the_gems_order_under_both_settings() {
    for (order, gems) in
        [(DequeueOrder::ScheduledAt, BY_DUE_TIME), (DequeueOrder::CreatedAt, BY_ENQUEUE)]
    {
        let claims = Claims::ordered_by(order).await;
        for (n, priority) in
            [json!(5), json!(0), Value::Null, json!(-5), json!(i32::MAX), json!(i32::MIN)]
                .iter()
                .enumerate()
        {
            for m in 0..3 {
                // The first to be enqueued is the last to be due.
                let day = |hour: usize| format!("2026-11-01 {hour:02}:{:02}:00.{n}{m}", n * 3 + m);
                RubyJob::new(Rails::V7_1, "QuickJob", json!([]))
                    .column("priority", priority.clone())
                    .column("created_at", day(m))
                    .column("scheduled_at", day(9 - m))
                    .enqueue(&claims.pool)
                    .await;
            }
        }
        let expected = claims.by_the_gem("true", gems).await;
        assert_eq!(expected.len(), 18);
        assert_eq!(claims.taken(&QueueSelector::All).await, expected, "{order}");
        claims.end().await;
    }
}
