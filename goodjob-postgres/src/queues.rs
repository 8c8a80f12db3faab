//! What a queue string comes to, held against the queues that there are.

use std::time::Duration;

use goodjob_core::{Pool, ProcessId, QueueSelector, StoreError};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};

use crate::error::store_error;
use crate::recent::{self, Recent};
use crate::roster::{self, Member};
use crate::sql;
use crate::store::{PgStore, ServerRow};

pub use crate::recent::RunTimes;

/// Queues with waiting jobs that are looked at.
pub const MOST_QUEUES: i64 = 500;
/// Waiting jobs of a queue that are counted.
pub const COUNTED_UP_TO: i64 = 1_000;
/// How far back run times are measured.
const MEASURED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A queue is slow for another one if its jobs take so many times as long, and at least so many seconds.
const SLOWER: f64 = 10.0;
const SLOW: f64 = 1.0;

/// What pools come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueuePlan {
    /// The pools, in their order.
    pub pools: Vec<PoolPlan>,
    /// The queues that have unfinished jobs, or had some that ended lately.
    pub queues: Vec<QueueSeen>,
    /// Those of them that no pool takes.
    pub untaken: Vec<Option<String>>,
    /// Those whose jobs are short, and that only pools take which take much longer jobs of other queues, too.
    pub only_slow: Vec<OnlySlow>,
    /// Queues that the string names, and that have no jobs.
    pub unseen: Vec<String>,
    /// The connections that it takes.
    pub connections: Connections,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolPlan {
    /// Its queues, as a queue string.
    pub queues: String,
    /// Its slots.
    pub max_threads: usize,
    /// The queues with jobs that it takes; `None` is jobs without a queue.
    pub takes: Vec<Option<String>>,
}

/// A queue as it is in the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueueSeen {
    /// Its name; `None` for jobs without a queue.
    pub queue: Option<String>,
    /// Jobs that wait, future ones too, at most [`COUNTED_UP_TO`] + 1.
    pub waiting: i64,
    /// Those that are due, among the ones that were counted.
    pub due: i64,
    /// Jobs that run, or whose process vanished.
    pub running: i64,
    /// For how many seconds the oldest of these has run.
    pub longest_running_seconds: Option<f64>,
    /// How long its jobs took lately; `None` when that is not known.
    pub run_times: Option<RunTimes>,
    /// The pools that take it, by their place in [`QueuePlan::pools`].
    pub pools: Vec<usize>,
    /// Live processes that take it now.
    pub processes: Vec<ProcessId>,
}

/// A queue of short jobs that wait behind long ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OnlySlow {
    /// The queue.
    pub queue: Option<String>,
    /// Half of its jobs took no longer.
    pub median_seconds: f64,
    /// For each pool that takes it, what makes that slow.
    pub because: Vec<SlowPool>,
}

/// What makes a pool slow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlowPool {
    /// The pool, by its place in [`QueuePlan::pools`].
    pub pool: usize,
    /// The queue of the long jobs, the longest of the pool.
    pub queue: Option<String>,
    /// How long these take: one in twenty took longer, or one has run for so long now.
    pub seconds: f64,
}

/// Connections to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// What a goodjob worker with these pools uses at most, whatever its slots. What the jobs themselves use
    /// comes on top.
    pub needed: u32,
    /// What a process of the gem with these pools uses: one for each thread, one that listens, one for the
    /// rest (wire contract 13.6).
    pub needed_by_ruby: usize,
    /// What the server has left.
    pub free: i64,
}

#[derive(FromRow)]
struct SeenRow {
    queue: Option<String>,
    waiting: i64,
    due: i64,
    running: i64,
    longest: Option<f64>,
}

impl PgStore {
    /// What these pools come to, held against the queues in the table, the processes that are alive, and how
    /// long jobs took lately. Reads are bounded: [`MOST_QUEUES`] queues, [`COUNTED_UP_TO`] jobs of each, and
    /// the 10,000 jobs that ended last.
    ///
    /// # Errors
    /// When the database cannot be asked, or has not answered within 10 s.
    pub async fn explain_queues(&self, pools: &[Pool]) -> Result<QueuePlan, StoreError> {
        let reading = async {
            let server = ServerRow::read(self.options()).await?;
            let mut session = self.begin_reading().await?;
            let queues = seen(&mut session, self, pools).await?;
            session.rollback().await?;
            let threads: usize = pools.iter().map(|pool| pool.max_threads.get()).sum();
            let connections = Connections {
                needed: self.options().most_connections(),
                needed_by_ruby: threads + 2,
                free: i64::from(server.max_connections) - server.connections,
            };
            Ok(plan(pools, queues, connections))
        };
        reading.await.map_err(store_error)
    }
}

async fn seen(
    session: &mut PgConnection,
    store: &PgStore,
    pools: &[Pool],
) -> sqlx::Result<Vec<QueueSeen>> {
    let rows: Vec<SeenRow> = sqlx::query_as(store.sql(sql::QUEUES_SEEN))
        .bind(MOST_QUEUES)
        .bind(COUNTED_UP_TO + 1)
        .fetch_all(&mut *session)
        .await?;
    let recent = recent::read(session, &store.dialect(), MEASURED).await?;
    let members = roster::read(session, &store.dialect(), None).await?;
    let idle = recent.iter().filter(|recent| rows.iter().all(|row| row.queue != recent.queue));
    let idle = idle.map(|recent| SeenRow {
        queue: recent.queue.clone(),
        waiting: 0,
        due: 0,
        running: 0,
        longest: None,
    });
    let idle: Vec<_> = idle.collect();
    let all = rows.into_iter().chain(idle);
    Ok(all.map(|row| queue_seen(row, pools, &recent, &members)).collect())
}

