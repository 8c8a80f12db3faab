//! Actions on all that a filter finds.

use goodjob_core::JobState;
use goodjob_postgres::jobs::{Action, Bulk, Filter, Tally};

use crate::plant::{EACH_STATE, one, plant, plant_discarded};

async fn through(mut bulk: Bulk) -> (usize, Tally) {
    let (mut batches, mut tally) = (0, Tally::default());
    while let Some(batch) = bulk.next_batch().await.unwrap() {
        batches += 1;
        tally += batch;
    }
    (batches, tally)
}

#[tokio::test]
async fn many_are_done_in_batches_while_others_arrive() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    plant_discarded(&pool, 1_200, "PlantJob").await;
    plant_discarded(&pool, 3, "OtherJob").await;
    let filter = Filter::new().class("PlantJob").unwrap();
    let mut bulk = store.bulk(filter, Action::Retry).await.unwrap();
    assert_eq!(bulk.matched(), 1_200);
    let mut done = Vec::new();
    while let Some(batch) = bulk.next_batch().await.unwrap() {
        assert_eq!(batch.total(), batch.done);
        done.push(batch.done);
        // More than a batch each time: an action that took them would not come to an end.
        plant_discarded(&pool, 600, "PlantJob").await;
    }
    assert_eq!(done, [500, 500, 200]);
    let waiting =
        "SELECT count(*) FROM good_jobs WHERE finished_at IS NULL AND job_class = 'PlantJob'";
    assert_eq!(one::<i64>(&pool, waiting).await, 1_200);
    let left = Filter::new().states([JobState::Discarded]);
    assert_eq!(store.count(&left).await.unwrap(), 1_800 + 3);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn jobs_that_fail_again_are_not_taken_twice() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    plant_discarded(&pool, 1_200, "PlantJob").await;
    let mut bulk = store.bulk(Filter::new(), Action::Retry).await.unwrap();
    let mut tally = Tally::default();
    while let Some(batch) = bulk.next_batch().await.unwrap() {
        tally += batch;
        sqlx::query("UPDATE good_jobs SET finished_at = now() WHERE finished_at IS NULL")
            .execute(&pool)
            .await
            .unwrap();
    }
    assert_eq!(tally, Tally { done: 1_200, ..Tally::default() });
    let counts = "SELECT count(*) FROM good_jobs WHERE (serialized_params->>'executions')::int = 1";
    assert_eq!(one::<i64>(&pool, counts).await, 1_200);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn bulk_deletion_leaves_no_attempts() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    plant_discarded(&pool, 1_000, "PlantJob").await;
    plant_discarded(&pool, 2, "OtherJob").await;
    let filter = Filter::new().class("PlantJob").unwrap();
    let (batches, tally) = through(store.bulk(filter, Action::Delete).await.unwrap()).await;
    assert_eq!((batches, tally.done), (2, 1_000));
    assert_eq!(one::<i64>(&pool, "SELECT count(*) FROM good_job_executions").await, 2);
    assert_eq!(one::<i64>(&pool, "SELECT count(*) FROM good_jobs").await, 2);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn only_the_states_that_an_action_is_for_are_found() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    for (_, change) in EACH_STATE {
        plant(&pool, change).await;
    }
    let discard = Action::Discard { reason: None };
    assert_eq!(store.bulk(Filter::new(), discard.clone()).await.unwrap().matched(), 4);
    assert_eq!(store.bulk(Filter::new(), Action::Delete).await.unwrap().matched(), 2);
    let finished = Filter::new().states([JobState::Succeeded]);
    let bulk = store.bulk(finished, discard).await.unwrap();
    assert_eq!((bulk.matched(), through(bulk).await), (0, (0, Tally::default())));
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn what_has_changed_since_it_was_found_is_told() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let queued = plant(&pool, "priority = 0").await;
    let other = plant(&pool, "priority = 0").await;
    let mut bulk = store.bulk(Filter::new(), Action::Discard { reason: None }).await.unwrap();
    store.discard(queued, None).await.unwrap();
    store.delete(queued).await.unwrap();
    assert_eq!(bulk.matched(), 2);
    let batch = bulk.next_batch().await.unwrap().unwrap();
    assert_eq!(
        batch,
        Tally { done: 1, ..Tally::default() },
        "the filter does not find it any more"
    );
    assert_eq!(bulk.next_batch().await.unwrap(), None);
    assert_eq!(store.count(&Filter::new().ids([other])).await.unwrap(), 1);
    store.close().await;
    pool.close().await;
}
