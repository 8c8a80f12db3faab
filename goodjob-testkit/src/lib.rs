//! A throwaway Postgres, a conformance suite and a harness for testing goodjob.

pub mod conformance;
mod eventually;

pub use eventually::{Sight, eventually};
