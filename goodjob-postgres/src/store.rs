//! [`PgStore`]: jobs in Postgres. Each method is one call into a file beside this one.

mod connect;
mod generations;

pub(crate) use connect::ServerRow;
pub use connect::connect;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use goodjob_core::{
    Adapter, Backend, Claims, Cleaned, EnqueueError, Fate, Inserted, JobId, LockState, NewJob,
    Notifier, ProcessId, ProcessRecord, Retention, Settled, Settlement, Signal, Store, StoreError,
    Timestamp, Token, Trouble, Troubles, Wanted,
};
use sqlx::{PgPool, SqlStr};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use generations::Generations;

use crate::batches::Witnesses;
use crate::dialect::{Columns, Dialect};
use crate::enqueue::Target;
use crate::error::store_error;
use crate::herald::Herald;
use crate::limits::Limited;
use crate::notes::Absence;
use crate::options::PgOptions;
use crate::sessions::{Common, Sessions};
use crate::stand::Stand;
use crate::{cleanup, enqueue, fleet, inserts, settle, sql, upcoming};

/// How long leaving waits for settlements that are under way.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(10);
/// How long the engine waits for what it asks over connections of the pool.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long closing waits for notices that are to be sent.
const LAST_NOTICES: Duration = Duration::from_secs(5);
/// Notices kept for a listener that is slow; one that misses some is told to look for itself.
const SIGNALS: usize = 4096;

/// Jobs in Postgres, on the tables of the GoodJob gem. Cheap to clone; clones share everything.
///
/// As a plain store it uses a small pool. The first [`Store::beat`] registers a process and opens the
/// two sessions that hold locks; [`Store::leave`] closes them again. One store is one process.
///
/// In a process that was forked off it makes connections of its own, and leaves those of the parent alone.
#[derive(Clone)]
pub struct PgStore {
    inner: Arc<Generations>,
}

struct Inner {
    options: PgOptions,
    columns: Columns,
    dialect: Dialect,
    pool: PgPool,
    /// Connections of the pool for what is asked again and again.
    stand: Stand,
    /// The connections that write outcomes and look ahead.
    settling: Stand,
    herald: Herald,
    limited: Limited,
    locks: watch::Sender<LockState>,
    signals: broadcast::Sender<Signal>,
    /// Whether the notify session lives.
    hearing: watch::Sender<bool>,
    /// Whether there is an index to read lanes by.
    has_lanes: Arc<AtomicBool>,
    troubles: Troubles,
    notes_absence: Absence,
    /// Jobs by which batches are known not to be over.
    witnesses: Witnesses,
    sessions: Mutex<Option<Arc<Sessions>>>,
}

impl PgStore {
    /// Stores many jobs on `target`, a pool, a connection or a transaction, in one statement; those that
    /// have limits in a few. A job whose id is there already is left alone. Knows the hooks of classes and none of an adapter's: for
    /// those there is [`EnqueueAllIn`](crate::EnqueueAllIn).
    ///
    /// # Errors
    /// When a job cannot be stored; then none is.
    pub async fn enqueue_in<T: Target>(
        &self,
        target: T,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>, EnqueueError> {
        enqueue::insert_with_hooks(target, &self.inner.dialect, jobs).await
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

    pub(crate) fn witnesses(&self) -> &Witnesses {
        &self.inner.witnesses
    }

    /// An adapter that enqueues here.
    #[must_use]
    pub fn adapter(&self) -> Adapter {
        Adapter::new(self)
    }

    /// Is told of everything that goes wrong inside, beside the log: for a process that only enqueues. A
    /// worker's registry has the same ([`Registry::on_error`](goodjob_core::Registry::on_error)), and the
    /// last one counts.
    pub fn on_error(&self, hook: impl Fn(&Trouble) + Send + Sync + 'static) {
        self.inner.troubles.tell(Arc::new(hook));
    }

    pub(crate) fn notes_absence(&self) -> &Absence {
        &self.inner.notes_absence
    }

    /// The process that this store serves.
    pub(crate) fn process(&self) -> Result<ProcessId, StoreError> {
        Ok(self.sessions()?.common.process)
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

    /// Sends the last notices, and closes the pools and the sessions of a process that did not leave.
    pub async fn close(&self) {
        self.set_sessions(None);
        let _ = tokio::time::timeout(LAST_NOTICES, self.inner.herald.silent()).await;
        // The server notices by itself when that takes too long.
        let closed = async { tokio::join!(self.inner.settling.close(), self.inner.stand.close()) };
        let _ = tokio::time::timeout(PATIENCE, closed).await;
    }

    pub(crate) fn limited(&self) -> &Limited {
        &self.inner.limited
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
            Some(sessions) if sessions.common.process == process.id && !sessions.have_ended() => {
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
                    settling: inner.settling.clone(),
                    process: process.id,
                    locks: inner.locks.clone(),
                    signals: inner.signals.clone(),
                    hearing: inner.hearing.clone(),
                    has_lanes: Arc::clone(&inner.has_lanes),
                    troubles: inner.troubles.clone(),
                    lock: None,
                })?);
                *slot = Some(Arc::clone(&sessions));
                Ok(sessions)
            }
        }
    }
}

