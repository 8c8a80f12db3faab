//! The store on the tables of a Rails application with the gem v4.19: the tests of `postgres.rs`, but for
//! those that make our own tables.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use goodjob_testkit::{Database, Schema};

#[path = "postgres/conformance.rs"]
mod conformance;
#[path = "postgres/engine.rs"]
mod engine;
#[path = "postgres/enqueue.rs"]
mod enqueue;
#[path = "postgres/faults.rs"]
mod faults;
#[path = "postgres/fence.rs"]
mod fence;
#[path = "postgres/fleet.rs"]
mod fleet;
#[path = "postgres/idle.rs"]
mod idle;
#[path = "postgres/limits.rs"]
mod limits;
#[path = "postgres/locks.rs"]
mod locks;
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
#[path = "postgres/waking.rs"]
mod waking;

/// The tables that every test here works on: all of the gem's indexes, none of ours.
const SCHEMA: Schema = Schema::GEM;

async fn database() -> Database {
    Database::with_schema(SCHEMA).await
}
