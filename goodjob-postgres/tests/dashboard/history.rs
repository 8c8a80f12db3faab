//! A day of the testkit's history, on every page.

use chrono::Utc;
use goodjob_testkit::{Database, History, Schema};

use crate::pages;

#[tokio::test]
async fn every_page_shows_a_day_of_history() {
    let database = Database::with_schema(Schema::GEM).await;
    let (store, pool) = (database.store().await, database.pool().await);
    let end = Utc::now();
    let rows = History::ending(end).rows();
    rows.store_in(&store).await;

    let tabs = pages::tabs(&pool).await;
    assert_eq!(tabs.len(), 6);
    assert!(tabs.values().all(|jobs| *jobs >= 3), "{tabs:?}");
    let attempts = pages::attempts(&pool).await;
    assert_eq!(attempts.len(), rows.executions.len());
    for attempt in attempts {
        assert!(attempt.latency.is_some_and(f64::is_finite), "{attempt:?}");
        assert_eq!((attempt.sound, attempt.timed), (Some(true), true), "{attempt:?}");
    }
    assert!(pages::search(&pool, "CardDeclined").await > 0, "found by its error");
    assert!(pages::others(&pool).await.iter().all(|rows| *rows > 0));
    let processes = pages::processes(&pool).await;
    assert_eq!(processes.len(), rows.processes.len(), "all of them live");
    assert!(processes.iter().all(|process| process.has_memory && !process.pools.is_empty()));
    pool.close().await;
    store.close().await;
}
