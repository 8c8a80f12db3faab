//! Nobody can tell from the rows who ran a job: what our worker leaves is compared, column by column, with
//! what the gem left of the same jobs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "lifecycle/differences.rs"]
mod differences;
#[path = "lifecycle/discard.rs"]
mod discard;
#[path = "lifecycle/jobs.rs"]
mod jobs;
#[path = "lifecycle/kept.rs"]
mod kept;
#[path = "lifecycle/outcomes.rs"]
mod outcomes;
#[path = "lifecycle/rows.rs"]
mod rows;
#[path = "lifecycle/ruby.rs"]
#[allow(dead_code, reason = "shared with facts.rs, which uses the rest")]
mod ruby;
#[path = "lifecycle/unobserved.rs"]
mod unobserved;
