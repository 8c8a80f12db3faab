//! A process, its store, and the tables as they are beside it.

use std::time::Duration;

use goodjob_core::{
    Arguments, Claim, Config, Fate, JobId, NewJob, Options, ProcessRecord, QueueSelector, Settled,
    Settlement, Store, Token, Wanted,
};
use goodjob_postgres::PgStore;
use goodjob_testkit::{Database, eventually};
use sqlx::PgPool;

/// The class of these jobs.
pub(crate) const CLASS: &str = "WorkJob";

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) struct Scene {
    pub(crate) store: PgStore,
    pub(crate) process: ProcessRecord,
    /// A plain pool beside goodjob.
    pub(crate) pool: PgPool,
}

impl Scene {
    pub(crate) async fn on(database: &Database) -> Self {
        let (store, process) = (database.store().await, ProcessRecord::new("test"));
        store.beat(&process).await.unwrap();
        Self { store, process, pool: database.pool().await }
    }

    pub(crate) async fn end(self) {
        self.store.leave(&self.process).await.unwrap();
        self.store.close().await;
        self.pool.close().await;
    }

    /// A job that this process has claimed.
    pub(crate) async fn claimed(&self) -> Claim {
        let job = NewJob::of_class(CLASS, Arguments::default(), Options::new()).unwrap();
        self.store.insert(&[job]).await.unwrap();
        self.claim().await
    }

    pub(crate) async fn claim(&self) -> Claim {
        let wanted = Wanted { queues: QueueSelector::All, classes: vec![CLASS.to_owned()] };
        eventually("a claim", secs(5), async || match self.store.claim(&wanted, 1).await {
            Ok(mut claims) => claims.taken.pop().ok_or_else(|| "nothing".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Settles an outcome after which the job is not to be kept.
    pub(crate) async fn settle_unkept(&self, token: Token, job: Fate) -> Settled {
        let settlement = Settlement { job, keep: false, duration: Duration::from_millis(3) };
        self.store.settle(&[(token, settlement)]).await.unwrap()[0]
    }

    /// Changes or plants rows; returns how many.
    pub(crate) async fn execute(&self, statement: &'static str, id: JobId) -> u64 {
        let done = sqlx::query(statement).bind(id.as_uuid()).execute(&self.pool).await;
        done.unwrap().rows_affected()
    }

    /// The number that a question without parameters has for its answer.
    pub(crate) async fn count(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question).fetch_one(&self.pool).await.unwrap()
    }

    /// How many rows of jobs and of attempts there are.
    pub(crate) async fn rows(&self) -> (i64, i64) {
        let jobs = self.count("SELECT count(*) FROM good_jobs").await;
        (jobs, self.count("SELECT count(*) FROM good_job_executions").await)
    }
}

/// Without polls, so that a test sees what notices and watches do.
pub(crate) fn unpolled(config: &mut Config) {
    config.poll_interval = None;
}
