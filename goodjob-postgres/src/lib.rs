//! goodjob on Postgres: the tables of Ruby's GoodJob gem, its lock protocol, LISTEN and NOTIFY.
//!
//! | file | what it does |
//! |---|---|
//! | `enqueue.rs` | stores jobs, on its own connection or in the caller's transaction |
//! | `store.rs` | [`PgStore`], each method one call into a file below; `store/connect.rs` is how it comes to be |
//! | `claim.rs`, `settle.rs` | the two statements around a job's body |
//! | `complete.rs` | a job writes its success in a transaction of its own |
//! | `notes.rs` | what jobs say about themselves |
//! | `cron.rs` | which entries of cron are switched on or off, and their last ticks |
//! | `batches.rs` | stores batches and has them go on |
//! | `limits.rs` | which jobs may be stored, which attempts may begin, whose turn is next |
//! | `pauses.rs` | what a claim need not look for, and pausing itself |
//! | `stand.rs` | connections that were in use a moment ago, for the next statement |
//! | `cleanup.rs` | deletes finished jobs that are old enough |
//! | `sessions.rs` | the two sessions that hold locks, on a thread of their own |
//! | `sessions/lock.rs`, `lock/claims.rs` | **L**: claims, holds every job's advisory lock, takes them again when it dies |
//! | `sessions/notify.rs` | **N**: LISTEN, heartbeat, the process lock, the death of peers |
//! | `fleet.rs` | whether the processes on these tables exclude each other |
//! | `migrate.rs`, `schema.rs` | makes the tables; says what is missing |
//! | `dialect.rs`, `tables.rs` | the statements under other table names, lock keys and older columns |
//! | `jobs.rs` | finds jobs by filter, shows them, and acts on them for a person |
//! | `inspect.rs`, `status.rs`, `doctor.rs` | reads for tools |
//! | `bench.rs` | raw SQL of the same work, and rows in its way, for `goodjob bench` |
//! | `roster.rs`, `recent.rs`, `queues.rs` | the processes and what ended lately; queue strings against the tables |
//! | `sql/` | every statement, one a file, with a comment that says why |

mod batches;
pub mod bench;
mod claim;
mod cleanup;
mod complete;
mod cron;
mod dialect;
pub mod doctor;
mod enqueue;
mod error;
mod fleet;
mod herald;
mod inserts;
mod inspect;
pub mod jobs;
mod key;
mod lanes;
mod limits;
pub mod migrate;
mod notes;
mod options;
mod pauses;
mod process;
pub mod queues;
mod recent;
pub mod roster;
mod rows;
mod schema;
mod sessions;
mod settle;
mod sql;
mod stand;
pub mod status;
mod store;
mod tables;
mod unlock;
mod upcoming;

pub use batches::EnqueueBatchIn;
pub use complete::{CompleteError, CompleteIn};
pub use enqueue::{EnqueueAllIn, EnqueueIn, Target, enqueue_in};
pub use error::ConnectError;
pub use key::advisory_key;
pub use options::{DequeueOrder, DequeueOrderError, LockStrategy, LockStrategyError, PgOptions};
pub use store::{PgStore, connect};
pub use tables::{HashFunction, HashFunctionError, TableNames, TableNamesError};

/// The version of sqlx whose connections and transactions [`EnqueueIn`] accepts.
pub use sqlx;

/// The settings under which a worker plans the statements that it repeats for ever, for tests of plans.
#[doc(hidden)]
pub use options::BY_INDEX;
/// Every statement of this crate with the name of its file, for tests that prepare them all.
#[doc(hidden)]
pub use sql::ALL as STATEMENTS;
