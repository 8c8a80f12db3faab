//! **N**, the notify session: LISTEN, the heartbeat and the process lock, and the look at peers. It
//! is an independent witness of this process's life beside the lock session.

use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{CHANNEL, Notice, Signal, StoreError, Timestamp, Token};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::peers::Peers;
use super::{Common, DEADLINE, FIRST_PAUSE, NotifyCommand, jittered, set_up, within};
use crate::error::{is_fatal, store_error};
use crate::settle::tokens;
use crate::{process, sql};

/// Time between looks at the peers. It also notices a connection that died in silence.
const LOOK: Duration = Duration::from_secs(5);
/// After so long without a heartbeat from the capsule, this session beats by itself.
const SILENCE: Duration = Duration::from_secs(15);
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
                        // Answered before the upkeep: the sooner the store's time arrives, the
                        // better the worker's clock follows it.
                        let state = process::state(&process, self.common.options.pool_size);
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
                    }
                },
                _ = looks.tick() => {
                    self.beat_for_the_silent(live).await?;
                    within(DEADLINE, self.peers.look(&mut live.listener)).await?;
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

    async fn beat(&mut self, live: &mut Live, state: Value) -> sqlx::Result<Timestamp> {
        self.last_beat = Some((state.clone(), Instant::now()));
        let beating = sqlx::query_as(sql::BEAT)
            .bind(self.common.process.as_uuid())
            .bind(state)
            .fetch_one(&mut live.listener);
        let (now, _born): (Timestamp, bool) = within(DEADLINE, beating).await?;
        Ok(now)
    }

    /// Beats in the name of a process whose runtime is blocked by its own jobs: it lives, it is only
    /// too busy to say so.
    async fn beat_for_the_silent(&mut self, live: &mut Live) -> sqlx::Result<()> {
        match self.last_beat.take() {
            Some((state, at)) if at.elapsed() > SILENCE => {
                tracing::warn!("no heartbeat came: jobs are blocking the runtime's threads");
                self.beat(live, state).await?;
                self.keep_up(live).await
            }
            last => {
                self.last_beat = last;
                Ok(())
            }
        }
    }

    /// What is done with each beat besides: our own jobs, then those of the dead.
    async fn keep_up(&mut self, live: &mut Live) -> sqlx::Result<()> {
        self.restamp(live).await?;
        within(DEADLINE, self.peers.look(&mut live.listener)).await?;
        within(DEADLINE, self.peers.free_ghosts(&mut live.listener)).await
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

fn closed() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into())
}
