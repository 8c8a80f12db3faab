//! The processes as a tool sees them: which are alive by the evidence in the database, and what each takes.

use std::num::NonZeroUsize;

use goodjob_core::{HostIdentity, Pool, Pools, ProcessId, StoreError};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::store_error;
use crate::sql;
use crate::store::{PgStore, in_time};

/// Processes that are read at most. Dead rows pile up only where nobody cleans up.
const MOST: i64 = 1_000;
/// Open batches whose callbacks are looked at.
const MOST_BATCHES: i64 = 10_000;
/// The gem gives up a process whose last heartbeat is older, in seconds (wire contract 7.3).
pub(crate) const EXPIRED: f64 = 300.0;
/// A goodjob process none of whose locks is held for so long is dead to its peers, in seconds.
pub(crate) const ORPHANED: f64 = 10.0;
/// A heartbeat that is older is late: goodjob beats every 10 s, the gem every 30 to 33 s.
const LATE: f64 = 30.0;
const LATE_IN_RUBY: f64 = 60.0;

/// How a process looks from the tables and the locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pulse {
    /// Its heartbeat is in time.
    Alive,
    /// Its sessions are gone, and others will not take it for dead for a moment: it may have lost its
    /// connection, or just have died.
    Unconfirmed,
    /// Its heartbeat is late, and nothing proves its death: a session of its own still holds a lock, or it is
    /// a Ruby process that others do not give up before 5 minutes.
    Frozen,
    /// Others take it for dead: its locks are free, or its heartbeat has expired, or its pid is gone.
    Dead,
}

/// One pool of a process, as it said at its last heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberPool {
    /// Its queues, as a queue string.
    pub queues: String,
    /// Its slots.
    pub max_threads: u64,
    /// The slots that were in use; `None` for a process that does not say.
    pub active_threads: Option<u64>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// Its id.
    pub id: ProcessId,
    /// Its host.
    pub hostname: Option<String>,
    /// Its pid there.
    pub pid: Option<i64>,
    /// What it is called.
    pub title: Option<String>,
    /// `goodjob` and its version; `None` for a Ruby process.
    pub runtime: Option<String>,
    /// How it looks.
    pub pulse: Pulse,
    /// Seconds since its last heartbeat.
    pub beat_seconds_ago: f64,
    /// Its pools.
    pub pools: Vec<MemberPool>,
    /// The classes that it can do; `None` for a Ruby process, which does not say. Not in the JSON, where it
    /// would be repeated with every reason.
    #[serde(skip)]
    pub classes: Option<Vec<String>>,
    /// What speaks for its life.
    #[serde(skip)]
    pub(crate) signs: Signs,
}

/// What speaks for a process's life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Signs {
    /// Whether it is one of goodjob's, which hold a lock as long as they live.
    pub(crate) ours: bool,
    /// Whether somebody holds its process lock.
    pub(crate) locked: bool,
    /// Whether it ran on this machine, and its pid is gone.
    pub(crate) gone: bool,
    /// 0 says that its life is its lock and not its heartbeat (wire contract 1.4).
    pub(crate) lock_type: Option<i16>,
    /// Seconds since its last heartbeat.
    pub(crate) beat: f64,
}

impl Signs {
    pub(crate) fn pulse(&self) -> Pulse {
        let late = self.beat > if self.ours { LATE } else { LATE_IN_RUBY };
        match *self {
            Self { locked: true, .. } if late => Pulse::Frozen,
            Self { locked: true, .. } => Pulse::Alive,
            Self { gone: true, .. } | Self { lock_type: Some(0), .. } => Pulse::Dead,
            Self { beat, .. } if beat > EXPIRED => Pulse::Dead,
            Self { ours: true, beat, .. } if beat >= ORPHANED => Pulse::Dead,
            Self { ours: true, .. } => Pulse::Unconfirmed,
            _ if late => Pulse::Frozen,
            _ => Pulse::Alive,
        }
    }
}

#[derive(FromRow)]
struct MemberRow {
    id: Uuid,
    state: Value,
    lock_type: Option<i16>,
    beat_seconds_ago: f64,
    locked: bool,
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        let state = row.state;
        let text = |key: &str| state[key].as_str().map(str::to_owned);
        let host = serde_json::from_value::<HostIdentity>(state["host_identity"].clone()).ok();
        let signs = Signs {
            ours: host.is_some(),
            locked: row.locked,
            gone: host.is_some_and(|host| host.is_gone()),
            lock_type: row.lock_type,
            beat: row.beat_seconds_ago,
        };
        let classes = state["job_classes"].as_array();
        let classes = classes.map(|all| all.iter().filter_map(|c| c.as_str().map(str::to_owned)));
        let pools = state["schedulers"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            id: row.id.into(),
            hostname: text("hostname"),
            pid: state["pid"].as_i64(),
            title: text("proctitle"),
            runtime: text("runtime"),
            pulse: signs.pulse(),
            beat_seconds_ago: row.beat_seconds_ago,
            classes: classes.map(Iterator::collect),
            pools: pools.iter().filter_map(member_pool).collect(),
            signs,
        }
    }
}

