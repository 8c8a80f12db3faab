//! Connections that were in use a moment ago, kept out of their pool for the next statement.
//!
//! A pool of sqlx asks every connection that comes back to it whether it still lives. That is a second round trip
//! for each statement: an enqueue would cost the server half as much again. So a connection whose statement
//! succeeded goes to who waits here for one, or stays for a moment. It goes back to the pool when nothing came for
//! it, and also when much did, for those who wait there (ADR 0036).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use goodjob_core::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::error::store_error;

/// How long a connection stays that nothing comes for.
const IDLE: Duration = Duration::from_millis(20);
/// How long one that is used all the time stays out of its pool.
const TURN: Duration = Duration::from_millis(100);

/// A pool, and what is kept of it. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Stand(Arc<Inner>);

struct Inner {
    pool: PgPool,
    /// As many as the pool has connections: whoever has one may take a connection out of it.
    places: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// With the time since when nothing came for them. The one that was in use last is taken first.
    idle: Vec<(Instant, Lent)>,
    /// Who waits for one, in order.
    waiting: VecDeque<oneshot::Sender<Lent>>,
    /// Somebody takes back what nothing comes for.
    watched: bool,
    closed: bool,
}

/// A place for a connection out of the pool. Dropped, the connection goes back there, and the place to one who
/// waits.
struct Lent {
    /// None where it still has to be asked of the pool.
    connection: Option<PoolConnection<Postgres>>,
    /// When it left the pool.
    since: Instant,
    place: Option<OwnedSemaphorePermit>,
    stand: Weak<Inner>,
}

impl Lent {
    /// Closes the connection without a word, whatever state it is in.
    fn close(&mut self) {
        drop(self.connection.take().map(PoolConnection::detach));
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // The way back needs a runtime.
            match tokio::runtime::Handle::try_current() {
                Ok(_) => drop(connection),
                Err(_) => drop(connection.detach()),
            }
        }
        let (Some(place), Some(inner)) = (self.place.take(), self.stand.upgrade()) else { return };
        let mut next = Self {
            connection: None,
            place: Some(place),
            since: self.since,
            stand: self.stand.clone(),
        };
        let mut kept = inner.kept();
        while let Some(waiter) = kept.waiting.pop_front() {
            match waiter.send(next) {
                Ok(()) => return,
                // It was given up.
                Err(back) => next = back,
            }
        }
        // Under the lock, lest somebody find no place and then wait for one.
        drop(next.place.take());
        drop(kept);
    }
}

impl Stand {
    /// Keeps connections of this pool.
    pub(crate) fn over(pool: PgPool) -> Self {
        let most = pool.options().get_max_connections() as usize;
        let places = Arc::new(Semaphore::new(most));
        Self(Arc::new(Inner { pool, places, kept: Mutex::default() }))
    }

    /// Runs statements. `failed` says what it means that no connection was to be had.
    pub(crate) async fn run<T, E>(
        &self,
        failed: impl Fn(sqlx::Error) -> E,
        statements: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = self.take().await.map_err(&failed)?;
        let connection = lent.connection.as_mut().ok_or_else(|| failed(sqlx::Error::PoolClosed))?;
        let done = statements(connection).await?;
        // One whose statement failed, or was dropped before its end, goes to the pool, which asks it.
        self.put(lent);
        Ok(done)
    }

    /// Runs a statement for a bounded time. A connection that did not answer is closed: given back, it would
    /// keep its place in the pool for as long as TCP hopes.
    pub(crate) async fn within<T>(
        &self,
        deadline: Duration,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, StoreError> {
        let mut lent = self.take().await.map_err(store_error)?;
        let connection = lent.connection.as_mut().ok_or(sqlx::Error::PoolClosed);
        let connection = connection.map_err(store_error)?;
        match tokio::time::timeout(deadline, statement(connection)).await {
            Ok(Ok(done)) => {
                self.put(lent);
                Ok(done)
            }
            Ok(Err(error)) => Err(store_error(error)),
            Err(_) => {
                lent.close();
                Err(StoreError::unavailable("the server did not answer in time"))
            }
        }
    }

    /// Closes the pool with all that is kept of it.
    pub(crate) async fn close(&self) {
        self.give_all_back();
        self.0.pool.close().await;
    }

    fn give_all_back(&self) {
        let mut kept = self.0.kept();
        kept.closed = true;
        let idle = std::mem::take(&mut kept.idle);
        drop(kept);
        drop(idle);
    }

    async fn take(&self) -> sqlx::Result<Lent> {
        let patience = self.0.pool.options().get_acquire_timeout();
        let handed_over = {
            let mut kept = self.0.kept();
            if let Some((_, lent)) = kept.idle.pop() {
                return Ok(lent);
            }
            match Arc::clone(&self.0.places).try_acquire_owned() {
                Ok(place) => Err(place),
                Err(_) => {
                    let (waiter, handed_over) = oneshot::channel();
                    kept.waiting.retain(|waiter| !waiter.is_closed());
                    kept.waiting.push_back(waiter);
                    Ok(handed_over)
                }
            }
        };
        let lent = match handed_over {
            Ok(handed_over) => match tokio::time::timeout(patience, handed_over).await {
                Ok(Ok(lent)) => lent,
                _ => return Err(sqlx::Error::PoolTimedOut),
            },
            Err(place) => {
                let (stand, place) = (Arc::downgrade(&self.0), Some(place));
                Lent { connection: None, since: Instant::now(), place, stand }
            }
        };
        self.with_connection(lent).await
    }

    /// Asks the pool, unless the connection is there already.
    async fn with_connection(&self, mut lent: Lent) -> sqlx::Result<Lent> {
        if lent.connection.is_none() {
            lent.connection = Some(self.0.pool.acquire().await?);
            lent.since = Instant::now();
        }
        Ok(lent)
    }

    fn put(&self, mut lent: Lent) {
        let mut kept = self.0.kept();
        if kept.closed || lent.since.elapsed() >= TURN {
            drop(kept);
            drop(lent);
            return;
        }
        while let Some(waiter) = kept.waiting.pop_front() {
            match waiter.send(lent) {
                Ok(()) => return,
                // It was given up.
                Err(back) => lent = back,
            }
        }
        kept.idle.push((Instant::now(), lent));
        if !std::mem::replace(&mut kept.watched, true) {
            let stand = Arc::downgrade(&self.0);
            tokio::spawn(Watch { stand, is_over: false }.run());
        }
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Perhaps there is no runtime any more, which a way back into the pool needs.
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        kept.idle.iter_mut().for_each(|(_, lent)| lent.close());
    }
}

/// Takes back what nothing comes for, until nothing is kept. When it is dropped, also with its runtime, the next
/// connection that is kept begins another one.
struct Watch {
    stand: Weak<Inner>,
    is_over: bool,
}

impl Watch {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(IDLE).await;
            let Some(inner) = self.stand.upgrade() else { return };
            let mut kept = inner.kept();
            let idle = kept.idle.partition_point(|(since, _)| since.elapsed() >= IDLE);
            let idle: Vec<_> = kept.idle.drain(..idle).collect();
            if kept.idle.is_empty() {
                // Under the lock, lest one be kept between the look and the end.
                kept.watched = false;
                self.is_over = true;
            }
            drop(kept);
            drop(idle);
            if self.is_over {
                return;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Some(inner) = self.stand.upgrade() {
            inner.kept().watched = false;
        }
    }
}
