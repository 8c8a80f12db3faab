//! The tables of a Rails application are those that Rails makes: the lists were read from databases
//! that the gem's own migrations had made.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use goodjob_testkit::{Database, Schema};

const FACTS: &str = include_str!("schema/facts.sql");
const GEM_V4_19: &str = include_str!("schema/gem_v4_19.txt");
const GEM_V4_0: &str = include_str!("schema/gem_v4_0.txt");

async fn facts(schema: Schema, namespace: &str) -> Vec<String> {
    let database = Database::with_schema(schema).await;
    let pool = database.pool().await;
    let facts = sqlx::query_scalar(FACTS).bind(namespace).fetch_all(&pool).await.unwrap();
    pool.close().await;
    facts
}

#[tokio::test]
async fn the_newest_tables_of_the_gem_are_those_that_rails_makes() {
    let expected: Vec<&str> = GEM_V4_19.lines().collect();
    assert_eq!(facts(Schema::GEM, "public").await, expected);
}

#[tokio::test]
async fn the_oldest_tables_of_the_gem_are_those_that_rails_made() {
    let expected: Vec<&str> = GEM_V4_0.lines().collect();
    assert_eq!(facts(Schema::GEM_V4_0, "public").await, expected);
}

#[tokio::test]
async fn ours_have_what_jobs_need_our_indexes_and_our_ledger() {
    let ours = facts(Schema::LEAN, "public").await;
    let gems: Vec<&str> = GEM_V4_19.lines().collect();
    let added = ours.iter().filter(|fact| !gems.contains(&fact.as_str())).collect::<Vec<_>>();
    let ours_alone = [
        "goodjob_migrations",
        "index_goodjob_errored",
        "index_goodjob_keys",
        "index_goodjob_keys_running",
        "index_goodjob_keys_waiting",
        "index_goodjob_lanes",
        "index_goodjob_open_batches",
    ];
    for name in ours_alone {
        assert!(added.iter().any(|fact| fact.contains(name)), "{name}: {added:#?}");
    }
    let strange = added.iter().filter(|fact| !ours_alone.iter().any(|name| fact.contains(name)));
    assert_eq!(strange.count(), 0, "{added:#?}");
    let missing = gems.iter().filter(|fact| !ours.iter().any(|our| our == *fact));
    assert_eq!(missing.filter(|fact| !fact.starts_with("CREATE INDEX")).count(), 0);
}

#[tokio::test]
async fn times_may_know_their_zone_and_databases_have_another() {
    let zoned = facts(Schema::GEM.timestamptz(), "public").await;
    let times: Vec<_> = zoned.iter().filter(|fact| fact.contains(" timestamp")).collect();
    assert_eq!(times.len(), 21, "{times:#?}");
    assert!(times.iter().all(|fact| fact.contains("timestamp(6) with time zone")), "{times:#?}");

    let database = Database::with_schema(Schema::GEM.time_zone("Asia/Tokyo")).await;
    let pool = database.pool().await;
    // A session would not tell: the driver asks for UTC whatever the database says.
    let zone: Vec<String> = sqlx::query_scalar(
        "SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
         WHERE d.datname = current_database()",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(zone, ["TimeZone=Asia/Tokyo"]);
    pool.close().await;
}

#[tokio::test]
async fn tables_may_have_a_prefix_and_stand_elsewhere() {
    let elsewhere = Schema::GEM_V4_0.prefixed("acme_").in_schema("jobs");
    let facts = facts(elsewhere, "jobs").await;
    assert_eq!(facts.len(), GEM_V4_0.lines().count());
    assert!(facts.iter().any(|fact| fact.starts_with("acme_good_jobs.id uuid")), "{facts:#?}");
    let moved = |fact: &&String| {
        fact.contains(" ON jobs.acme_good_job") || fact.starts_with("acme_good_job")
    };
    assert_eq!(facts.iter().filter(moved).count(), facts.len(), "{facts:#?}");
}
