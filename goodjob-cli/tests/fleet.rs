//! Several real processes on one database: what they promise when they are killed, stopped, late or
//! wrongly set up.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

#[path = "tool/command.rs"]
#[expect(dead_code, reason = "the tests of the tool need more of it")]
mod command;
#[path = "fleet/kills.rs"]
mod kills;
#[path = "fleet/latency.rs"]
mod latency;
#[path = "fleet/poison.rs"]
mod poison;
#[path = "fleet/ruby.rs"]
mod ruby;
#[path = "fleet/startup.rs"]
mod startup;
#[path = "fleet/stops.rs"]
mod stops;
#[path = "fleet/worker.rs"]
mod worker;
