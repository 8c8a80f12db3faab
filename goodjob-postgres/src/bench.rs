//! What `goodjob bench` needs of the tables: the limit that a worker is measured against ([`Bare`]), and the
//! rows that a bench makes and removes ([`BenchRows`]). No worker uses any of it.

mod bare;
mod rows;

pub use bare::Bare;
pub use rows::{Backlog, BenchRows};