fn queue_seen(row: SeenRow, pools: &[Pool], recent: &[Recent], members: &[Member]) -> QueueSeen {
    let name = row.queue.as_deref();
    let taking = pools.iter().enumerate().filter(|(_, pool)| pool.queues.matches(name));
    let serving = members.iter().filter(|member| member.is_at_work() && member.takes(name));
    QueueSeen {
        waiting: row.waiting,
        due: row.due,
        running: row.running,
        longest_running_seconds: row.longest,
        run_times: recent.iter().find(|recent| recent.queue == row.queue).and_then(Recent::runs),
        pools: taking.map(|(place, _)| place).collect(),
        processes: serving.map(|member| member.id).collect(),
        queue: row.queue,
    }
}

/// Holds the pools against the queues. Pure.
fn plan(pools: &[Pool], queues: Vec<QueueSeen>, connections: Connections) -> QueuePlan {
    let taken_by = |place: usize| queues.iter().filter(move |seen| seen.pools.contains(&place));
    let pool_plan = |(place, pool): (usize, &Pool)| PoolPlan {
        queues: pool.queues.to_string(),
        max_threads: pool.max_threads.get(),
        takes: taken_by(place).map(|seen| seen.queue.clone()).collect(),
    };
    let untaken = queues.iter().filter(|seen| seen.pools.is_empty());
    let mut unseen: Vec<String> = pools
        .iter()
        .flat_map(|pool| match &pool.queues {
            QueueSelector::All => [].as_slice(),
            QueueSelector::Only(names)
            | QueueSelector::InOrder(names)
            | QueueSelector::Except(names) => names.as_slice(),
        })
        .filter(|name| queues.iter().all(|seen| seen.queue.as_ref() != Some(*name)))
        .cloned()
        .collect();
    unseen.sort();
    unseen.dedup();
    QueuePlan {
        pools: pools.iter().enumerate().map(pool_plan).collect(),
        untaken: untaken.map(|seen| seen.queue.clone()).collect(),
        only_slow: queues.iter().filter_map(|seen| only_slow(seen, &queues)).collect(),
        unseen,
        connections,
        queues,
    }
}

/// Whether every pool that takes a queue of short jobs takes much longer ones, too.
fn only_slow(seen: &QueueSeen, queues: &[QueueSeen]) -> Option<OnlySlow> {
    let median_seconds = seen.run_times?.median_seconds;
    let slow_pool = |pool: &usize| {
        let others =
            queues.iter().filter(|other| other.queue != seen.queue && other.pools.contains(pool));
        let slowest = others.filter_map(|other| Some((long(other)?, &other.queue)));
        let (seconds, queue) = slowest.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
        let is_slow = seconds >= SLOW && seconds >= SLOWER * median_seconds;
        is_slow.then(|| SlowPool { pool: *pool, queue: queue.clone(), seconds })
    };
    let because: Vec<_> = seen.pools.iter().map(slow_pool).collect::<Option<_>>()?;
    (!because.is_empty()).then(|| OnlySlow { queue: seen.queue.clone(), median_seconds, because })
}

/// How long jobs of a queue occupy a slot.
fn long(seen: &QueueSeen) -> Option<f64> {
    let measured = seen.run_times.map(|runs| runs.p95_seconds);
    [measured, seen.longest_running_seconds].into_iter().flatten().max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use goodjob_core::Pools;

    use super::*;

    fn plan_of(string: &str, queues: &[(&str, f64)]) -> QueuePlan {
        let pools: Pools = string.parse().unwrap();
        let pools = pools.with_default(NonZeroUsize::new(5).unwrap());
        let recent = |(name, seconds): &(&str, f64)| {
            let row = SeenRow {
                queue: Some((*name).to_owned()),
                waiting: 1,
                due: 1,
                running: 0,
                longest: None,
            };
            let seen = queue_seen(row, &pools, &[], &[]);
            let (median_seconds, p95_seconds) = (*seconds, *seconds);
            QueueSeen {
                run_times: Some(RunTimes { attempts: 3, median_seconds, p95_seconds }),
                ..seen
            }
        };
        let connections = Connections { needed: 8, needed_by_ruby: 1, free: 90 };
        plan(&pools, queues.iter().map(recent).collect(), connections)
    }

    #[test]
    fn short_jobs_that_only_share_slots_with_long_ones_are_told_of() {
        let table = [("elephants", 2.5), ("mice", 0.01), ("cats", 0.4)];
        let shared = plan_of("*:2", &table);
        assert_eq!(shared.only_slow.len(), 1, "a cat waits six times its time: {shared:?}");
        let mice = &shared.only_slow[0];
        assert_eq!(mice.queue.as_deref(), Some("mice"));
        assert_eq!((mice.because[0].pool, mice.because[0].seconds), (0, 2.5));
        assert_eq!(mice.because[0].queue.as_deref(), Some("elephants"));
        assert!(plan_of("*:2;mice:1", &table).only_slow.is_empty());
        assert!(plan_of("mice:2;elephants:1", &table).only_slow.is_empty());
        assert!(plan_of("*:2", &[("mice", 0.01), ("rats", 0.9)]).only_slow.is_empty());
    }

    #[test]
    fn queues_without_a_pool_and_names_without_a_queue_are_told_of() {
        let plan = plan_of("mise:2;-elephants,mise", &[("elephants", 1.0), ("mice", 1.0)]);
        assert_eq!(plan.untaken, [Some("elephants".to_owned())]);
        assert_eq!(plan.unseen, ["mise"]);
        assert!(plan.pools[0].takes.is_empty());
        assert_eq!(plan.pools[1].takes, [Some("mice".to_owned())]);
        assert_eq!((plan.pools[0].max_threads, plan.pools[1].max_threads), (2, 5));
    }
}
