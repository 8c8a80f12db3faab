//! How to reach the database, and how to lock in it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};

use crate::error::ConnectError;
use crate::sessions::within;
use crate::tables::{HashFunction, TableNames};

/// Connections of the pool for everything but locks, notices and outcomes: 4. With the two sessions that
/// hold locks and listen, and the two that write outcomes, a worker uses at most 8, however many jobs it
/// runs.
const DEFAULT_POOL_SIZE: u32 = 4;
/// Connections that write outcomes and, now and then, look ahead. Two, so that one group is written while the next one gathers.
const SETTLING_POOL_SIZE: u32 = 2;
/// Connections of a worker outside every pool: for locks, and for notices.
const SESSIONS: u32 = 2;
/// How the statements run that a worker repeats for ever: one plan for each, made once, since planning a
/// claim takes longer than running it; always by the indexes and from the small side, which is the
/// parameters or a handful of rows. What the planner knows about a queue is old by the time that it is
/// used: a plan made for an empty table would read all of it, in every claim, until its next ANALYZE.
pub const BY_INDEX: [(&str, &str); 3] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_mergejoin", "off"),
];
/// How long a connection of the pool is used again without being asked whether it lives.
const FRESH: Duration = Duration::from_millis(500);
/// How soon a connection has to answer that goes back to its pool: before those who wait for its place give up.
const ANSWER: Duration = Duration::from_secs(2);
/// Candidates that a claim looks at beyond what it wants, should their locks be held: as the gem's
/// `queue_select_limit`, it bounds the rows that one claim may touch.
const DEFAULT_QUEUE_SELECT_LIMIT: u32 = 1000;

/// How a worker excludes others from a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockStrategy {
    /// Advisory lock and row ownership. It alone excludes all three of the gem's strategies.
    #[default]
    Hybrid,
    /// The advisory lock decides; beside the gem's `skiplocked` workers jobs may run twice.
    Advisory,
    /// Row ownership alone; beside the gem's `advisory` workers jobs may run twice.
    SkipLocked,
}

impl LockStrategy {
    /// The code in `good_jobs.lock_type`.
    pub(crate) const fn code(self) -> i16 {
        match self {
            Self::Advisory => 0,
            Self::SkipLocked => 1,
            Self::Hybrid => 2,
        }
    }
}

impl fmt::Display for LockStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hybrid => "hybrid",
            Self::Advisory => "advisory",
            Self::SkipLocked => "skiplocked",
        })
    }
}

/// A lock strategy that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lock strategy: found {0:?}, expected hybrid, advisory or skiplocked")]
pub struct LockStrategyError(String);

impl FromStr for LockStrategy {
    type Err = LockStrategyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hybrid" => Ok(Self::Hybrid),
            "advisory" => Ok(Self::Advisory),
            "skiplocked" => Ok(Self::SkipLocked),
            other => Err(LockStrategyError(other.to_owned())),
        }
    }
}

/// In which order due jobs of one priority start, as the gem's `dequeue_query_sort`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DequeueOrder {
    /// By due time, then id: the gem's `scheduled_at`, its announced default of the future, and ours.
    /// A retry keeps the `created_at` of its job.
    #[default]
    ScheduledAt,
    /// By the time of the enqueue: the gem's default. A retry counts as an enqueue and resets
    /// `created_at`, as Ruby's do under this order, so that both sides treat it alike.
    CreatedAt,
}

impl fmt::Display for DequeueOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ScheduledAt => "scheduled_at",
            Self::CreatedAt => "created_at",
        })
    }
}

/// An order that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dequeue order: found {0:?}, expected scheduled_at or created_at")]
pub struct DequeueOrderError(String);

impl FromStr for DequeueOrder {
    type Err = DequeueOrderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "scheduled_at" => Ok(Self::ScheduledAt),
            "created_at" => Ok(Self::CreatedAt),
            other => Err(DequeueOrderError(other.to_owned())),
        }
    }
}

/// How a [`PgStore`](crate::PgStore) connects and locks.
#[derive(Clone)]
pub struct PgOptions {
    pub(crate) connect: PgConnectOptions,
    /// Connections of the pool, beside the two sessions of a worker. Default 4.
    pub pool_size: u32,
    /// How a worker excludes others from a job.
    pub lock_strategy: LockStrategy,
    /// Whether to LISTEN and to NOTIFY, as the gem's `enable_listen_notify`. Without it jobs are found
    /// by polling alone. Default true.
    pub listen_notify: bool,
    /// Candidates that one claim may look at. Default 1000.
    pub queue_select_limit: u32,
    /// In which order due jobs of one priority start.
    pub order: DequeueOrder,
    /// What the tables are called, and where they are.
    pub tables: TableNames,
    /// Which function makes the keys of advisory locks.
    pub hash_function: HashFunction,
}

