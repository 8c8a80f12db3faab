//! The gem's dashboard reads what we write: its reads as SQL, on tables full of rows of ours.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "dashboard/history.rs"]
mod history;
#[path = "dashboard/pages.rs"]
mod pages;
#[path = "dashboard/process.rs"]
mod process;
#[path = "dashboard/rows.rs"]
mod rows;
#[path = "lifecycle/ruby.rs"]
#[allow(dead_code, reason = "shared with facts.rs, which uses the rest")]
mod ruby;
