//! **N**, the notify session: LISTEN, the heartbeat and the process lock, and the look at peers. It
//! is an independent witness of this process's life beside the lock session.

use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{CHANNEL, Notice, ProcessRecord, Signal, StoreError, Timestamp, Token};
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::peers::Peers;
use super::{Common, DEADLINE, FIRST_PAUSE, NotifyCommand, jittered, set_up, within};
use crate::error::{is_fatal, store_error};
use crate::settle::tokens;
use crate::{process, sql};

/// Time between looks at the peers. It also notices a connection that died in silence.
const LOOK: Duration = Duration::from_secs(5);
/// The application beats every 10 s unless all its threads are blocked. The session then does it alone,
/// for a process that lives but does not say so loses its jobs to the gem's clean-up.
const OVERDUE: Duration = Duration::from_secs(11);
/// How long a dead or leaving session may take to close.
const GOODBYE: Duration = Duration::from_secs(1);

pub(crate) struct NotifySession {
    common: Common,
    /// Attempts whose owner is stamped again where somebody removed it.
    held: watch::Receiver<Arc<Vec<Token>>>,
    peers: Peers,
    /// The last beat that was asked for or was overdue, and what it said.
    beaten: Option<(Instant, Box<ProcessRecord>)>,
}

/// A session that lives. The pool exists because sqlx's listener wants one; it holds one connection.
struct Live {
    listener: PgListener,
    pool: PgPool,
}

impl Live {
    /// Says goodbye; the server notices by itself when that takes too long.
    async fn close(self) {
        drop(self.listener);
        let _ = tokio::time::timeout(GOODBYE, self.pool.close()).await;
    }
}

impl NotifySession {
    pub(crate) fn new(common: Common, held: watch::Receiver<Arc<Vec<Token>>>) -> Self {
        let peers = Peers::new(common.process);
        Self { common, held, peers, beaten: None }
    }

    /// Serves until the process leaves, or the last sender of `inbox` is gone.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<NotifyCommand>) {
        let mut pause = FIRST_PAUSE;
        let mut first = true;
        loop {
            match self.open().await {
                Ok(mut live) => {
                    pause = FIRST_PAUSE;
                    self.common.hearing.send_replace(true);
                    self.peers.reconnected();
                    if !std::mem::take(&mut first) {
                        tracing::info!("the notify session is back");
                        // What was sent meanwhile is lost. Nobody listening is fine.
                        let _ = self.common.signals.send(Signal::Resync);
                    }
                    let served = self.serve(&mut live, &mut inbox).await;
                    self.common.hearing.send_replace(false);
                    live.close().await;
                    match served {
                        Ok(()) => return,
                        Err(error) => tracing::warn!(%error, "the notify session is lost"),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the notify session cannot be opened");
                    if self.refuse_waiting(&mut inbox, &error) {
                        return;
                    }
                }
            }
            tokio::time::sleep(jittered(&mut pause)).await;
        }
    }

