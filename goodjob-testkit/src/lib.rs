//! A throwaway Postgres, a conformance suite and a harness for testing goodjob.
//!
//! | module | what it gives |
//! |---|---|
//! | [`cluster`] | a Postgres server without configuration, shared by all test processes or private |
//! | [`Database`] | a migrated database for one test, which fails it when something is left behind |

pub mod cluster;
mod database;
mod leaks;

pub use database::Database;
