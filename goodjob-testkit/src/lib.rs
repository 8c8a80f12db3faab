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
//! | [`assert_enqueued!`] and [`Expected`] | what was enqueued, and what is there instead |
//! | [`Drain`] | does what is due in the test, and says how each job ended |
//! | [`TestStore`] | lets time pass for a store |
//! | [`Sequence`], [`Sequences`], [`Dice`] | values that are the same in every run |
//! | [`factory`], [`Rows`], [`History`] | records, rows, and a believable day of them |
//! | [`conformance`] | what every store has to do, as tests for your own backend |
//! | [`eventually()`] | waits for a condition, and says what was there instead |

pub mod cluster;
pub mod conformance;
mod database;
mod dice;
mod drain;
mod eventually;
mod expected;
pub mod factory;
pub mod gem;
mod harness;
mod history;
mod leaks;
mod rows;
mod runs;
mod schema;
mod sequence;
mod test_store;

pub use database::Database;
pub use dice::Dice;
pub use drain::{Drain, Ended, Ends};
pub use eventually::{Sight, claims, eventually};
pub use expected::{AnyJob, Expected};
pub use gem::GemWorker;
pub use harness::Harness;
pub use history::History;
pub use rows::{ProcessRow, Rows, SettingRow};
pub use runs::Runs;
pub use schema::Schema;
pub use sequence::{Rewound, Sequence, Sequences};
pub use test_store::TestStore;

/// The macros ask by it.
#[doc(hidden)]
pub use goodjob_core::Inspect;

/// The code in the document on testing compiles, and what needs no database runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing.md")]
mod document {}
