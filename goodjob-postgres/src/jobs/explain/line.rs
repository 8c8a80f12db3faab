//! Who is before it in the line, and how fast that moves.

use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{QueueSelector, Timestamp};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};

use super::facts::Facts;
use super::reason::{Reason, Why};
use crate::dialect::Dialect;
use crate::lanes::MAX_LANES;
use crate::options::DequeueOrder;
use crate::recent::{self, Recent};
use crate::sql;

/// Jobs before it that are counted: what is more is not worth the reading.
const COUNTED: i64 = 10_000;
/// Kinds of pools for which the line is looked at. The fleet has seldom more than one or two.
const MOST_POOLS: usize = 4;
/// How far back the rate is measured.
const MEASURED: Duration = Duration::from_secs(300);

/// A job's place in the line of the pools that take it. Of several kinds of pools it is the one whose turn comes
/// first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The queues of the pools, as a queue string.
    pub queues: String,
    /// Due jobs that these pools take before it.
    pub jobs: i64,
    /// Whether there may be more than were counted: no more than 10,000 rows are read.
    pub more: bool,
    /// The slots of these pools in all processes.
    pub slots: u64,
    /// How many of them were in use at the last heartbeats; `None` when a process does not say.
    pub busy: Option<u64>,
    /// How fast jobs of these queues ended lately; `None` when none did, or none kept its row.
    pub rate: Option<Rate>,
}

/// How fast jobs end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Jobs that ended.
    pub finished: i64,
    /// Within so many seconds.
    pub within_seconds: f64,
    /// The one divided by the other.
    pub per_second: f64,
}

#[derive(FromRow)]
struct AheadRow {
    jobs: i64,
    more: bool,
}

/// The job's place in the line, when live processes may take it.
pub(super) async fn read(
    session: &mut PgConnection,
    dialect: &Dialect,
    order: DequeueOrder,
    facts: &Facts,
) -> sqlx::Result<Option<Reason>> {
    let pools = pools(facts);
    if pools.is_empty() {
        return Ok(None);
    }
    let recent = recent::read(session, dialect, MEASURED).await?;
    let query = sqlx::query_scalar::<_, bool>(dialect.sql(sql::HAS_LANES));
    let by_lanes = query.fetch_one(&mut *session).await? && order == DequeueOrder::ScheduledAt;
    let mut places = Vec::new();
    for queues in pools {
        let ahead = ahead(session, dialect, facts, &queues, by_lanes).await?;
        places.push(reason(facts, &queues, &ahead, &recent));
    }
    // Where the time is not known, the shorter line.
    Ok(places
        .into_iter()
        .min_by_key(|(jobs, reason)| {
            (reason.earliest_start.is_none(), reason.earliest_start, *jobs)
        })
        .map(|(_, reason)| reason))
}

/// The kinds of pools that may take it.
fn pools(facts: &Facts) -> Vec<QueueSelector> {
    let mut kinds: Vec<QueueSelector> = Vec::new();
    let pools = facts.fit().flat_map(|member| &member.pools);
    for queues in pools.filter_map(|pool| pool.parsed()).map(|pool| pool.queues) {
        if queues.matches(facts.job.queue.as_deref()) && !kinds.contains(&queues) {
            kinds.push(queues);
        }
    }
    kinds.truncate(MOST_POOLS);
    kinds
}

fn reason(
    facts: &Facts,
    queues: &QueueSelector,
    ahead: &AheadRow,
    recent: &[Recent],
) -> (i64, Reason) {
    let pools = facts.fit().flat_map(|member| &member.pools);
    let same: Vec<_> =
        pools.filter(|pool| pool.parsed().is_some_and(|pool| pool.queues == *queues)).collect();
    let slots = same.iter().map(|pool| pool.max_threads).sum();
    let busy = same.iter().map(|pool| pool.active_threads).sum::<Option<u64>>();
    let rate = recent::finished(recent, queues).map(|(finished, within_seconds)| Rate {
        finished,
        within_seconds,
        per_second: finished as f64 / within_seconds,
    });
    let is_next = ahead.jobs == 0 && !ahead.more && busy.is_some_and(|busy| busy < slots);
    let earliest_start = match rate {
        _ if is_next => Some(facts.now),
        Some(rate) => after(facts.now, ahead.jobs, rate),
        None => None,
    };
    let AheadRow { jobs, more } = *ahead;
    let line = Line { queues: queues.to_string(), jobs, more, slots, busy, rate };
    (jobs, Reason::new(Why::Behind(line), earliest_start))
}

/// When so many jobs have ended, and one more that makes room.
fn after(now: Timestamp, jobs: i64, rate: Rate) -> Option<Timestamp> {
    let seconds = (jobs + 1) as f64 / rate.per_second;
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    now.checked_add_signed(TimeDelta::from_std(wait).ok()?)
}

async fn ahead(
    session: &mut PgConnection,
    dialect: &Dialect,
    facts: &Facts,
    queues: &QueueSelector,
    by_lanes: bool,
) -> sqlx::Result<AheadRow> {
    let (names, except) = match queues {
        QueueSelector::All => (None, false),
        QueueSelector::Except(names) => (Some(names), true),
        QueueSelector::Only(names) | QueueSelector::InOrder(names) => (Some(names), false),
    };
    let (turn, in_order) = turn(facts, queues);
    let lanes = i64::try_from(MAX_LANES).unwrap_or(i64::MAX);
    let statement = match (by_lanes, queues) {
        (false, _) => sql::AHEAD_IN_ORDER,
        (true, QueueSelector::All | QueueSelector::Except(_)) => sql::AHEAD_ANY,
        (true, QueueSelector::Only(_) | QueueSelector::InOrder(_)) => sql::AHEAD_ONLY,
    };
    let query = sqlx::query_as(dialect.sql(statement)).bind(names);
    let query = match statement {
        sql::AHEAD_IN_ORDER => query.bind(except),
        _ => query.bind(lanes),
    };
    let job = &facts.job;
    let query = query
        .bind(job.priority)
        .bind(job.scheduled_at)
        .bind(job.id.as_uuid())
        .bind(turn)
        .bind(in_order)
        .bind(COUNTED)
        .bind(classes(facts))
        .bind(&facts.pauses.queues)
        .bind(&facts.pauses.classes)
        .bind(&facts.pauses.labels);
    let query = match statement {
        sql::AHEAD_IN_ORDER => query.bind(job.created_at),
        _ => query,
    };
    query.fetch_one(session).await
}

/// The place of the job's queue in a list that goes by order, as the statements count: from 1.
fn turn(facts: &Facts, queues: &QueueSelector) -> (i32, bool) {
    let QueueSelector::InOrder(names) = queues else { return (0, false) };
    let place = names.iter().position(|name| Some(name) == facts.job.queue.as_ref());
    (place.and_then(|place| i32::try_from(place + 1).ok()).unwrap_or(0), true)
}

/// What those who take it know; `None` when one of them does not say.
fn classes(facts: &Facts) -> Option<Vec<String>> {
    let known: Option<Vec<&Vec<String>>> =
        facts.fit().map(|member| member.classes.as_ref()).collect();
    let mut classes: Vec<String> = known?.into_iter().flatten().cloned().collect();
    classes.sort();
    classes.dedup();
    Some(classes)
}
