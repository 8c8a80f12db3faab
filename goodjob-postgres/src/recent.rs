//! How many jobs ended lately in each queue, and how long they ran.

use std::time::Duration;

use goodjob_core::QueueSelector;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};

use crate::dialect::Dialect;
use crate::sql;

/// Finished jobs that are looked at, whatever their queue.
const LOOKED_AT: i64 = 10_000;

/// The run times of the last attempts of jobs that ended lately, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunTimes {
    /// How many were measured.
    pub attempts: i64,
    /// Half of them took no longer.
    pub median_seconds: f64,
    /// One in twenty took longer.
    pub p95_seconds: f64,
}

/// What ended lately in one queue.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Recent {
    pub(crate) queue: Option<String>,
    /// How far back was looked, in seconds: the same for every queue.
    pub(crate) reach: f64,
    pub(crate) finished: i64,
    measured: i64,
    median: Option<f64>,
    high: Option<f64>,
}

impl Recent {
    /// The run times; `None` where no attempt kept its row.
    pub(crate) fn runs(&self) -> Option<RunTimes> {
        let (median_seconds, p95_seconds) = (self.median?, self.high?);
        Some(RunTimes { attempts: self.measured, median_seconds, p95_seconds })
    }
}

/// Reads what ended within so long.
pub(crate) async fn read(
    session: &mut PgConnection,
    dialect: &Dialect,
    within: Duration,
) -> sqlx::Result<Vec<Recent>> {
    let query = sqlx::query_as(dialect.sql(sql::RECENT_RUNS));
    query.bind(within.as_secs_f64()).bind(LOOKED_AT).fetch_all(session).await
}

/// Jobs that ended in these queues, and within how many seconds; `None` when none did.
pub(crate) fn finished(recent: &[Recent], queues: &QueueSelector) -> Option<(i64, f64)> {
    let within = recent.first()?.reach;
    let of_them = recent.iter().filter(|recent| queues.matches(recent.queue.as_deref()));
    let finished: i64 = of_them.map(|recent| recent.finished).sum();
    (finished > 0 && within > 0.0).then_some((finished, within))
}
