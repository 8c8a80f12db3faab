//! The tool as people and supervisors meet it: the real binary, its output and its exit codes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

#[path = "tool/batches.rs"]
mod batches;
#[path = "tool/bench.rs"]
mod bench;
#[path = "tool/cleanup.rs"]
mod cleanup;
#[path = "tool/command.rs"]
mod command;
#[path = "tool/cron.rs"]
mod cron;
#[path = "tool/database.rs"]
mod database;
#[path = "tool/explain.rs"]
mod explain;
#[path = "tool/jobs.rs"]
mod jobs;
#[path = "tool/pauses.rs"]
mod pauses;
#[path = "tool/probes.rs"]
mod probes;
#[path = "tool/settings.rs"]
mod settings;
#[path = "tool/usage.rs"]
mod usage;
#[path = "tool/worker.rs"]
mod worker;
