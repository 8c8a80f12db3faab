//! How a [`PgStore`] comes to be: what is looked at before it may be used, and what makes its tables.

use std::sync::{Arc, Mutex};

use goodjob_core::{Adapter, Troubles};
use sqlx::PgPool;
use tokio::sync::{broadcast, watch};

use super::generations::Generations;
use super::{Inner, PgStore, SIGNALS};
use crate::batches::Witnesses;
use crate::dialect::{Columns, Dialect};
use crate::error::ConnectError;
use crate::herald::Herald;
use crate::limits::Limited;
use crate::migrate::{Addition, Migrations, Plan, Step};
use crate::notes::Absence;
use crate::options::{LockStrategy, PgOptions};
use crate::stand::Stand;
use crate::tables::HashFunction;
use crate::{schema, sql};

/// An adapter that enqueues into the database at `url`.
///
/// # Errors
/// As [`PgStore::connect`].
pub async fn connect(url: &str) -> Result<Adapter, ConnectError> {
    Ok(PgStore::connect(PgOptions::from_url(url)?).await?.adapter())
}

impl PgStore {
    /// Connects, and checks that the tables are there and the server takes writes.
    ///
    /// # Errors
    /// [`ConnectError`], whose text says what to do.
    pub async fn connect(options: PgOptions) -> Result<Self, ConnectError> {
        let store = Self::lazy(options);
        let target = store.inner.options.target();
        let failed = |error| ConnectError::from_sqlx(&error, target.clone());
        // Not through the pool at first, which would try for its whole timeout and hide the reason.
        let server = ServerRow::read(&store.inner.options).await.map_err(failed)?;
        if server.read_only {
            return Err(ConnectError::ReadOnly { target });
        }
        let columns = schema::check(&store.inner.pool, &store.inner.migrations(), &target).await?;
        let store = store.speaking(columns);
        store.check_locks(columns, &target).await?;
        Ok(store)
    }

    /// A store that connects when it is first used, and checks nothing. It may be made before there is a
    /// runtime, and before a fork.
    #[must_use]
    pub fn lazy(options: PgOptions) -> Self {
        Self { inner: Arc::new(Generations::new(options, Columns::default())) }
    }

    /// The same store for tables with these columns.
    fn speaking(self, columns: Columns) -> Self {
        match columns == Columns::default() {
            true => self,
            false => {
                let Inner { options, pool, stand, settling, troubles, .. } = &**self.inner;
                let (pool, stand, settling) = (pool.clone(), stand.clone(), settling.clone());
                let (options, troubles) = (options.clone(), troubles.clone());
                let inner = Inner::over(options, pool, stand, settling, columns, troubles);
                Self { inner: Arc::new(Generations::of(inner)) }
            }
        }
    }

    /// Whether jobs can be locked here as the options say.
    async fn check_locks(&self, columns: Columns, target: &str) -> Result<(), ConnectError> {
        let PgOptions { lock_strategy, hash_function, .. } = self.inner.options;
        let trying = sqlx::query_scalar::<_, i64>(self.sql(sql::LOCK_KEY)).bind("goodjob");
        if let Err(error) = trying.fetch_one(self.pool()).await {
            let missing =
                error.as_database_error().and_then(|e| e.code()).as_deref() == Some("42883");
            let target = target.to_owned();
            return Err(match hash_function.extension().filter(|_| missing) {
                Some(extension) => ConnectError::HashFunction { target, hash_function, extension },
                None => ConnectError::from_sqlx(&error, target),
            });
        }
        if hash_function != HashFunction::Md5 {
            tracing::warn!(
                %hash_function,
                "Ruby workers that lock by hybrid use md5 whatever their hash function is: beside them \
                 Ruby's advisory workers are not excluded (goodjob is)"
            );
        }
        if columns.lock_type {
            return Ok(());
        }
        if lock_strategy == LockStrategy::SkipLocked {
            return Err(ConnectError::StrategyUnfit { target: target.to_owned() });
        }
        tracing::warn!(
            "the tables have no good_jobs.lock_type, as before GoodJob 4.15: Ruby's workers lock by \
             advisory alone, and a job whose owner is unknown is freed after 5 minutes instead of 15 \
             seconds; run the gem's update migrations to mend it"
        );
        Ok(())
    }

    /// Makes the tables and indexes that are missing, under the names of the options, and returns the
    /// steps that were taken. As [`migrate::run`](crate::migrate::run).
    ///
    /// # Errors
    /// When the database refuses a step. Those before it stay applied.
    pub async fn migrate(&self, plan: impl Into<Plan>) -> sqlx::Result<Vec<Step>> {
        self.inner.migrations().run(self.pool(), plan.into()).await
    }

    /// The steps that [`migrate`](Self::migrate) would take.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn pending_migrations(&self, plan: impl Into<Plan>) -> sqlx::Result<Vec<Step>> {
        self.inner.migrations().pending(self.pool(), plan.into()).await
    }

    /// What [`migrate`](Self::migrate) would add to the database.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn migration_additions(&self, plan: impl Into<Plan>) -> sqlx::Result<Vec<Addition>> {
        self.inner.migrations().additions(self.pool(), plan.into()).await
    }
}

impl Inner {
    pub(super) fn new(options: PgOptions, columns: Columns, troubles: Troubles) -> Self {
        let (pool, settling) = (options.pool(), Stand::over(options.settling_pool()));
        let stand = Stand::over(pool.clone());
        Self::over(options, pool, stand, settling, columns, troubles)
    }

    fn over(
        options: PgOptions,
        pool: PgPool,
        stand: Stand,
        settling: Stand,
        columns: Columns,
        troubles: Troubles,
    ) -> Self {
        let dialect = Dialect::of(&options, columns);
        let (signals, _) = broadcast::channel(SIGNALS);
        let locks = watch::Sender::default();
        let (hearing, sessions) = (watch::Sender::default(), Mutex::default());
        let has_lanes = Arc::default();
        let herald =
            Herald::new(stand.clone(), dialect.clone(), troubles.clone(), options.listen_notify);
        let limited = Limited::new(pool.clone(), stand.clone(), dialect.clone(), troubles.clone());
        Self {
            options,
            columns,
            dialect,
            pool,
            stand,
            settling,
            herald,
            limited,
            locks,
            signals,
            hearing,
            has_lanes,
            troubles,
            notes_absence: Absence::default(),
            witnesses: Witnesses::default(),
            sessions,
        }
    }

    fn migrations(&self) -> Migrations {
        let (dialect, tables) = (self.dialect.clone(), self.options.tables.clone());
        Migrations { dialect, tables }
    }
}

/// What a server says about itself.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct ServerRow {
    pub(crate) version: i32,
    pub(crate) read_only: bool,
    pub(crate) synchronous_commit: String,
    pub(crate) max_locks: i64,
    pub(crate) max_connections: i32,
    pub(crate) connections: i64,
    pub(crate) notify_queue_usage: f64,
}

impl ServerRow {
    pub(crate) async fn read(options: &PgOptions) -> sqlx::Result<Self> {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect_with(&options.connect).await?;
        let server = sqlx::query_as(sql::SERVER).fetch_one(&mut connection).await?;
        // The answer is here; how the goodbye goes does not matter.
        let _ = connection.close().await;
        Ok(server)
    }
}
