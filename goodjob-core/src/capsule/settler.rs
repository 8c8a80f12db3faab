//! Writes down how attempts ended, in groups: while one group is being written the next one gathers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::{Fate, Settled, Settlement, Store, Token};

/// The largest group written in one statement.
const MAX_GROUP: usize = 500;
/// Attempts that may run or wait to be written beyond the slots of all pools.
const MAX_WAITING: usize = 1_000;
/// Waits between tries while the store is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long outcomes are still tried to be written once the shutdown waits no more.
const LAST_TRY: Duration = Duration::from_secs(5);

/// What happened to an attempt.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It ended this way.
    Settle(Token, Settlement),
    /// It never began.
    Release(Token),
}

type Message = (Ended, OwnedSemaphorePermit);

/// Where attempts hand over how they ended. Never waits.
#[derive(Clone, Debug)]
pub(crate) struct SettlerHandle {
    messages: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
}

impl SettlerHandle {
    /// Room for attempts; as long as there is none, no job should be claimed.
    pub(crate) fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }

    pub(crate) fn send(&self, ended: Ended, permit: OwnedSemaphorePermit) {
        if self.messages.send((ended, permit)).is_err() {
            tracing::error!(
                "an attempt ended after the settler did; others will find it interrupted"
            );
        }
    }
}

/// The task that writes.
#[derive(Debug)]
pub(crate) struct Settler {
    handle: SettlerHandle,
    task: JoinHandle<()>,
}

impl Settler {
    pub(crate) fn start(store: Arc<dyn Store>, cut: CancellationToken, slots: usize) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(slots + MAX_WAITING));
        let task = tokio::spawn(Writer { store, cut }.run(inbox));
        Self { handle: SettlerHandle { messages, room }, task }
    }

    pub(crate) fn handle(&self) -> SettlerHandle {
        self.handle.clone()
    }

    /// Writes what is left. Every other handle has to be gone.
    pub(crate) async fn finish(self) {
        drop(self.handle);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the settler ended in a panic");
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    cut: CancellationToken,
}

impl Writer {
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        while inbox.recv_many(&mut group, MAX_GROUP).await > 0 {
            let (mut ended, mut unstarted, mut permits) = (Vec::new(), Vec::new(), Vec::new());
            for (message, permit) in group.drain(..) {
                permits.push(permit);
                match message {
                    Ended::Settle(token, settlement) => ended.push((token, settlement)),
                    Ended::Release(token) => unstarted.push(token),
                }
            }
            self.settle(&ended).await;
            self.release(&unstarted).await;
        }
    }

    /// Tries until the group is written. An outcome that the store refuses is tried alone, so that
    /// it cannot hold up the others, and then in the plainest form that says what happened.
    async fn settle(&self, ended: &[(Token, Settlement)]) {
        if ended.is_empty() {
            return;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.settle(ended).await {
                Ok(settled) => return report(ended, &settled),
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, attempts = ended.len(), "outcomes are held until they can be written");
                    if !self.wait(&mut pause).await {
                        tracing::error!(attempts = ended.len(), "outcomes could not be written");
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, attempts = ended.len(), "the store refuses outcomes");
                    if ended.len() > 1 {
                        let (some, others) = ended.split_at(ended.len() / 2);
                        Box::pin(self.settle(some)).await;
                        Box::pin(self.settle(others)).await;
                    }
                    return;
                }
            }
        }
    }

    async fn release(&self, unstarted: &[Token]) {
        if unstarted.is_empty() {
            return;
        }
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.store.release(unstarted).await {
            tracing::warn!(%error, attempts = unstarted.len(), "claimed jobs cannot be given back yet");
            if !error.is_transient() || !self.wait(&mut pause).await {
                return;
            }
        }
    }

    /// Waits before the next try; false when there is to be none.
    async fn wait(&self, pause: &mut Duration) -> bool {
        let jittered = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        let patience = async {
            self.cut.cancelled().await;
            tokio::time::sleep(LAST_TRY).await;
        };
        tokio::select! {
            () = tokio::time::sleep(jittered) => true,
            () = patience => false,
        }
    }
}

fn report(ended: &[(Token, Settlement)], settled: &[Settled]) {
    for ((token, settlement), settled) in ended.iter().zip(settled) {
        match settled {
            Settled::Written => {
                let fate = match settlement.job {
                    Fate::Succeed => "succeeded",
                    Fate::Retry { .. } => "retried",
                    Fate::PutBack { .. } => "put back",
                    Fate::Discard { .. } => "discarded",
                };
                tracing::debug!(job = %token.job, execution = %token.execution, fate, "settled");
            }
            Settled::Fenced => tracing::warn!(
                job = %token.job, execution = %token.execution,
                "another attempt has taken over: this outcome was not written"
            ),
        }
    }
}
