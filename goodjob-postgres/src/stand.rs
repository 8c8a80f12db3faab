//! Connections that were in use a moment ago, kept out of their pool for the next statement.
//!
//! A pool of sqlx asks every connection that comes back to it whether it still lives. That is a second round trip
//! for each statement: an enqueue would cost the server half as much again. So a connection whose statement
//! succeeded stays here for a moment, and goes back when nothing came for it or when somebody waits for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use goodjob_core::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::Instant;

use crate::error::store_error;

/// How long a connection stays that nothing comes for.
const IDLE: Duration = Duration::from_millis(20);

/// A pool, and what is kept of it. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Stand(Arc<Inner>);

struct Inner {
    pool: PgPool,
    /// The most connections that are kept.
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The one that was in use last is the last one, and is taken first.
    connections: Vec<(Instant, PoolConnection<Postgres>)>,
    /// Who waits for the pool.
    waiting: usize,
    /// Somebody takes back what nothing comes for.
    watched: bool,
    closed: bool,
}

impl Stand {
    /// Keeps as many connections of a pool as `most`. Others who use the pool need what is left of it.
    pub(crate) fn over(pool: PgPool, most: usize) -> Self {
        Self(Arc::new(Inner { pool, most, kept: Mutex::default() }))
    }

    /// Runs a statement.
    pub(crate) async fn run<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut connection = self.take().await?;
        let done = statement(&mut connection).await?;
        // One whose statement failed, or was dropped before its end, goes to the pool, which asks it.
        self.put(connection);
        Ok(done)
    }

    /// Runs a statement for a bounded time. A connection that did not answer is closed: given back, it would
    /// keep its place in the pool for as long as TCP hopes.
    pub(crate) async fn within<T>(
        &self,
        deadline: Duration,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, StoreError> {
        let mut connection = self.take().await.map_err(store_error)?;
        match tokio::time::timeout(deadline, statement(&mut connection)).await {
            Ok(Ok(done)) => {
                self.put(connection);
                Ok(done)
            }
            Ok(Err(error)) => Err(store_error(error)),
            Err(_) => {
                drop(connection.detach());
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
        let connections = std::mem::take(&mut kept.connections);
        drop(kept);
        drop(connections);
    }

    async fn take(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        if let Some((_, connection)) = self.0.kept().connections.pop() {
            return Ok(connection);
        }
        let _waiting = Waiting::at(&self.0);
        self.0.pool.acquire().await
    }

    fn put(&self, connection: PoolConnection<Postgres>) {
        let mut kept = self.0.kept();
        if kept.closed || kept.waiting > 0 || kept.connections.len() >= self.0.most {
            drop(kept);
            drop(connection);
            return;
        }
        kept.connections.push((Instant::now(), connection));
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
        kept.connections.drain(..).for_each(|(_, connection)| drop(connection.detach()));
    }
}

/// Somebody waits for a connection of the pool.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn at(inner: &'a Inner) -> Self {
        inner.kept().waiting += 1;
        Self(inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.kept().waiting -= 1;
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
            let idle = kept.connections.partition_point(|(since, _)| since.elapsed() >= IDLE);
            let idle: Vec<_> = kept.connections.drain(..idle).collect();
            if kept.connections.is_empty() {
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
