//! What jobs really did, written down by their bodies: the judge of what ran when, and how often.
//!
//! The tables of goodjob say what it believes. Here stands what happened.

use std::time::Duration;

use goodjob_core::{Context, JobId};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job uuid NOT NULL,
  pid int NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz
);
CREATE INDEX IF NOT EXISTS runs_by_job ON runs (job);
CREATE TABLE IF NOT EXISTS deaths (pid int NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())";

/// A run ends when its body says so, or with its process. One of which neither is known goes on. One
/// whose first entry was on its way when its process died never was.
const OVERLAPS: &str = "
WITH ended AS (
  SELECT r.id, r.job, r.pid, r.started_at,
         COALESCE(r.ended_at, (SELECT GREATEST(min(at), r.started_at) FROM deaths d WHERE d.pid = r.pid
                               HAVING count(*) > 0), 'infinity') AS ended_at
  FROM runs r
)
SELECT a.job, a.pid, b.pid FROM ended a
JOIN ended b ON b.job = a.job AND b.id > a.id AND b.started_at < a.ended_at AND a.started_at < b.ended_at";

/// A log of runs in tables of its own, on one server's clock. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runs {
    pool: PgPool,
}

impl Runs {
    /// Keeps the log in the database at `url`; makes its tables where they are missing.
    ///
    /// # Panics
    /// When that cannot be done.
    pub async fn at(url: &str) -> Self {
        let runs = Self::lazily_at(url);
        let made = sqlx::raw_sql(TABLES).execute(&runs.pool).await;
        made.unwrap_or_else(|error| panic!("the log of runs cannot be made: {error}"));
        runs
    }

    /// The log at `url`, which exists, connected to when it is first used.
    ///
    /// # Panics
    /// When the URL cannot be read.
    #[must_use]
    pub fn lazily_at(url: &str) -> Self {
        let options =
            PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(20));
        Self { pool: options.connect_lazy(url).unwrap_or_else(|error| panic!("{error}")) }
    }

    /// Runs `body` between two entries. A run that is cut off has no second one.
    ///
    /// # Errors
    /// When an entry cannot be written.
    pub async fn log<T>(&self, job: JobId, body: impl Future<Output = T>) -> sqlx::Result<T> {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let id: i64 =
            sqlx::query_scalar("INSERT INTO runs (job, pid) VALUES ($1, $2) RETURNING id")
                .bind(job.as_uuid())
                .bind(pid)
                .fetch_one(&self.pool)
                .await?;
        let done = body.await;
        sqlx::query("UPDATE runs SET ended_at = clock_timestamp() WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(done)
    }

    /// [`log`](Self::log) for the job of `cx`.
    ///
    /// # Errors
    /// As [`log`](Self::log).
    pub async fn log_as<S, T>(
        &self,
        cx: &Context<S>,
        body: impl Future<Output = T>,
    ) -> sqlx::Result<T> {
        self.log(cx.job_id(), body).await
    }

    /// Notes that the process is dead, or stopped for good: no run of its goes on.
    ///
    /// # Panics
    /// When that cannot be written.
    pub async fn died(&self, pid: u32) {
        let pid = i32::try_from(pid).unwrap_or(0);
        let noted = sqlx::query("INSERT INTO deaths (pid) VALUES ($1)").bind(pid);
        noted.execute(&self.pool).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// How often a job was started.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub async fn of(&self, job: JobId) -> usize {
        let counted = sqlx::query_scalar("SELECT count(*) FROM runs WHERE job = $1");
        let runs: sqlx::Result<i64> = counted.bind(job.as_uuid()).fetch_one(&self.pool).await;
        usize::try_from(runs.unwrap_or_else(|error| panic!("{error}"))).unwrap_or(0)
    }

    /// Pairs of runs of one job that went on at the same time.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub async fn overlaps(&self) -> Vec<(JobId, i32, i32)> {
        let pairs: Vec<(Uuid, i32, i32)> = sqlx::query_as(OVERLAPS)
            .fetch_all(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        pairs.into_iter().map(|(job, one, other)| (job.into(), one, other)).collect()
    }

    /// The pool of the log, for questions of one's own: `runs` has `job`, `pid`, `started_at` and
    /// `ended_at`, `deaths` has `pid` and `at`.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes its connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
