//! The store against a real server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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
#[path = "postgres/idle.rs"]
mod idle;
#[path = "postgres/locks.rs"]
mod locks;
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
