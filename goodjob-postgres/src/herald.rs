//! Notices of jobs that were stored at the same time, sent together after their commits.
//!
//! A transaction that notifies holds a lock of the whole server's from before its commit until after it, so
//! that enqueues which notify commit one after the other: four connections store a third of what they could.
//! An enqueue that is not alone therefore stores quietly and leaves its notice to the herald, which sends
//! what has gathered in one statement, at once if it is idle and else a millisecond after the one before. A notice only
//! saves the wait for the next poll: one that is lost, with the process or the connection, loses no job.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use goodjob_core::{Timestamp, Trouble, TroubleKind, Troubles};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dialect::Dialect;
use crate::sql;
use crate::stand::Stand;

/// Tries to send a group of notices before they are given up.
const TRIES: u32 = 2;
/// How long one try may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// The least time from one group to the next. A group for each pair of jobs would cost the server, and this
/// process, nearly as much as to store them.
const PACE: Duration = Duration::from_millis(1);
/// Longer names would not fit into a notice of 8,000 bytes with the rest of it.
const LONGEST_NAME: usize = 1000;

/// Tells workers of jobs. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Herald(Arc<Inner>);

struct Inner {
    stand: Stand,
    dialect: Dialect,
    troubles: Troubles,
    /// Whether anybody is told at all.
    speaks: bool,
    /// Enqueues under way.
    storing: AtomicUsize,
    news: Mutex<News>,
    /// Somebody may wait for the last notice to be sent.
    silent: Notify,
}

#[derive(Default)]
struct News {
    /// How many jobs by queue and due time. Those that are due now have none, and one notice.
    waiting: HashMap<(String, Option<Timestamp>), i64>,
    /// When the latest of those that are due now was stored.
    latest: Timestamp,
    sending: bool,
}

impl Herald {
    pub(crate) fn new(stand: Stand, dialect: Dialect, troubles: Troubles, speaks: bool) -> Self {
        let (storing, news, silent) = (AtomicUsize::new(0), Mutex::default(), Notify::new());
        Self(Arc::new(Inner { stand, dialect, troubles, speaks, storing, news, silent }))
    }

    /// An enqueue begins, which lasts as long as what this returns.
    pub(crate) fn storing(&self) -> Storing<'_> {
        let others = self.0.storing.fetch_add(1, Ordering::Relaxed);
        Storing { herald: self, is_alone: others == 0 }
    }

    /// Has workers told of a job that was stored quietly, at `now` by the server's clock.
    pub(crate) fn tell(&self, queue: &str, due: Timestamp, now: Timestamp) {
        if !self.0.speaks || queue.len() >= LONGEST_NAME {
            return;
        }
        let mut news = self.news();
        let due = (due > now).then_some(due);
        *news.waiting.entry((queue.to_owned(), due)).or_default() += 1;
        news.latest = news.latest.max(now);
        if !std::mem::replace(&mut news.sending, true) {
            tokio::spawn(Sending { herald: self.clone(), is_over: false }.run());
        }
    }

    /// Waits until every notice is sent, or given up.
    pub(crate) async fn silent(&self) {
        loop {
            let silent = self.0.silent.notified();
            if !self.news().sending {
                return;
            }
            silent.await;
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An enqueue under way.
pub(crate) struct Storing<'a> {
    herald: &'a Herald,
    is_alone: bool,
}

impl Storing<'_> {
    /// Whether none other was under way when it began.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        self.herald.0.storing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The sending of what has gathered. When it is dropped, also with its runtime, the next notice begins
/// another one.
struct Sending {
    herald: Herald,
    is_over: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.is_over {
            self.herald.news().sending = false;
        }
        self.herald.0.silent.notify_waiters();
    }
}

impl Sending {
    async fn run(mut self) {
        loop {
            let (waiting, latest) = {
                let mut news = self.herald.news();
                if news.waiting.is_empty() {
                    // Under the lock, lest a notice come between the look and the end.
                    news.sending = false;
                    self.is_over = true;
                    return;
                }
                (std::mem::take(&mut news.waiting), news.latest)
            };
            let begun = Instant::now();
            self.send(waiting, latest).await;
            tokio::time::sleep_until(begun + PACE).await;
        }
    }

    async fn send(&self, waiting: HashMap<(String, Option<Timestamp>), i64>, latest: Timestamp) {
        let Inner { stand, dialect, .. } = &*self.herald.0;
        let due: Vec<Timestamp> = waiting.keys().map(|(_, due)| due.unwrap_or(latest)).collect();
        let queues: Vec<&str> = waiting.keys().map(|(queue, _)| queue.as_str()).collect();
        let jobs: Vec<i64> = waiting.values().copied().collect();
        for attempt in 1..=TRIES {
            let query = sqlx::query(dialect.sql(sql::HERALD)).bind(&queues).bind(&due).bind(&jobs);
            match stand.within(DEADLINE, async |connection| query.execute(connection).await).await {
                Ok(_) => return,
                Err(error) if attempt == TRIES => {
                    let what =
                        format!("workers find jobs by polling: {} notices are lost", queues.len());
                    let trouble = Trouble::new(TroubleKind::NoticesLost, what);
                    self.herald.0.troubles.report(trouble.because(error));
                }
                Err(_) => {}
            }
        }
    }
}