fn member_pool(scheduler: &Value) -> Option<MemberPool> {
    Some(MemberPool {
        queues: scheduler["queues"].as_str()?.to_owned(),
        max_threads: scheduler["max_threads"].as_u64().unwrap_or(0),
        active_threads: scheduler["active_threads"].as_u64(),
    })
}

impl MemberPool {
    /// The pool that its queue string describes; `None` for one that cannot be read.
    pub(crate) fn parsed(&self) -> Option<Pool> {
        let pools = self.queues.parse::<Pools>().ok()?;
        pools.with_default(NonZeroUsize::MIN).into_iter().next()
    }

    /// Whether it takes jobs of this queue.
    #[must_use]
    pub fn takes(&self, queue: Option<&str>) -> bool {
        self.parsed().is_some_and(|pool| pool.queues.matches(queue))
    }
}

impl Member {
    /// Whether a new job can be expected to be taken by it.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        matches!(self.pulse, Pulse::Alive | Pulse::Unconfirmed)
    }

    /// Whether one of its pools takes jobs of this queue.
    #[must_use]
    pub fn takes(&self, queue: Option<&str>) -> bool {
        self.pools.iter().any(|pool| pool.takes(queue))
    }

    /// Whether it can do jobs of this class; `None` when it does not say.
    #[must_use]
    pub fn knows(&self, class: &str) -> Option<bool> {
        Some(self.classes.as_ref()?.iter().any(|known| known == class))
    }
}

/// The processes, `first` before the others, then those that beat last.
pub(crate) async fn read(
    session: &mut PgConnection,
    dialect: &Dialect,
    first: Option<ProcessId>,
) -> sqlx::Result<Vec<Member>> {
    let rows: Vec<MemberRow> = sqlx::query_as(dialect.sql(sql::ROSTER))
        .bind(first.map(|id| id.as_uuid()))
        .bind(MOST)
        .fetch_all(session)
        .await?;
    Ok(rows.into_iter().map(Member::from).collect())
}

impl PgStore {
    /// Classes that open batches call back and no live process knows; none while no process lives, or one that
    /// does not say what it knows, as Ruby's. A look at the oldest 10,000 batches that are not finished.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    pub async fn unknown_callbacks(&self) -> Result<Vec<String>, StoreError> {
        // A worker asks at its start, which a network that is silent must not hold up.
        in_time(self.look_for_unknown_callbacks()).await
    }

    async fn look_for_unknown_callbacks(&self) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query_scalar(self.sql(sql::BATCHES_CALLBACKS)).bind(MOST_BATCHES);
        let called: Vec<String> = query.fetch_all(self.pool()).await.map_err(store_error)?;
        if called.is_empty() {
            return Ok(called);
        }
        let mut session = self.pool().acquire().await.map_err(store_error)?;
        let members = read(&mut session, &self.dialect(), None).await.map_err(store_error)?;
        let live: Vec<&Member> = members.iter().filter(|member| member.is_at_work()).collect();
        let may_know = |class: &String| live.iter().any(|one| one.knows(class) != Some(false));
        Ok(match live.is_empty() {
            true => Vec::new(),
            false => called.into_iter().filter(|class| !may_know(class)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_judged_by_locks_before_heartbeats() {
        let ours = Signs { ours: true, locked: true, gone: false, lock_type: None, beat: 5.0 };
        let free = Signs { locked: false, ..ours };
        let ruby = Signs { ours: false, ..free };
        for (signs, expected) in [
            (ours, Pulse::Alive),
            (Signs { beat: 31.0, ..ours }, Pulse::Frozen),
            (Signs { beat: 900.0, ..ours }, Pulse::Frozen),
            (free, Pulse::Unconfirmed),
            (Signs { gone: true, ..free }, Pulse::Dead),
            (Signs { beat: 10.0, ..free }, Pulse::Dead),
            (Signs { beat: 59.0, ..ruby }, Pulse::Alive),
            (Signs { beat: 61.0, ..ruby }, Pulse::Frozen),
            (Signs { beat: 301.0, ..ruby }, Pulse::Dead),
            (Signs { lock_type: Some(0), ..ruby }, Pulse::Dead),
            (Signs { lock_type: Some(0), locked: true, ..ruby }, Pulse::Alive),
        ] {
            assert_eq!(signs.pulse(), expected, "{signs:?}");
        }
    }
}
