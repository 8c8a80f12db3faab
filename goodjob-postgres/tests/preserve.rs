//! What is kept of finished jobs, on a real server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use goodjob_testkit::{Database, Schema};

#[path = "preserve/cleanup.rs"]
mod cleanup;
#[path = "preserve/process.rs"]
mod process;
#[path = "preserve/scene.rs"]
mod scene;
#[path = "preserve/settle.rs"]
mod settle;

/// The tables that every test here works on. `gem_schema.rs` runs the same tests on others.
async fn database() -> Database {
    Database::with_schema(Schema::LEAN).await
}
