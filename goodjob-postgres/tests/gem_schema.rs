//! The store on the tables of a Rails application with the gem v4.19: the tests of `postgres.rs`, but for
//! those that make our own tables, of `actions.rs` and of `preserve.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use goodjob_testkit::{Database, Schema};

#[path = "postgres/batch_cases.rs"]
mod batch_cases;
#[path = "postgres/batches.rs"]
mod batches;
#[path = "actions/bulk.rs"]
mod bulk;
#[path = "actions/busy.rs"]
mod busy;
#[path = "preserve/cleanup.rs"]
mod cleanup;
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
#[path = "actions/finding.rs"]
mod finding;
#[path = "postgres/fleet.rs"]
mod fleet;
#[path = "postgres/floors.rs"]
mod floors;
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
#[path = "postgres/pauses.rs"]
mod pauses;
#[path = "actions/plant.rs"]
mod plant;
#[path = "preserve/process.rs"]
mod process;
#[path = "postgres/proxy.rs"]
mod proxy;
#[path = "postgres/regressions.rs"]
mod regressions;
#[path = "postgres/restarts.rs"]
mod restarts;
#[path = "postgres/rows.rs"]
mod rows;
#[path = "preserve/scene.rs"]
mod scene;
#[path = "preserve/settle.rs"]
mod settle;
#[path = "actions/showing.rs"]
mod showing;
#[path = "postgres/stage.rs"]
mod stage;
#[path = "postgres/statements.rs"]
mod statements;
#[path = "postgres/suspects.rs"]
mod suspects;
#[path = "postgres/waking.rs"]
mod waking;
#[path = "actions/writes.rs"]
mod writes;

/// The tables that every test here works on: all of the gem's indexes, none of ours.
const SCHEMA: Schema = Schema::GEM;

async fn database() -> Database {
    Database::with_schema(SCHEMA).await
}