impl From<&PgStore> for Backend {
    fn from(store: &PgStore) -> Self {
        let store = Arc::new(store.clone());
        let troubles = store.inner.troubles.clone();
        Self::new(store.clone(), store.clone())
            .with_batches(store.clone())
            .with_cron(store.clone())
            .with_limits(store.clone())
            .with_notes(store)
            .with_troubles(troubles)
    }
}

impl From<PgStore> for Backend {
    fn from(store: PgStore) -> Self {
        Self::from(&store)
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
        inserts::insert(&self.inner.stand, &self.inner.dialect, &self.inner.herald, jobs).await
    }

    async fn claim(&self, wanted: &Wanted, max: usize) -> Result<Claims, StoreError> {
        self.sessions()?.claim(wanted, max, None).await
    }

    async fn claim_jobs(&self, jobs: &[JobId], wanted: &Wanted) -> Result<Claims, StoreError> {
        let ids = jobs.iter().map(JobId::as_uuid).collect();
        self.sessions()?.claim(wanted, jobs.len(), Some(ids)).await
    }

    async fn settle(&self, ended: &[(Token, Settlement)]) -> Result<Vec<Settled>, StoreError> {
        let (sessions, stand) = (self.sessions()?, self.inner.settling.clone());
        let ended = ended.to_vec();
        let (dialect, limited) = (self.dialect(), self.limited().clone());
        // In a task, so that a caller who goes away cannot leave a lock behind a committed end.
        unbroken(async move {
            let settled = settle::settle(&stand, &dialect, sessions.common.process, &ended).await?;
            // A blocked one is still to end, and keeps its lock.
            let over = ended.iter().zip(&settled).filter(|(_, s)| **s != Settled::Blocked);
            let put_back =
                ended.iter().any(|(_, settlement)| matches!(settlement.job, Fate::PutBack { .. }));
            let over: Vec<Token> = over.map(|((token, _), _)| *token).collect();
            sessions.unlock(over.clone(), put_back).await;
            limited.ended(over.iter());
            Ok(settled)
        })
        .await
    }

    async fn release(&self, unstarted: &[Token]) -> Result<(), StoreError> {
        let (sessions, stand) = (self.sessions()?, self.inner.settling.clone());
        let tokens = unstarted.to_vec();
        let dialect = self.dialect();
        unbroken(async move {
            settle::release(&stand, &dialect, sessions.common.process, &tokens).await?;
            sessions.unlock(tokens, true).await;
            Ok(())
        })
        .await
    }

    fn locks(&self) -> watch::Receiver<LockState> {
        self.inner.locks.subscribe()
    }

    async fn upcoming(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Timestamp>, StoreError> {
        let by_lanes = self.inner.has_lanes.load(Ordering::Relaxed);
        // By the indexes: a look over all lanes may otherwise read the whole table for each of them.
        upcoming::upcoming(&self.inner.settling, &self.inner.dialect, wanted, limit, by_lanes).await
    }

    async fn clean_up(&self, keep: &Retention, limit: usize) -> Result<Cleaned, StoreError> {
        let (stand, dialect, keep) = (self.inner.stand.clone(), self.dialect(), *keep);
        // In a task, so that a caller who goes away gives no connection back that is still busy.
        unbroken(async move { cleanup::clean_up(&stand, &dialect, &keep, limit).await }).await
    }

    async fn beat(&self, process: &ProcessRecord) -> Result<Timestamp, StoreError> {
        let first = self.sessions().is_err();
        if first {
            let PgOptions { lock_strategy, .. } = self.inner.options;
            let Inner { dialect, troubles, .. } = &**self.inner;
            in_time(fleet::admit(self.pool(), dialect, process.id, lock_strategy, troubles))
                .await?;
        }
        let opened = FirstBeat { store: first.then_some(self) };
        let now = self.open_sessions(process)?.beat(process).await?;
        opened.succeeded();
        Ok(now)
    }

    async fn leave(&self, process: &ProcessRecord) -> Result<(), StoreError> {
        let Some(mut sessions) = self.set_sessions(None) else { return Ok(()) };
        let _ = tokio::time::timeout(LAST_NOTICES, self.inner.limited.given()).await;
        debug_assert_eq!(sessions.common.process, process.id);
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
    fn is_listening(&self) -> bool {
        *self.inner.hearing.borrow()
    }

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

/// A call of the engine with connections of the pool, which is given up in time: behind a network that is silent
/// it would wait for as long as TCP hopes, and whoever stops the worker with it.
pub(crate) async fn in_time<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(StoreError::unavailable("the server did not answer in time")))
}

pub(crate) async fn unbroken<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|error| Err(StoreError::Unknown { source: error.into() }))
}
