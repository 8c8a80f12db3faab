//! What a person does about jobs, against a real server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use goodjob_testkit::{Database, Schema};

#[path = "actions/bulk.rs"]
mod bulk;
#[path = "actions/busy.rs"]
mod busy;
#[path = "actions/finding.rs"]
mod finding;
#[path = "actions/plant.rs"]
mod plant;
#[path = "actions/showing.rs"]
mod showing;
#[path = "actions/writes.rs"]
mod writes;

/// The tables that every test here works on. `gem_schema.rs` runs the same tests on others.
async fn database() -> Database {
    Database::with_schema(Schema::LEAN).await
}
