//! What a test author is given: expectations, drains, time that passes, rows and a day of history.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "helpers/drains.rs"]
mod drains;
#[path = "helpers/expectations.rs"]
mod expectations;
#[path = "helpers/history.rs"]
mod history;
#[path = "helpers/jobs.rs"]
mod jobs;
#[path = "helpers/journeys.rs"]
mod journeys;
