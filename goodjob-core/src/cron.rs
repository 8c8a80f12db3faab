//! Jobs at times: entries, their schedules, and the manager that enqueues a job at each tick.
//!
//! | file | what it has |
//! |---|---|
//! | `cron/entry.rs` | a [`CronEntry`]: a key, a schedule, and the job of a tick |
//! | `cron/schedule.rs` | a [`Schedule`]: a line of cron or a function, and when it comes next |
//! | `cron/line.rs`, `cron/english.rs` | a line as it is written, and sentences such as `every day at noon` |
//! | `cron/zone.rs` | a [`Zone`] of the IANA database |
//! | `cron/store.rs` | [`CronStore`]: what cron asks of a store beyond its jobs |
//! | `cron/plan.rs` | which ticks are due now, and which one is next; pure |
//! | `cron/manager.rs` | sleeps until a tick is due, and stores it |
//!
//! No process leads. Each enqueues every tick, and the store keeps the first job of a tick
//! ([`Tick`](crate::Tick)), whichever process, and whichever language, that came from.

mod english;
mod entry;
mod line;
mod manager;
mod plan;
mod schedule;
mod store;
mod zone;

pub use entry::{CronEntry, CronError};
pub(crate) use manager::Manager;
pub use schedule::{Schedule, ScheduleError};
pub use store::{CronStore, CronSwitches};
pub use zone::{Zone, ZoneError};

use std::time::Duration;

/// The cron of a process: its entries, and what holds for all of them.
///
/// ```
/// use std::time::Duration;
/// use goodjob_core::{Arguments, Config, Cron, CronEntry};
/// let nightly = CronEntry::of_class("nightly", "0 3 * * *", "NightlyJob", Arguments::default())?;
/// let cron = Cron {
///     entries: vec![nightly.queue("night")],
///     zone: "Europe/Paris".parse()?,
///     graceful_restart: Some(Duration::from_secs(300)),
/// };
/// let config = Config { cron, ..Config::default() };
/// # drop(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cron {
    /// The entries, each with a key of its own. None by default, and then there is no cron.
    pub entries: Vec<CronEntry>,
    /// Where entries are at home that name no zone: UTC by default. Every process that shares keys, Ruby's
    /// too, has to read them in one zone, or each enqueues ticks of its own (wire contract 8.2).
    pub zone: Zone,
    /// At the start, ticks this far back that no process has stored are made up for. `None` is not at all.
    /// Longer than the retention of jobs it would run ticks again whose rows are deleted.
    pub graceful_restart: Option<Duration>,
}
