//! Limits: which jobs may be stored, which attempts may begin, and whose turn is next.
//!
//! | file | what it does |
//! |---|---|
//! | `limits/enqueue.rs` | counts before jobs are stored, under the locks of both runtimes |
//! | `limits/perform.rs` | counts before an attempt begins, and puts off what waits behind one that may not |
//! | `limits/room.rs` | makes the next jobs due when an attempt has ended |
//!
//! A job that has to wait is put off into the future, so that no claim walks over it; whoever makes room
//! brings the next one forward, and one whose turn nobody tells looks again by itself.

mod enqueue;
mod perform;
mod room;

pub(crate) use enqueue::{insert, insert_on};

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use goodjob_core::{
    Admission, Claim, ExecutionId, LimitStore, Limits, Scope, StoreError, Trouble, TroubleKind,
    Troubles,
};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dialect::Dialect;
use crate::sql;
use crate::stand::Stand;
use crate::store::PgStore;
use room::Room;

/// The statements about one kind of scope.
struct Statements {
    count: &'static str,
    since: &'static str,
    running: &'static str,
    started: &'static str,
    next: &'static str,
}

impl Statements {
    const fn of(scope: &Scope) -> Self {
        match scope {
            Scope::Key(_) => Self {
                count: sql::LIMIT_COUNT_KEY,
                since: sql::LIMIT_SINCE_KEY,
                running: sql::LIMIT_RUNNING_KEY,
                started: sql::LIMIT_STARTED_KEY,
                next: sql::LIMIT_NEXT_KEY,
            },
            Scope::Label(_) => Self {
                count: sql::LIMIT_COUNT_LABEL,
                since: sql::LIMIT_SINCE_LABEL,
                running: sql::LIMIT_RUNNING_LABEL,
                started: sql::LIMIT_STARTED_LABEL,
                next: sql::LIMIT_NEXT_LABEL,
            },
        }
    }
}

/// What a process remembers of limits. Nothing hangs on it: forgotten, jobs wait a little longer. Cheap to
/// clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Limited(Arc<Inner>);

struct Inner {
    pool: PgPool,
    stand: Stand,
    dialect: Dialect,
    troubles: Troubles,
    memory: Mutex<Memory>,
    /// Somebody may wait until all room is given away.
    settled: Notify,
}

#[derive(Default)]
struct Memory {
    /// For the attempts that were judged and have not ended: where they leave room.
    judged: HashMap<ExecutionId, Vec<Room>>,
    /// Room that has to be given away.
    free: HashSet<Room>,
    giving: bool,
    /// When the last of those that were put off looks again, by the scope.
    horizons: HashMap<Scope, Instant>,
    /// Scopes whose waiting jobs are just being put off.
    parking: HashSet<Scope>,
}

impl Limited {
    pub(crate) fn new(pool: PgPool, stand: Stand, dialect: Dialect, troubles: Troubles) -> Self {
        let (memory, settled) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { pool, stand, dialect, troubles, memory, settled }))
    }

    /// Tells of jobs that will wait a little longer.
    fn warn(&self, what: &str, scope: &Scope, error: &StoreError) {
        let trouble = Trouble::new(TroubleKind::LimitsUncounted, format!("{what}: {scope}"));
        self.0.troubles.report(trouble.because(error));
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More scopes than this are not remembered all at once.
const MOST_HORIZONS: usize = 10_000;

impl Memory {
    /// Reserves `places` looks at the limit's room, `step` apart and none before `first`, after those that were
    /// reserved before; says how long it is until the first of them.
    fn reserve(&mut self, scope: &Scope, first: Duration, step: Duration, places: u32) -> Duration {
        let now = Instant::now();
        if self.horizons.len() >= MOST_HORIZONS {
            self.horizons.retain(|_, horizon| *horizon > now);
        }
        let known = self.horizons.get(scope).copied().unwrap_or(now);
        let begin = known.max(now + first);
        self.horizons.insert(scope.clone(), begin + step.saturating_mul(places));
        begin - now
    }
}

#[async_trait]
impl LimitStore for PgStore {
    async fn admit(&self, claim: &Claim, limits: &Limits) -> Result<Admission, StoreError> {
        self.limited().admit(self.process()?, claim, limits).await
    }
}
