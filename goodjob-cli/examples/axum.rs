//! A web application that does its own jobs: a request stores a user and a job in one transaction, and
//! a capsule in the same process does the job.
//!
//! ```sh
//! goodjob migrate
//! psql "$DATABASE_URL" -c 'CREATE TABLE users (id bigserial PRIMARY KEY, greeted boolean)'
//! cargo run --example axum &
//! curl -X POST http://127.0.0.1:3000/users
//! ```

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use goodjob_core::{
    Adapter, BoxError, Capsule, Config, Context, Job, JobResult, Perform, Registry, Shutdown,
};
use goodjob_postgres::{EnqueueIn, PgOptions, PgStore};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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

async fn serve(url: &str, listener: TcpListener, stop: CancellationToken) -> Result<(), BoxError> {
    let pool = PgPool::connect(url).await?;
    let store = PgStore::connect(PgOptions::from_url(url)?).await?;
    let app =
        Router::new().route("/users", post(sign_up)).with_state((pool.clone(), store.adapter()));
    let jobs = Registry::new(pool).register::<Welcome>();
    let capsule = Capsule::start(Config::default(), jobs, store).await?;

    // At the end requests first, which may enqueue; then the jobs that are running.
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?;
    capsule.shutdown(Shutdown::Forever).await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        drop(guard);
    });
    serve(&std::env::var("DATABASE_URL")?, listener, stop).await
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
        eprintln!("a request failed: {}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use goodjob_testkit::{Database, eventually};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn who_signs_up_is_greeted() -> Result<(), BoxError> {
        let database = Database::fresh().await;
        let pool = database.pool().await;
        let users = "CREATE TABLE users (id bigserial PRIMARY KEY, greeted boolean)";
        sqlx::query(users).execute(&pool).await?;

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (url, stop) = (database.url(), CancellationToken::new());
        let stopping = stop.clone();
        let server = tokio::spawn(async move { serve(&url, listener, stopping).await });

        let mut client = TcpStream::connect(address).await?;
        client.write_all(b"POST /users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        let mut response = String::new();
        client.read_to_string(&mut response).await?;
        assert!(response.starts_with("HTTP/1.1 201"), "{response}");

        eventually("a greeting", Duration::from_secs(5), async || {
            let greeted = sqlx::query_scalar("SELECT count(*) FROM users WHERE greeted");
            let greeted: Option<i64> = greeted.fetch_one(&pool).await.ok();
            greeted.filter(|count| *count == 1)
        })
        .await;
        stop.cancel();
        server.await?
    }
}
