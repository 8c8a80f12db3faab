//! The store against a real server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "postgres/conformance.rs"]
mod conformance;
#[path = "postgres/engine.rs"]
mod engine;
#[path = "postgres/enqueue.rs"]
mod enqueue;
#[path = "postgres/statements.rs"]
mod statements;
