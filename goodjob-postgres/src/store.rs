//! [`PgStore`]: jobs in Postgres. Each method is one call into a file beside this one.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use goodjob_core::{
    Adapter, Claims, Cleaned, EnqueueError, Inserted, JobId, LockState, NewJob, Notifier,
    ProcessRecord, Retention, Settled, Settlement, Signal, Store, StoreError, Timestamp, Token,
    Wanted,
};
use sqlx::{PgExecutor, PgPool, SqlStr};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dialect::{Columns, Dialect};
use crate::error::{ConnectError, store_error};
use crate::migrate::{Addition, Indexes, Migrations, Step};
use crate::options::{LockStrategy, PgOptions};
use crate::rows::Moment;
use crate::sessions::{Common, Sessions};
use crate::tables::HashFunction;
use crate::{claim, cleanup, enqueue, fleet, schema, settle, sql};

/// How long leaving waits for settlements that are under way.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(10);
/// Notices kept for a listener that is slow; one that misses some is told to look for itself.
const SIGNALS: usize = 4096;

/// Jobs in Postgres, on the tables of the GoodJob gem. Cheap to clone; clones share everything.
///
/// As a plain store it uses a small pool. The first [`Store::beat`] registers a process and opens the
/// two sessions that hold locks; [`Store::leave`] closes them again. One store is one process.
#[derive(Clone)]
pub struct PgStore {
    inner: Arc<Inner>,
}

struct Inner {
    options: PgOptions,
    columns: Columns,
    dialect: Dialect,
    pool: PgPool,
    locks: watch::Sender<LockState>,
    signals: broadcast::Sender<Signal>,
    /// Whether the notify session lives.
    hearing: watch::Sender<bool>,
    sessions: Mutex<Option<Arc<Sessions>>>,
}