impl PgOptions {
    /// Options for a connection URL, `postgres://user:password@host/database`. What the URL leaves
    /// out is taken from libpq's variables (`PGHOST`, `PGUSER`, …).
    ///
    /// # Errors
    /// [`ConnectError::Url`] when it cannot be read. The text does not repeat the URL, which may hold
    /// a password.
    pub fn from_url(url: &str) -> Result<Self, ConnectError> {
        // sqlx takes any scheme, and then finds host and password in the wrong places.
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            let reason = "found another scheme, or none".to_owned();
            return Err(ConnectError::Url { reason });
        }
        let connect = PgConnectOptions::from_str(url)
            .map_err(|error| ConnectError::Url { reason: error.to_string() })?;
        Ok(Self::with(connect))
    }

    /// Options from libpq's variables alone.
    #[must_use]
    pub fn from_libpq_environment() -> Self {
        Self::with(PgConnectOptions::new())
    }

    fn with(connect: PgConnectOptions) -> Self {
        // The tables keep UTC without saying so: every session of ours has to read them that way.
        // No statement of ours lasts for so long that compiling it were worth while, however dear the planner takes
        // it for: a look ahead of a millisecond was compiled for a second.
        let connect =
            connect.options([("TimeZone", "UTC"), ("jit", "off")]).disable_statement_logging();
        Self {
            connect,
            pool_size: DEFAULT_POOL_SIZE,
            lock_strategy: LockStrategy::default(),
            listen_notify: true,
            queue_select_limit: DEFAULT_QUEUE_SELECT_LIMIT,
            order: DequeueOrder::default(),
            tables: TableNames::default(),
            hash_function: HashFunction::default(),
        }
    }

    /// Connections that a worker uses at most, however many jobs it runs: its two sessions, the two that
    /// write outcomes, and [`pool_size`](Self::pool_size).
    #[must_use]
    pub fn most_connections(&self) -> u32 {
        SESSIONS + SETTLING_POOL_SIZE + self.pool_size
    }

    /// Where it connects, without secrets: `user@host:port/database`.
    #[must_use]
    pub fn target(&self) -> String {
        let (user, port) = (self.connect.get_username(), self.connect.get_port());
        let database = self.connect.get_database().unwrap_or(user);
        match self.connect.get_socket() {
            Some(socket) => format!("{user}@{}:{port}/{database}", socket.display()),
            None => format!("{user}@{}:{port}/{database}", self.connect.get_host()),
        }
    }

    /// A small pool; connections are made when they are needed and closed when they are not.
    pub(crate) fn pool(&self) -> PgPool {
        Self::connections(self.pool_size, self.connect.clone())
    }

    /// The connections that write outcomes.
    pub(crate) fn settling_pool(&self) -> PgPool {
        Self::connections(SETTLING_POOL_SIZE, self.connect.clone().options(BY_INDEX))
    }

    fn connections(most: u32, connect: PgConnectOptions) -> PgPool {
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_secs(60))
            // One that was in use a moment ago is hardly dead, and asking costs as much as a small statement.
            .test_before_acquire(false)
            .before_acquire(|connection, idle| {
                Box::pin(async move {
                    if idle.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            // The pool itself would wait for an answer without end, behind a network that is silent.
            .after_release(|connection, _| {
                Box::pin(within(ANSWER, async { connection.ping().await.map(|()| true) }))
            })
            .connect_lazy_with(connect.application_name("goodjob"))
    }
}

impl fmt::Debug for PgOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgOptions")
            .field("target", &self.target())
            .field("pool_size", &self.pool_size)
            .field("lock_strategy", &self.lock_strategy)
            .field("listen_notify", &self.listen_notify)
            .field("queue_select_limit", &self.queue_select_limit)
            .field("order", &self.order)
            .field("tables", &self.tables)
            .field("hash_function", &self.hash_function)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_named_as_the_gem_names_them() {
        for strategy in [LockStrategy::Hybrid, LockStrategy::Advisory, LockStrategy::SkipLocked] {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        assert_eq!(
            "skip_locked".parse::<LockStrategy>().unwrap_err().to_string(),
            "lock strategy: found \"skip_locked\", expected hybrid, advisory or skiplocked"
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let options = PgOptions::from_url("postgres://ann:hush@db.example:5433/shop").unwrap();
        assert_eq!(options.target(), "ann@db.example:5433/shop");
        assert!(!format!("{options:?}").contains("hush"));
        let error = PgOptions::from_url("nonsense hush").unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}
