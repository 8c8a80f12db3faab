//! The store against a real server.

#[path = "postgres/conformance.rs"]
mod conformance;
#[path = "postgres/engine.rs"]
mod engine;
#[path = "postgres/enqueue.rs"]
mod enqueue;
#[path = "postgres/statements.rs"]
mod statements;
