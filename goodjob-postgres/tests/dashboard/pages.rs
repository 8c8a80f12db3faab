//! The pages of the gem's dashboard, as the statements that they send.

use std::collections::BTreeMap;

use sqlx::PgPool;

/// What the page of a job computes for an attempt.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Attempt {
    pub(crate) what: String,
    pub(crate) latency: Option<f64>,
    pub(crate) sound: Option<bool>,
    pub(crate) timed: bool,
}

/// What the page of processes shows of one.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Process {
    pub(crate) id: uuid::Uuid,
    pub(crate) has_memory: bool,
    pub(crate) pid: String,
    pub(crate) hostname: String,
    pub(crate) title: String,
    pub(crate) cron: bool,
    pub(crate) pools: Vec<String>,
    pub(crate) aged: bool,
}

/// How many jobs each tab has.
pub(crate) async fn tabs(pool: &PgPool) -> BTreeMap<String, i64> {
    let tabs: Vec<(String, i64)> =
        sqlx::query_as(include_str!("tabs.sql")).fetch_all(pool).await.unwrap();
    tabs.into_iter().collect()
}

/// The attempts at all jobs.
pub(crate) async fn attempts(pool: &PgPool) -> Vec<Attempt> {
    sqlx::query_as(include_str!("attempts.sql")).fetch_all(pool).await.unwrap()
}

/// How many jobs a search finds.
pub(crate) async fn search(pool: &PgPool, words: &str) -> usize {
    let found = sqlx::query(include_str!("search.sql")).bind(words).fetch_all(pool).await;
    found.unwrap().len()
}

/// Every other page that reads jobs: class or queue with error or times, as they are shown.
pub(crate) async fn others(pool: &PgPool) -> [usize; 4] {
    let pages = [
        include_str!("chart.sql"),
        include_str!("performance.sql"),
        include_str!("cleaner.sql"),
        include_str!("others.sql"),
    ];
    let mut rows = [0; 4];
    for (rows, page) in rows.iter_mut().zip(pages) {
        *rows = sqlx::query(page).fetch_all(pool).await.unwrap().len();
    }
    rows
}

/// The processes that are alive.
pub(crate) async fn processes(pool: &PgPool) -> Vec<Process> {
    sqlx::query_as(include_str!("processes.sql")).fetch_all(pool).await.unwrap()
}
