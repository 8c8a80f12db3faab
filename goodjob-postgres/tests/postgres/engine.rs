//! The engine on the real store.

use std::time::Duration;

use goodjob_core::{
    Capsule, Config, Context, Inspect, Job, JobId, JobRecord, JobResult, JobState, Perform,
    Registry, Shutdown,
};
use goodjob_postgres::PgStore;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Echo {
    pub(crate) text: String,
}

impl Job for Echo {
    const CLASS: &'static str = "EchoJob";
}

impl Perform for Echo {
    async fn perform(self, _: Context) -> JobResult {
        match self.text.as_str() {
            "fail" => Err("it failed".into()),
            _ => Ok(()),
        }
    }
}

async fn finished(store: &PgStore, id: JobId) -> JobRecord {
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let job = store.job(id).await.unwrap().unwrap();
            if job.finished_at.is_some() {
                break job;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_job_is_performed_and_its_rows_tell() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    let config = Config { poll_interval: None, ..Config::default() };
    let handlers = Registry::default().register::<Echo>();
    let capsule = Capsule::start(config, handlers, &store).await.unwrap();

    let good = adapter.enqueue(Echo { text: "ok".into() }).await.unwrap();
    let bad = adapter.enqueue(Echo { text: "fail".into() }).await.unwrap();
    let (good, bad) = (finished(&store, good).await, finished(&store, bad).await);
    assert_eq!(good.state(chrono::Utc::now()), JobState::Succeeded);
    assert_eq!(bad.state(chrono::Utc::now()), JobState::Discarded);
    assert_eq!(bad.error.as_deref(), Some("JobError: it failed"));
    assert_eq!((good.executions_count, good.locked_by), (1, None));
    let attempts = store.executions(bad.id).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].error, bad.error);
    assert!(attempts[0].duration.is_some());

    capsule.shutdown(Shutdown::Forever).await;
    let processes: i64 = sqlx::query_scalar("SELECT count(*) FROM good_job_processes")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(processes, 0);
    store.close().await;
}