impl Inner {
    fn migrations(&self) -> Migrations {
        let (dialect, tables) = (self.dialect.clone(), self.options.tables.clone());
        Migrations { dialect, tables }
    }
}

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

    /// A store that connects when it is first used, and checks nothing.
    #[must_use]
    pub fn lazy(options: PgOptions) -> Self {
        let pool = options.pool();
        Self::over(options, pool, Columns::default())
    }

    fn over(options: PgOptions, pool: PgPool, columns: Columns) -> Self {
        let dialect = Dialect::of(&options, columns);
        let (signals, _) = broadcast::channel(SIGNALS);
        let locks = watch::Sender::default();
        let (hearing, sessions) = (watch::Sender::default(), Mutex::default());
        let inner = Inner { options, columns, dialect, pool, locks, signals, hearing, sessions };
        Self { inner: Arc::new(inner) }
    }

    /// The same store for tables with these columns.
    fn speaking(self, columns: Columns) -> Self {
        match columns == Columns::default() {
            true => self,
            false => Self::over(self.inner.options.clone(), self.inner.pool.clone(), columns),
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
    /// steps that were taken. As [`migrate::run`].
    ///
    /// # Errors
    /// When the database refuses a step. Those before it stay applied.
    pub async fn migrate(&self, indexes: Indexes) -> sqlx::Result<Vec<Step>> {
        self.inner.migrations().run(self.pool(), indexes).await
    }

    /// The steps that [`migrate`](Self::migrate) would take.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn pending_migrations(&self, indexes: Indexes) -> sqlx::Result<Vec<Step>> {
        self.inner.migrations().pending(self.pool(), indexes).await
    }

    /// What [`migrate`](Self::migrate) would add to the database.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn migration_additions(&self, indexes: Indexes) -> sqlx::Result<Vec<Addition>> {
        self.inner.migrations().additions(self.pool(), indexes).await
    }

    /// Stores many jobs on `executor`, a pool, a connection or a transaction, in one statement. A job
    /// whose id is there already is left alone.
    ///
    /// # Errors
    /// When a job cannot be stored; then none is.
    pub async fn enqueue_in<'c, E: PgExecutor<'c>>(
        &self,
        executor: E,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>, EnqueueError> {
        jobs.iter().try_for_each(NewJob::check)?;
        Ok(enqueue::insert(executor, &self.inner.dialect, jobs).await?)
    }

    /// How it connects and locks.
    #[must_use]
    pub fn options(&self) -> &PgOptions {
        &self.inner.options
    }

    /// What the tables have; for a store that never looked, what they should have.
    pub(crate) fn columns(&self) -> Columns {
        self.inner.columns
    }

    /// A statement as this database wants it.
    pub(crate) fn sql(&self, statement: &'static str) -> SqlStr {
        self.inner.dialect.sql(statement)
    }

    /// Every statement as this database wants it, with its name, for tests that prepare them all.
    #[doc(hidden)]
    pub fn statements(&self) -> impl Iterator<Item = (&'static str, SqlStr)> {
        sql::ALL.iter().map(|(name, text)| (*name, self.sql(text)))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.inner.dialect.clone()
    }

    /// An adapter that enqueues here.
    #[must_use]
    pub fn adapter(&self) -> Adapter {
        Adapter::new(Arc::new(self.clone()))
    }

    /// The pool for everything but locks and notices. Its sessions are in UTC.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// Deletes those of these jobs that are finished, with their attempts; returns how many.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn delete_finished(&self, jobs: &[JobId]) -> Result<u64, StoreError> {
        let ids: Vec<_> = jobs.iter().map(JobId::as_uuid).collect();
        let deleted: i64 = sqlx::query_scalar(self.sql(sql::DELETE_FINISHED))
            .bind(ids)
            .fetch_one(self.pool())
            .await
            .map_err(store_error)?;
        Ok(u64::try_from(deleted).unwrap_or(0))
    }

    /// What [`clean_up`](Store::clean_up) would delete if it were repeated until nothing is left.
    /// Reads every old row, so it is for a person who asks first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn count_old(&self, keep: &Retention) -> Result<Cleaned, StoreError> {
        cleanup::count_old(self.pool(), &self.inner.dialect, keep).await
    }

    /// Closes the pool, and the sessions of a process that did not leave.
    pub async fn close(&self) {
        self.set_sessions(None);
        self.inner.pool.close().await;
    }

    fn sessions(&self) -> Result<Arc<Sessions>, StoreError> {
        let sessions = self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.clone().ok_or_else(|| {
            StoreError::Unfit("the process has to beat before its first claim".to_owned())
        })
    }

    fn set_sessions(&self, sessions: Option<Arc<Sessions>>) -> Option<Arc<Sessions>> {
        let mut slot = self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *slot, sessions)
    }

    fn open_sessions(&self, process: &ProcessRecord) -> Result<Arc<Sessions>, StoreError> {
        let mut slot = self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(sessions) if sessions.process == process.id && !sessions.have_ended() => {
                Ok(Arc::clone(sessions))
            }
            Some(sessions) if !sessions.have_ended() => Err(StoreError::Unfit(
                "this store serves another process already; make a store for each".to_owned(),
            )),
            _ => {
                let inner = &self.inner;
                let sessions = Arc::new(Sessions::open(Common {
                    options: inner.options.clone(),
                    dialect: inner.dialect.clone(),
                    pool: inner.pool.clone(),
                    process: process.id,
                    locks: inner.locks.clone(),
                    signals: inner.signals.clone(),
                    hearing: inner.hearing.clone(),
                    lock: None,
                })?);
                *slot = Some(Arc::clone(&sessions));
                Ok(sessions)
            }
        }
    }
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PgStore {
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>, StoreError> {
        enqueue::insert(self.pool(), &self.inner.dialect, jobs).await
    }

    async fn claim(&self, wanted: &Wanted, max: usize) -> Result<Claims, StoreError> {
        self.sessions()?.claim(wanted, max).await
    }

    async fn settle(&self, ended: &[(Token, Settlement)]) -> Result<Vec<Settled>, StoreError> {
        let (sessions, pool, ended) = (self.sessions()?, self.pool().clone(), ended.to_vec());
        let dialect = self.dialect();
        // In a task, so that a caller who goes away cannot leave a lock behind a committed end.
        unbroken(async move {
            let settled = settle::settle(&pool, &dialect, sessions.process, &ended).await?;
            // A blocked one is still to end, and keeps its lock.
            let over = ended.iter().zip(&settled).filter(|(_, s)| **s != Settled::Blocked);
            sessions.unlock(over.map(|((token, _), _)| *token).collect()).await;
            Ok(settled)
        })
        .await
    }

    async fn release(&self, unstarted: &[Token]) -> Result<(), StoreError> {
        let (sessions, pool, tokens) = (self.sessions()?, self.pool().clone(), unstarted.to_vec());
        let dialect = self.dialect();
        unbroken(async move {
            settle::release(&pool, &dialect, sessions.process, &tokens).await?;
            sessions.unlock(tokens).await;
            Ok(())
        })
        .await
    }

    fn locks(&self) -> watch::Receiver<LockState> {
        self.inner.locks.subscribe()
    }

    async fn upcoming(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Timestamp>, StoreError> {
        let (mode, names) = claim::selection(&wanted.queues);
        let times: Vec<Moment> = sqlx::query_scalar(self.sql(sql::UPCOMING))
            .bind(&wanted.classes)
            .bind(mode)
            .bind(names)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool())
            .await
            .map_err(store_error)?;
        Ok(times.into_iter().map(|moment| moment.0).collect())
    }

    async fn clean_up(&self, keep: &Retention, limit: usize) -> Result<Cleaned, StoreError> {
        let (pool, dialect, keep) = (self.pool().clone(), self.dialect(), *keep);
        // In a task, so that a caller who goes away gives no connection back that is still busy.
        unbroken(async move { cleanup::clean_up(&pool, &dialect, &keep, limit).await }).await
    }

    async fn beat(&self, process: &ProcessRecord) -> Result<Timestamp, StoreError> {
        let first = self.sessions().is_err();
        if first {
            let PgOptions { lock_strategy, .. } = self.inner.options;
            fleet::admit(self.pool(), &self.inner.dialect, process.id, lock_strategy).await?;
        }
        let opened = FirstBeat { store: first.then_some(self) };
        let now = self.open_sessions(process)?.beat(process).await?;
        opened.succeeded();
        Ok(now)
    }

    async fn leave(&self, process: &ProcessRecord) -> Result<(), StoreError> {
        let Some(mut sessions) = self.set_sessions(None) else { return Ok(()) };
        debug_assert_eq!(sessions.process, process.id);
        // A settlement under way, whose caller went away, holds the other handle for a moment.
        let deadline = Instant::now() + LAST_SETTLEMENTS;
        loop {
            match Arc::try_unwrap(sessions) {
                Ok(sessions) => return sessions.leave().await,
                Err(shared) if Instant::now() < deadline => sessions = shared,
                Err(shared) => {
                    self.set_sessions(Some(shared));
                    return Err(StoreError::unavailable("attempts are still being settled"));
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[async_trait]
impl Notifier for PgStore {
    async fn listen(&self, to: mpsc::Sender<Signal>, stop: CancellationToken) {
        let mut signals = self.inner.signals.subscribe();
        let mut hearing = self.inner.hearing.subscribe();
        let begun = tokio::select! {
            () = stop.cancelled() => return,
            begun = hearing.wait_for(|hearing| *hearing) => begun.is_ok(),
        };
        // What was sent before is not heard here.
        if !begun || to.send(Signal::Resync).await.is_err() {
            return;
        }
        loop {
            let signal = tokio::select! {
                () = stop.cancelled() => return,
                heard = signals.recv() => match heard {
                    Ok(signal) => signal,
                    Err(broadcast::error::RecvError::Lagged(_)) => Signal::Resync,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            };
            if to.send(signal).await.is_err() {
                return;
            }
        }
    }
}

/// Undoes the opening of sessions when the first beat fails or is given up, so that another start can
/// be tried on the same store.
struct FirstBeat<'a> {
    store: Option<&'a PgStore>,
}

impl FirstBeat<'_> {
    fn succeeded(mut self) {
        self.store = None;
    }
}

impl Drop for FirstBeat<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.store {
            store.set_sessions(None);
        }
    }
}

async fn unbroken<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|error| Err(StoreError::Unknown { source: error.into() }))
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
