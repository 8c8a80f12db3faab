//! What a worker costs that has nothing to do.

use std::time::Duration;

use goodjob_testkit::Harness;
use tokio::time::Instant;

use crate::stage::{Nap, Stage, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_asks_less_than_once_a_second_over_few_connections() {
    const SPAN: Duration = secs(10);
    let database = crate::database().await;
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
    // A session of the server may keep its counts to itself for 10 s, and the server's own upkeep is
    // counted too: what the worker asks by itself is what is asked in the quietest of some spans.
    let mut rates = Vec::new();
    while rates.len() < 9 && rates.last().is_none_or(|rate| *rate >= 1.0) {
        let (before, begun) = (transactions().await, Instant::now());
        tokio::time::sleep(SPAN).await;
        rates.push((transactions().await - before) as f64 / begun.elapsed().as_secs_f64());
    }
    let connections: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = $1")
            .bind(&name)
            .fetch_one(&outside)
            .await
            .unwrap();
    println!("an idle worker: {rates:.2?} statements a second, {connections} connections");
    assert!(rates.last().is_some_and(|rate| *rate < 1.0), "{rates:?}");
    // Two sessions, two that write outcomes, and a pool of four; fewer when they have idled for a minute.
    assert!((2..=8).contains(&connections), "{connections}");
    outside.close().await;
    worker.stop().await;
}
