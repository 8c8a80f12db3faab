//! A web application that does its own jobs: a request stores a user and a job in one transaction, and
//! a capsule in the same process does the job.
//!
//! ```sh
//! goodjob migrate
//! psql "$DATABASE_URL" -c 'CREATE TABLE users (id bigserial PRIMARY KEY, greeted boolean)'
//! GOOD_JOB_EXECUTION_MODE=async cargo run --example axum-async &
//! curl -X POST http://127.0.0.1:3000/users
//! curl http://127.0.0.1:3000/jobs/metrics
//! ```
//!
//! Start it twice, and both serve the same port. The settings are those of `goodjob start`, but for what is the web
//! server's own affair here: its classes and their rules (`[jobs]`), its port, its pidfile and its end.

mod server;

use std::process::ExitCode;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use goodjob_cli::probe::Probe;
use goodjob_cli::{Configuration, Interrupt, Signals};
use goodjob_core::{Adapter, BoxError, Context, Job, JobResult, Perform, Registry, Setup};
use goodjob_postgres::{EnqueueIn, PgStore};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::net::TcpListener;

#[derive(Serialize, Deserialize)]
struct Welcome {
    user_id: i64,
}

impl Job for Welcome {
    const CLASS: &'static str = "WelcomeJob";
}

impl Perform<PgPool> for Welcome {
    async fn perform(self, cx: Context<PgPool>) -> JobResult {
        let greeting = sqlx::query("UPDATE users SET greeted = true WHERE id = $1");
        greeting.bind(self.user_id).execute(cx.state()).await?;
        Ok(())
    }
}

async fn sign_up(State((pool, jobs)): State<(PgPool, Adapter)>) -> Result<StatusCode, Failure> {
    let mut tx = pool.begin().await?;
    let user = sqlx::query_scalar("INSERT INTO users DEFAULT VALUES RETURNING id");
    let user_id = user.fetch_one(&mut *tx).await?;
    jobs.enqueue(Welcome { user_id }).enqueue_in(&mut *tx).await?;
    tx.commit().await?; // the job exists from here on, and workers are told
    Ok(StatusCode::CREATED)
}

async fn run(
    settings: &Configuration,
    listener: TcpListener,
    signals: impl AsyncFnMut() -> Interrupt,
) -> Result<ExitCode, BoxError> {
    let probe = Probe::new();
    let store = PgStore::connect(settings.database()?).await?;
    let pool = store.pool().clone();
    let jobs = Registry::new(pool.clone()).register::<Welcome>();
    let setup = Setup::new(settings.mode(), settings.config(), jobs, settings.backend(&store));
    let app = Router::new()
        .route("/users", post(sign_up))
        .with_state((pool, setup.adapter()))
        .nest("/jobs", probe.router());
    // Starts the pools, if the mode is `async`, and ends them with the server.
    server::serve(listener, app, &setup, settings.shutdown(), signals, |capsule| {
        probe.watch(capsule, &store);
    })
    .await
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let settings = Configuration::load()?;
    settings.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut signals = Signals::catch()?;
    let listener = server::listen(([127, 0, 0, 1], 3000).into())?;
    run(&settings, listener, async || signals.next().await).await
}

/// Any error, as a response that does not tell it.
struct Failure(BoxError);

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::error!("a request failed: {}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use goodjob_cli::Environment;
    use goodjob_testkit::{Database, eventually};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn request(address: std::net::SocketAddr, line: &str) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_signs_up_is_greeted() -> Result<(), BoxError> {
        let database = Database::fresh().await;
        let pool = database.pool().await;
        let users = "CREATE TABLE users (id bigserial PRIMARY KEY, greeted boolean)";
        sqlx::query(users).execute(&pool).await?;
        let (url, mode) = (database.url(), "async".to_owned());
        let environment =
            Environment::from_iter([("DATABASE_URL", url), ("GOOD_JOB_EXECUTION_MODE", mode)]);
        let directory = std::env::temp_dir();
        let settings = Configuration::load_from(&environment, &directory)?;

        let listener = server::listen(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let signals = async || {
            stop.cancelled().await;
            Interrupt::Sigterm
        };
        let visit = async {
            let response = request(address, "POST /users").await;
            assert!(response.starts_with("HTTP/1.1 201"), "{response}");
            eventually("a greeting", Duration::from_secs(5), async || {
                let greeted = sqlx::query_scalar("SELECT count(*) FROM users WHERE greeted");
                let greeted: Option<i64> = greeted.fetch_one(&pool).await.ok();
                greeted.filter(|count| *count == 1)
            })
            .await;
            let response = request(address, "GET /jobs/status/connected").await;
            assert!(response.ends_with("Connected"), "{response}");
            let response = request(address, "GET /jobs/metrics").await;
            let ended = "goodjob_jobs_ended_total{class=\"WelcomeJob\",outcome=\"succeeded\"} 1";
            assert!(response.contains(ended), "{response}");
            stop.cancel();
        };
        // It would wait for a second signal that never comes: the first one is all that there is.
        let mut told = false;
        let once = async || {
            if std::mem::replace(&mut told, true) {
                std::future::pending::<()>().await;
            }
            signals().await
        };
        let (code, ()) = tokio::join!(run(&settings, listener, once), visit);
        assert_eq!(code?, ExitCode::SUCCESS);
        Ok(())
    }
}
