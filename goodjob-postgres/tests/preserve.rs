//! What is kept of finished jobs, on a real server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "preserve/cleanup.rs"]
mod cleanup;
#[path = "preserve/process.rs"]
mod process;
#[path = "preserve/scene.rs"]
mod scene;
#[path = "preserve/settle.rs"]
mod settle;
