//! The program of `docs/getting-started.md`, as it stands there; a test compares the two. Its own test runs, too.
#![expect(dead_code, reason = "what is shown of a worker is compiled and not started")]

use std::process::ExitCode;

use goodjob_core::{Context, Job, JobResult, Perform, Registry};
use serde::{Deserialize, Serialize};

/// What is stored.
#[derive(Serialize, Deserialize)]
struct Hello {
    name: String,
}

impl Job for Hello {
    const CLASS: &'static str = "HelloJob";
}

/// How it is done.
impl Perform for Hello {
    async fn perform(self, _: Context) -> JobResult {
        println!("hello, {}", self.name);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    goodjob_cli::run(Registry::default().register::<Hello>()).await
}

use goodjob_core::{Adapter, BoxError, JobId};
use goodjob_postgres::EnqueueIn;
use sqlx::PgPool;

async fn sign_up(db: &PgPool, jobs: &Adapter, name: &str) -> Result<JobId, BoxError> {
    let mut tx = db.begin().await?;
    let user = sqlx::query("INSERT INTO users (name) VALUES ($1)").bind(name);
    user.execute(&mut *tx).await?;
    let id = jobs.enqueue(Hello { name: name.to_owned() }).enqueue_in(&mut *tx).await?;
    tx.commit().await?; // the job exists from here on
    Ok(id)
}

use goodjob_postgres::{PgOptions, PgStore};

async fn application(url: &str) -> Result<(), BoxError> {
    let db = PgPool::connect(url).await?;
    let jobs = PgStore::connect(PgOptions::from_url(url)?).await?.adapter();
    sign_up(&db, &jobs, "Ada").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use goodjob_core::{JobState, Timestamp};
    use goodjob_testkit::{Database, Harness};

    use super::*;

    #[tokio::test]
    async fn who_signs_up_is_greeted() -> Result<(), BoxError> {
        let database = Database::fresh().await;
        let db = database.pool().await;
        sqlx::query("CREATE TABLE users (name text NOT NULL)").execute(&db).await?;
        let worker = Harness::start(&database, Registry::default().register::<Hello>()).await;

        let id = sign_up(&db, worker.adapter(), "Ada").await?;
        let job = worker.finished(id).await;
        assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded);

        worker.stop().await;
        Ok(())
    }
}
