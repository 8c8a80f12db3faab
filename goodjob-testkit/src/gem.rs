//! A stand-in for a process of Ruby's GoodJob gem v4.19, to test beside.
//!
//! It imitates: every statement is written from the wire contract, one a file under `sql/gem_*.sql`, and
//! is sent in the gem's order, with the client's clock, on one connection for each thread, as Ruby does.
//! It is no copy, and what it does is no proof of what Ruby does.
//!
//! What it does: the process row with its heartbeat and the clean-up of inactive ones; claims by each of
//! the three strategies, with their holes; start, retry, end and interruption of a run in the gem's
//! transactions; deletion of what is not kept; unlocking after the commit; unknown classes, which it
//! finishes with a `NameError`; NOTIFY, LISTEN and the rules by which a message is read; `advisory` as the
//! only strategy on tables without `lock_type`; going on over a new connection when one has died.
//!
//! What it leaves out: enqueueing, batches, concurrency limits, cron, pauses, labels, the order of a
//! queue string `+a,b`, `dequeue_query_sort: scheduled_at`, `advisory_lock_heartbeat`, other hash
//! functions than MD5, the clean-up of preserved jobs, the cache of future jobs at start. A wake-up and a poll
//! start as many threads as they find jobs for, where the gem starts one that starts the next.

mod job;
mod notice;
mod options;
mod perform;
mod process;
mod session;
mod worker;

pub use job::{GemJob, GemRun, Performed, RubyError};
pub use notice::GemNotice;
pub use options::{GemOptions, GemStrategy};
pub use session::GemSession;
pub use worker::GemWorker;

use goodjob_core::Timestamp;

/// The client's clock, by which the gem writes and compares all times; as precise as the columns.
fn now() -> Timestamp {
    use chrono::SubsecRound;
    chrono::Utc::now().trunc_subsecs(6)
}
