//! A throwaway Postgres, a conformance suite and a harness for testing goodjob.
//!
//! | module | what it gives |
//! |---|---|
//! | [`cluster`] | a Postgres server without configuration, shared by all test processes or private |
//! | [`Database`] | a migrated database for one test, which fails it when something is left behind |
//! | [`Schema`] | which tables it has: goodjob's, or those of a Rails application, new or old |
//! | [`Harness`] | a worker in a test: enqueue, and await how jobs end |
//! | [`gem`] | a stand-in for a process of Ruby's GoodJob, to test beside |
//! | [`Runs`] | what job bodies really did, and whether two runs of a job overlapped |
//! | [`conformance`] | what every store has to do, as tests for your own backend |
//! | [`eventually()`] | waits for a condition, and says what was there instead |

pub mod cluster;
pub mod conformance;
mod database;
mod eventually;
pub mod gem;
mod harness;
mod leaks;
mod runs;
mod schema;

pub use database::Database;
pub use eventually::{Sight, eventually};
pub use gem::GemWorker;
pub use harness::Harness;
pub use runs::Runs;
pub use schema::Schema;

/// The code in the document on testing compiles, and what needs no database runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing.md")]
mod document {}
