//! What a worker costs that has nothing to do.

use std::time::Duration;

use goodjob_testkit::{Database, Harness};
use tokio::time::Instant;

use crate::stage::{Nap, Stage, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_asks_less_than_once_a_second_over_few_connections() {
    // Long enough for what a session held back at the start not to weigh.
    const OVER: Duration = secs(22);
    // The longest that a session of the server keeps its counts to itself.
    const COUNTED: Duration = secs(11);
    let database = Database::fresh().await;
    let stage = Stage::on(&database).await;
    let worker = Harness::start(&database, stage.naps()).await;
    worker.finished(worker.enqueue(Nap { millis: 0 }).await).await;
    // Asked from elsewhere, so that the questions are not counted.
    let options: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    let name = options.get_database().unwrap().to_owned();
    stage.close().await;
    let outside = sqlx::PgPool::connect_with(options.database("postgres")).await.unwrap();
    let transactions = async || -> i64 {
        sqlx::query_scalar(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1",
        )
        .bind(&name)
        .fetch_one(&outside)
        .await
        .unwrap()
    };
    tokio::time::sleep(COUNTED).await;
    let (before, begun) = (transactions().await, Instant::now());
    tokio::time::sleep(OVER).await;
    let asked = transactions().await - before;
    let rate = asked as f64 / begun.elapsed().as_secs_f64();
    let connections: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = $1")
            .bind(&name)
            .fetch_one(&outside)
            .await
            .unwrap();
    println!(
        "an idle worker: {asked} statements in {OVER:?}, {rate:.2}/s; {connections} connections"
    );
    assert!(rate < 1.0, "{rate}");
    assert!((2..=6).contains(&connections), "{connections}");
    outside.close().await;
    worker.stop().await;
}
