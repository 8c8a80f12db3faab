//! Our worker and processes of the gem on the tables of a Rails application.

use std::time::Duration;

use goodjob_core::{
    Arguments, Backoff, Config, Handlers, JobId, JobRecord, NewJob, Options, Policy, ProcessId,
    Retry, Shutdown,
};
use goodjob_postgres::{PgOptions, advisory_key};
use goodjob_testkit::gem::{GemOptions, GemSession, GemStrategy, Performed};
use goodjob_testkit::{Database, GemWorker, Harness, Runs, Schema, eventually};
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use crate::jobs::{self, Gate};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SOON: Duration = Duration::from_millis(50);
pub(crate) const STRATEGIES: [GemStrategy; 3] =
    [GemStrategy::Advisory, GemStrategy::SkipLocked, GemStrategy::Hybrid];

pub(crate) struct Scene {
    pub(crate) worker: Harness,
    /// Where jobs of the class `HeldJob` wait, whoever runs them.
    pub(crate) gate: Gate,
    arrivals: Mutex<mpsc::UnboundedReceiver<()>>,
    /// What really ran.
    pub(crate) runs: Runs,
    pub(crate) pool: PgPool,
    // Dropped last.
    pub(crate) database: Database,
}

impl Scene {
    /// A worker that polls, beats and looks after others without delay.
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config, &mut PgOptions)) -> Self {
        let database = Database::with_schema(Schema::GEM).await;
        let (pool, runs) = (database.pool().await, Runs::at(&database.url()).await);
        let (gate, arrivals) = Gate::new();
        let handlers = handlers(&gate, &runs);
        let worker = Harness::start_with(&database, handlers, |config, options| {
            config.poll_interval = Some(SOON);
            config.heartbeat = SOON;
            change(config, options);
        })
        .await;
        Self { worker, gate, arrivals: Mutex::new(arrivals), runs, pool, database }
    }

    /// Enqueues a job of this class by our adapter.
    pub(crate) async fn enqueue(&self, class: &str) -> JobId {
        self.enqueue_with(class, Options::new()).await
    }

    pub(crate) async fn enqueue_with(&self, class: &str, options: Options) -> JobId {
        let job = NewJob::of_class(class, Arguments::default(), options).unwrap();
        self.worker.adapter().enqueue_all([job]).await.unwrap()[0].id()
    }

    /// A job that is being run, by whoever took it.
    pub(crate) async fn held(&self) -> JobId {
        self.held_as("HeldJob").await
    }

    pub(crate) async fn held_as(&self, class: &str) -> JobId {
        let id = self.enqueue(class).await;
        self.arrival().await;
        id
    }

    /// Waits for the next job at the gate.
    pub(crate) async fn arrival(&self) {
        let arrival = async { self.arrivals.lock().await.recv().await };
        tokio::time::timeout(PATIENCE, arrival).await.expect("a job starts").unwrap();
    }

    /// Shows that our worker searched again, and could have taken whatever was free before.
    pub(crate) async fn searched(&self) {
        let id = self.enqueue("QuickJob").await;
        self.worker.finished(id).await;
    }

    /// A process of the gem that polls often; it runs what ours does, and any other class.
    pub(crate) async fn gem(&self, strategy: GemStrategy) -> GemWorker {
        let poll_interval = Some(SOON);
        self.gem_with(GemOptions { poll_interval, ..GemOptions::locking_by(strategy) }).await
    }

    pub(crate) async fn gem_with(&self, options: GemOptions) -> GemWorker {
        let (gate, runs) = (self.gate.clone(), self.runs.clone());
        GemWorker::start(&self.database.url(), options, move |job| {
            let (gate, runs) = (gate.clone(), runs.clone());
            async move {
                let held = job.job_class.as_deref() == Some("HeldJob");
                let body = async {
                    if held {
                        gate.pass().await;
                    }
                };
                runs.log(job.id, body).await.unwrap();
                Performed::Done
            }
        })
        .await
    }

    /// One thread of a registered process of the gem, to be led step by step.
    pub(crate) async fn gem_session(&self, strategy: GemStrategy) -> GemSession {
        let process = ProcessId::from(Uuid::new_v4());
        let options = GemOptions::locking_by(strategy);
        let mut session = GemSession::open(&self.database.url(), process, options).await.unwrap();
        session.register().await.unwrap();
        session
    }

    pub(crate) async fn job(&self, id: JobId) -> JobRecord {
        self.worker.job(id).await
    }

    /// A column of a job, as JSON.
    pub(crate) async fn column(&self, id: JobId, column: &str) -> Value {
        let row: Value = sqlx::query_scalar("SELECT to_jsonb(j) FROM good_jobs j WHERE id = $1")
            .bind(id.as_uuid())
            .fetch_one(&self.pool)
            .await
            .unwrap();
        row[column].clone()
    }

    /// Changes something about a job; returns how many rows that were.
    pub(crate) async fn change(&self, statement: &'static str, id: JobId) -> u64 {
        let done = sqlx::query(statement).bind(id.as_uuid()).execute(&self.pool).await;
        done.unwrap().rows_affected()
    }

    /// The number that a question has for its answer.
    pub(crate) async fn count(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until a question has this answer.
    pub(crate) async fn until(&self, question: &'static str, answer: i64) {
        eventually(&format!("{question} is {answer}"), PATIENCE, async || {
            match self.count(question).await {
                found if found == answer => Ok(()),
                found => Err(found.to_string()),
            }
        })
        .await;
    }

    /// Waits until an attempt at a job has ended.
    pub(crate) async fn attempted(&self, id: JobId) {
        eventually("an attempt has ended", PATIENCE, async || {
            self.worker.attempts(id).await.first()?.finished_at
        })
        .await;
    }

    /// The jobs whose advisory locks the lock session of our worker holds, as keys.
    pub(crate) async fn locks(&self) -> Vec<i64> {
        sqlx::query_scalar(
            "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND application_name = $1",
        )
        .bind(format!("goodjob lock {}", self.worker.capsule().process()))
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Ends the worker and everything else.
    pub(crate) async fn end(self) {
        self.worker.stop_with(Shutdown::Now).await;
        self.runs.close().await;
        self.pool.close().await;
        drop(self.database);
    }
}

/// The classes of the page of outcomes, one that is quick, and those that wait at the gate or for a retry.
fn handlers(gate: &Gate, runs: &Runs) -> Handlers {
    let mut handlers = jobs::all();
    let logged = runs.clone();
    jobs::add(&mut handlers, "QuickJob", Policy::new(), move |_, cx| {
        let runs = logged.clone();
        async move { Ok(runs.log_as(&cx, async {}).await?) }
    });
    let (held, logged) = (gate.clone(), runs.clone());
    jobs::add(&mut handlers, "HeldJob", Policy::new(), move |_, cx| {
        let (gate, runs) = (held.clone(), logged.clone());
        async move { Ok(runs.log_as(&cx, gate.pass()).await?) }
    });
    let wait = Backoff::Constant(Duration::from_secs(60 * 60));
    let retry = Retry::attempts(9).wait(wait).jitter(0.0);
    let named = retry.clone().counted_as("Net::OpenTimeout");
    let named = Policy::new().retry_on::<std::fmt::Error>(named);
    jobs::add(&mut handlers, "NamedRetryJob", named, |_, _| {
        std::future::ready(Err(std::fmt::Error.into()))
    });
    let later = Policy::new().retry_on_any(retry);
    jobs::add(&mut handlers, "RetryJob", later.clone(), |_, _| {
        std::future::ready(Err("not now".into()))
    });
    let held = gate.clone();
    jobs::add(&mut handlers, "HeldRetryJob", later, move |_, _| {
        let gate = held.clone();
        async move {
            gate.pass().await;
            Err("not now".into())
        }
    });
    handlers
}

/// The key of a job's lock.
pub(crate) fn key(job: JobId) -> i64 {
    advisory_key(&format!("good_jobs-{job}"))
}