    async fn serve(
        &mut self,
        live: &mut Live,
        inbox: &mut mpsc::Receiver<NotifyCommand>,
    ) -> sqlx::Result<()> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        loop {
            tokio::select! {
                heard = live.listener.try_recv() => match heard? {
                    Some(notification) => self.heard(notification.payload()),
                    None => return Err(closed()),
                },
                command = inbox.recv() => match command {
                    None => return Ok(()),
                    Some(NotifyCommand::Leave { reply }) => {
                        let _ = reply.send(self.leave(live).await.map_err(store_error));
                        return Ok(());
                    }
                    Some(NotifyCommand::Beat { process, reply }) => {
                        match self.beat(live, process).await {
                            Ok(now) => drop(reply.send(Ok(now))),
                            Err(error) => {
                                let fatal = is_fatal(&error);
                                let text = error.to_string();
                                let _ = reply.send(Err(store_error(error)));
                                if fatal {
                                    return Err(sqlx::Error::Protocol(text));
                                }
                            }
                        }
                    }
                },
                record = overdue(self.beaten.as_ref()) => match self.beat(live, record).await {
                    Ok(_) => tracing::warn!("the heartbeat is late: is the runtime blocked by a job?"),
                    Err(error) if is_fatal(&error) => return Err(error),
                    Err(error) => tracing::warn!(%error, "a heartbeat was missed"),
                },
                _ = looks.tick() => {
                    let looking = self.peers.look(&mut live.listener);
                    within(DEADLINE, looking).await?;
                }
            }
        }
    }

    async fn open(&mut self) -> sqlx::Result<Live> {
        let name = format!("goodjob notify {}", self.common.process);
        let connect = self.common.options.connect.clone().application_name(&name);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(DEADLINE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_connect(|connection, _| Box::pin(async { set_up(connection).await.map(drop) }))
            .connect_with(connect)
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        // A session that lingers on the server would keep the process lock from its successor.
        sqlx::query(sql::END_PREDECESSOR).execute(&mut listener).await?;
        sqlx::query(sql::PROCESS_LOCK)
            .bind(self.common.process.as_uuid())
            .execute(&mut listener)
            .await?;
        if self.common.options.listen {
            listener.listen(CHANNEL).await?;
        }
        Ok(Live { listener, pool })
    }

    fn heard(&self, payload: &str) {
        match Notice::parse(payload) {
            // Nobody listening is fine: a notice is a hint.
            Ok(notice) => drop(self.common.signals.send(Signal::Notice(notice))),
            Err(error) => tracing::debug!(%error, payload, "ignored a message that is no notice"),
        }
    }

    async fn beat(
        &mut self,
        live: &mut Live,
        record: Box<ProcessRecord>,
    ) -> sqlx::Result<(Timestamp, Instant)> {
        let state = process::state(&record, self.common.options.pool_size);
        let beating = sqlx::query_as(sql::BEAT)
            .bind(record.id.as_uuid())
            .bind(state)
            .fetch_one(&mut live.listener);
        self.beaten = Some((Instant::now(), record));
        let (now, _born): (Timestamp, bool) = within(DEADLINE, beating).await?;
        let now = (now, Instant::now());
        self.restamp(live).await?;
        within(DEADLINE, self.peers.look(&mut live.listener)).await?;
        within(DEADLINE, self.peers.free_ghosts(&mut live.listener)).await?;
        Ok(now)
    }

    /// Somebody's clean-up may have taken this process for dead while it was not looking.
    async fn restamp(&mut self, live: &mut Live) -> sqlx::Result<()> {
        let held = Arc::clone(&self.held.borrow());
        if held.is_empty() {
            return Ok(());
        }
        let running = tokens(held.iter());
        let stamping = sqlx::query(sql::RESTAMP)
            .bind(running.jobs)
            .bind(running.performed_at)
            .bind(running.counts)
            .bind(self.common.process.as_uuid())
            .bind(self.common.options.lock_strategy.code())
            .execute(&mut live.listener);
        let stamped = within(DEADLINE, stamping).await?.rows_affected();
        if stamped > 0 {
            tracing::warn!(jobs = stamped, "running jobs had lost their owner and have it again");
        }
        Ok(())
    }

    async fn leave(&self, live: &mut Live) -> sqlx::Result<()> {
        let leaving =
            sqlx::query(sql::LEAVE).bind(self.common.process.as_uuid()).execute(&mut live.listener);
        within(DEADLINE, leaving).await.map(drop)
    }

    /// Answers what waits while there is no session; true when nobody will ask any more.
    fn refuse_waiting(
        &self,
        inbox: &mut mpsc::Receiver<NotifyCommand>,
        error: &sqlx::Error,
    ) -> bool {
        let refusal =
            || StoreError::unavailable(format!("the notify session cannot be opened: {error}"));
        loop {
            match inbox.try_recv() {
                Ok(NotifyCommand::Beat { reply, .. }) => drop(reply.send(Err(refusal()))),
                Ok(NotifyCommand::Leave { reply }) => {
                    let _ = reply.send(Err(refusal()));
                    return true;
                }
                Err(mpsc::error::TryRecvError::Empty) => return false,
                Err(mpsc::error::TryRecvError::Disconnected) => return true,
            }
        }
    }
}

/// Waits until a beat is overdue; returns what it should say. Cancel safe.
async fn overdue(beaten: Option<&(Instant, Box<ProcessRecord>)>) -> Box<ProcessRecord> {
    let Some((last, record)) = beaten else { return std::future::pending().await };
    sleep_until(*last + OVERDUE).await;
    record.clone()
}

fn closed() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into())
}
