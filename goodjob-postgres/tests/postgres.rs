//! The store against a real server, on the tables that goodjob makes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use goodjob_testkit::{Database, Schema};

#[path = "postgres/batch_cases.rs"]
mod batch_cases;
#[path = "postgres/batches.rs"]
mod batches;
#[path = "postgres/conformance.rs"]
mod conformance;
#[path = "postgres/cron.rs"]
mod cron;
#[path = "postgres/engine.rs"]
mod engine;
#[path = "postgres/enqueue.rs"]
mod enqueue;
#[path = "postgres/explain.rs"]
mod explain;
#[path = "postgres/faults.rs"]
mod faults;
#[path = "postgres/fence.rs"]
mod fence;
#[path = "postgres/fleet.rs"]
mod fleet;
#[path = "postgres/floors.rs"]
mod floors;
#[path = "postgres/growth.rs"]
mod growth;
#[path = "postgres/idle.rs"]
mod idle;
#[path = "postgres/inline.rs"]
mod inline;
#[path = "postgres/inside.rs"]
mod inside;
#[path = "postgres/limits.rs"]
mod limits;
#[path = "postgres/locks.rs"]
mod locks;
#[path = "postgres/migrations.rs"]
mod migrations;
#[path = "postgres/old_schema.rs"]
mod old_schema;
#[path = "postgres/pauses.rs"]
mod pauses;
#[path = "postgres/proxy.rs"]
mod proxy;
#[path = "postgres/regressions.rs"]
mod regressions;
#[path = "postgres/restarts.rs"]
mod restarts;
#[path = "postgres/rows.rs"]
mod rows;
#[path = "postgres/stage.rs"]
mod stage;
#[path = "postgres/statements.rs"]
mod statements;
#[path = "postgres/suspects.rs"]
mod suspects;
#[path = "postgres/tables.rs"]
mod tables;
#[path = "postgres/waking.rs"]
mod waking;

/// The tables that every test here works on. `gem_schema.rs` runs the same tests on others.
const SCHEMA: Schema = Schema::LEAN;

async fn database() -> Database {
    Database::with_schema(SCHEMA).await
}
