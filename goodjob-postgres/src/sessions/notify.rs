//! **N**, the notify session: LISTEN, the heartbeat and the process lock, and the look at peers. It
//! is an independent witness of this process's life beside the lock session.

use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{CHANNEL, Notice, Signal, StoreError, Timestamp, Token, Trouble, TroubleKind};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::peers::Peers;
use super::{
    Common, DEADLINE, FIRST_PAUSE, NotifyCommand, end_predecessor, jittered, set_up, within,
};
use crate::error::{is_fatal, store_error};
use crate::options::BY_INDEX;
use crate::settle::tokens;
use crate::{process, sql};

/// Time between looks at the peers. It also notices a connection that died in silence.
const LOOK: Duration = Duration::from_secs(5);
/// After so long without a heartbeat from the capsule, which beats every 10 s, this session beats in its
/// name: a process whose jobs block its runtime lives, it is only too busy to say so.
const OVERDUE: Duration = Duration::from_secs(11);
/// How long a dead or leaving session may take to close.
const GOODBYE: Duration = Duration::from_secs(1);

pub(crate) struct NotifySession {
    common: Common,
    /// Attempts whose owner is stamped again where somebody removed it.
    held: watch::Receiver<Arc<Vec<Token>>>,
    peers: Peers,
    /// What was last said of this process, and when.
    last_beat: Option<(Value, Instant)>,
}

/// A session that lives. The pool exists because sqlx's listener wants one; it holds one connection.
struct Live {
    listener: PgListener,
    pool: PgPool,
    /// Whether it has the process lock, which a predecessor may hold for a moment.
    process_lock: bool,
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
        let peers = Peers::new(&common);
        Self { common, held, peers, last_beat: None }
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
                        Err(error) => {
                            let what = "the notify session is lost";
                            self.common.trouble(TroubleKind::ListenerLost, what, &error);
                        }
                    }
                }
                Err(error) => {
                    let what = "the notify session cannot be opened";
                    self.common.trouble(TroubleKind::ListenerLost, what, &error);
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
                        // Answered before the upkeep: the sooner the store's time arrives, the
                        // better the worker's clock follows it.
                        let state = process::state(&process, &self.common.options, &self.common.pool);
                        match self.beat(live, state).await {
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
                        self.keep_up(live).await?;
                        looks.reset();
                    }
                },
                _ = looks.tick() => self.look(live).await?,
                state = overdue(self.last_beat.as_ref()) => {
                    let what = "no heartbeat came: jobs are blocking the runtime's threads";
                    self.common.troubles.report(Trouble::new(TroubleKind::HeartbeatMissed, what));
                    let beaten = self.beat(live, state).await.map(drop);
                    self.common.survived("the heartbeat", beaten)?;
                    self.keep_up(live).await?;
                }
            }
        }
    }

    async fn open(&mut self) -> sqlx::Result<Live> {
        let name = format!("goodjob notify {}", self.common.process);
        let connect = self.common.options.connect.clone().application_name(&name).options(BY_INDEX);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(DEADLINE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_connect(|connection, _| Box::pin(async { set_up(connection).await.map(drop) }))
            .connect_with(connect);
        let pool = within(DEADLINE, pool).await?;
        let mut listener = within(DEADLINE, PgListener::connect_with(&pool)).await?;
        listener.eager_reconnect(false);
        // A session that lingers on the server would keep the process lock from its successor.
        end_predecessor(&mut listener).await?;
        let process_lock = self.take_process_lock(&mut listener).await?;
        if self.common.options.listen_notify {
            within(DEADLINE, listener.listen(CHANNEL)).await?;
        }
        Ok(Live { listener, pool, process_lock })
    }

    fn heard(&self, payload: &str) {
        match Notice::parse(payload) {
            // Nobody listening is fine: a notice is a hint.
            Ok(notice) => drop(self.common.signals.send(Signal::Notice(notice))),
            Err(error) => tracing::debug!(%error, payload, "ignored a message that is no notice"),
        }
    }

    async fn beat(&mut self, live: &mut Live, state: Value) -> sqlx::Result<(Timestamp, Instant)> {
        self.last_beat = Some((state.clone(), Instant::now()));
        let beating = sqlx::query_as(self.common.dialect.sql(sql::BEAT))
            .bind(self.common.process.as_uuid())
            .bind(state)
            .fetch_one(&mut live.listener);
        let (now, _born): (Timestamp, bool) = within(DEADLINE, beating).await?;
        Ok((now, Instant::now()))
    }

    /// What is done with each beat besides: for our own jobs, for those of the dead and of nobody.
    async fn keep_up(&mut self, live: &mut Live) -> sqlx::Result<()> {
        let restamped = self.restamp(live).await;
        self.common.survived("stamping running jobs", restamped)?;
        self.look(live).await?;
        let looked = within(DEADLINE, self.peers.look_around(&mut live.listener)).await;
        self.common.survived("looking for jobs without an owner", looked)
    }

    /// Looks at the peers. What goes wrong with them must not cost this process its own session.
    async fn look(&mut self, live: &mut Live) -> sqlx::Result<()> {
        if !live.process_lock {
            live.process_lock = self.take_process_lock(&mut live.listener).await?;
        }
        let looked = within(DEADLINE, self.peers.look(&mut live.listener)).await;
        self.common.survived("looking at the other processes", looked)
    }

    async fn take_process_lock(&self, listener: &mut PgListener) -> sqlx::Result<bool> {
        let query = sqlx::query_scalar(self.common.dialect.sql(sql::PROCESS_LOCK))
            .bind(self.common.process.as_uuid());
        within(DEADLINE, query.fetch_one(listener)).await
    }

    /// Somebody's clean-up may have taken this process for dead while it was not looking.
    async fn restamp(&mut self, live: &mut Live) -> sqlx::Result<()> {
        let held = Arc::clone(&self.held.borrow());
        if held.is_empty() {
            return Ok(());
        }
        let running = tokens(held.iter());
        let stamping = sqlx::query(self.common.dialect.sql(sql::RESTAMP))
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
        let leaving = sqlx::query(self.common.dialect.sql(sql::LEAVE))
            .bind(self.common.process.as_uuid())
            .execute(&mut live.listener);
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
async fn overdue(last: Option<&(Value, Instant)>) -> Value {
    let Some((state, at)) = last else { return std::future::pending().await };
    sleep_until(*at + OVERDUE).await;
    state.clone()
}

fn closed() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into())
}
