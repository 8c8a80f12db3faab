//! Writes down how attempts ended, in groups: while one group is being written the next one gathers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backlog::Backlog;
use super::meter::Meter;
use super::pause::Pause;
use crate::backend::Backend;
use crate::job::ErrorNote;
use crate::store::{Fate, Settled, Settlement, Store, StoreError, Token};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// The largest group written in one statement.
const MAX_GROUP: usize = 500;
/// While outcomes come in crowds, a group gathers for so long unless it is full before. A statement costs
/// about as much as a hundred of its rows.
const GATHERING: Duration = Duration::from_millis(2);
/// As many in one group are a crowd.
const CROWD: usize = 32;
/// The first wait between tries while the store is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Time between tries of an outcome whose row somebody else holds.
const BLOCKED_PAUSE: Duration = Duration::from_millis(100);
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

pub(super) enum Message {
    /// The permit goes back when this is written.
    Ended(Ended, Option<OwnedSemaphorePermit>),
    /// Somebody wants to know when all that was sent before is written.
    Flush(oneshot::Sender<()>),
}

/// Where attempts hand over how they ended. Never waits.
#[derive(Clone, Debug)]
pub(crate) struct SettlerHandle {
    pub(super) messages: mpsc::UnboundedSender<Message>,
    pub(super) room: Arc<Semaphore>,
    /// Counts what attempts do.
    pub(super) meter: Arc<Meter>,
    pub(super) troubles: Troubles,
}

impl SettlerHandle {
    /// Room for attempts; as long as there is none, no job should be claimed.
    pub(crate) fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }

    pub(crate) fn send(&self, ended: Ended, permit: Option<OwnedSemaphorePermit>) {
        if self.messages.send(Message::Ended(ended, permit)).is_err() {
            let what = "an attempt ended after the settler did; others will find it interrupted";
            self.troubles.report(Trouble::new(TroubleKind::OutcomesLost, what));
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
    pub(crate) fn start(
        backend: &Backend,
        cut: CancellationToken,
        slots: usize,
        meter: Arc<Meter>,
    ) -> Self {
        let (store, troubles) = (Arc::clone(backend.store()), backend.troubles().clone());
        let (messages, inbox) = mpsc::unbounded_channel();
        // One group gathers beyond the slots, or beyond one that is being written and one that is claimed. More would
        // be no faster, and each attempt whose outcome is not written yet runs again after a crash.
        let room = Arc::new(Semaphore::new(slots.max(2 * MAX_GROUP) + MAX_GROUP));
        let handle = SettlerHandle { messages, room, meter, troubles: troubles.clone() };
        let writer = Writer { store, troubles, cut, last_try: None, blocked: Vec::new() };
        Self { handle, task: tokio::spawn(writer.run(inbox)) }
    }

    pub(crate) fn handle(&self) -> SettlerHandle {
        self.handle.clone()
    }

    pub(crate) fn backlog(&self) -> Backlog {
        Backlog::of(&self.handle)
    }

    pub(crate) fn task(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    /// Writes what is left. Every other handle has to be gone.
    pub(crate) async fn finish(self) {
        let troubles = self.handle.troubles.clone();
        drop(self.handle);
        if let Err(error) = self.task.await {
            troubles.panicked("the settler", error);
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    troubles: Troubles,
    cut: CancellationToken,
    /// When to give up; known from the cut on.
    last_try: Option<Instant>,
    /// Outcomes whose row somebody else holds for now. They hold up no others.
    blocked: Vec<(Token, Settlement)>,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        let mut flushes = Vec::new();
        let mut crowded = false;
        loop {
            let closed = tokio::select! {
                received = inbox.recv_many(&mut group, MAX_GROUP) => received == 0,
                () = tokio::time::sleep(BLOCKED_PAUSE), if !self.blocked.is_empty() => false,
            };
            if closed {
                break;
            }
            if crowded {
                gather(&mut inbox, &mut group).await;
            }
            crowded = group.len() >= CROWD;
            self.write(group.drain(..), &mut flushes).await;
            if self.blocked.is_empty() {
                for answer in flushes.drain(..) {
                    // Who has stopped waiting needs no answer.
                    let _ = answer.send(());
                }
            }
        }
        let mut pause = Pause::starting_at(FIRST_PAUSE);
        while !self.blocked.is_empty() && self.wait(&mut pause).await {
            self.write(std::iter::empty(), &mut flushes).await;
        }
    }

    async fn write(
        &mut self,
        messages: impl Iterator<Item = Message>,
        flushes: &mut Vec<oneshot::Sender<()>>,
    ) {
        let mut ended = std::mem::take(&mut self.blocked);
        let (mut unstarted, mut permits) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Ended(Ended::Settle(token, settlement), permit) => {
                    ended.push((token, settlement));
                    permits.push(permit);
                }
                Message::Ended(Ended::Release(token), permit) => {
                    unstarted.push(token);
                    permits.push(permit);
                }
                Message::Flush(answer) => flushes.push(answer),
            }
        }
        self.settle(&ended).await;
        self.release(&unstarted).await;
    }

    /// Tries until the group is written. An outcome that the store refuses is tried alone, so that
    /// it cannot hold up the others, and then in the plainest form that says what happened.
    async fn settle(&mut self, ended: &[(Token, Settlement)]) {
        if ended.is_empty() {
            return;
        }
        let mut pause = Pause::starting_at(FIRST_PAUSE);
        loop {
            match self.store.settle(ended).await {
                Ok(settled) => {
                    let again = ended.iter().zip(&settled).filter(|(_, s)| **s == Settled::Blocked);
                    self.blocked.extend(again.map(|(end, _)| end.clone()));
                    return self.report(ended, &settled);
                }
                Err(error) if may_pass(&error) => {
                    self.trouble(
                        TroubleKind::OutcomesHeld,
                        ended.len(),
                        "are held until they can be written",
                        &error,
                    );
                    if !self.wait(&mut pause).await {
                        return self.trouble(
                            TroubleKind::OutcomesLost,
                            ended.len(),
                            "could not be written",
                            &error,
                        );
                    }
                }
                Err(error) => {
                    self.trouble(
                        TroubleKind::OutcomeRefused,
                        ended.len(),
                        "are refused by the store",
                        &error,
                    );
                    return self.settle_refused(ended).await;
                }
            }
        }
    }

    async fn settle_refused(&mut self, ended: &[(Token, Settlement)]) {
        if let [(token, settlement)] = ended {
            if settlement.deletes() {
                // Something of the application's may stand in the way of the deletion; a row that is
                // kept against the policy is better than a job that runs again.
                let kept = [(*token, Settlement { keep: true, ..settlement.clone() })];
                Box::pin(self.settle(&kept)).await;
            } else if let Some(job) = plainer(&settlement.job) {
                let plain = [(*token, Settlement { job, ..settlement.clone() })];
                Box::pin(self.settle(&plain)).await;
            }
        } else {
            let (some, others) = ended.split_at(ended.len() / 2);
            Box::pin(self.settle(some)).await;
            Box::pin(self.settle(others)).await;
        }
    }

    async fn release(&mut self, unstarted: &[Token]) {
        if unstarted.is_empty() {
            return;
        }
        let mut pause = Pause::starting_at(FIRST_PAUSE);
        while let Err(error) = self.store.release(unstarted).await {
            self.trouble(
                TroubleKind::OutcomesHeld,
                unstarted.len(),
                "that never began cannot be given back yet",
                &error,
            );
            if !may_pass(&error) || !self.wait(&mut pause).await {
                return;
            }
        }
    }

    /// Waits before the next try; false when there is to be none. The cut ends a wait, so that a
    /// store which is back is written to at once.
    async fn wait(&mut self, pause: &mut Pause) -> bool {
        let wait = pause.lengthen(Pause::LONGEST);
        let Some(last_try) = self.last_try else {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.cut.cancelled() => {
                    self.last_try = Some(Instant::now() + LAST_TRY);
                    pause.reset();
                }
            }
            return true;
        };
        tokio::time::sleep_until(last_try.min(Instant::now() + wait)).await;
        Instant::now() < last_try
    }

    fn trouble(&self, kind: TroubleKind, attempts: usize, what: &str, error: &StoreError) {
        let what = format!("the outcomes of {attempts} attempts {what}");
        self.troubles.report(Trouble::new(kind, what).because(error));
    }

    fn report(&self, ended: &[(Token, Settlement)], settled: &[Settled]) {
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
                Settled::Blocked => {
                    tracing::debug!(job = %token.job, "somebody else holds the row");
                }
                Settled::Fenced => {
                    let what = "another attempt has taken over: this outcome was not written";
                    self.troubles
                        .report(Trouble::new(TroubleKind::OutcomeFenced, what).of_job(token.job));
                }
            }
        }
    }
}

/// Lets a group grow until it is full, its time is over, or somebody waits for it.
async fn gather(inbox: &mut mpsc::UnboundedReceiver<Message>, group: &mut Vec<Message>) {
    let over = tokio::time::sleep(GATHERING);
    tokio::pin!(over);
    while group.len() < MAX_GROUP && !matches!(group.last(), Some(Message::Flush(_))) {
        let room = MAX_GROUP - group.len();
        tokio::select! {
            received = inbox.recv_many(group, room) => if received == 0 { return },
            () = &mut over => return,
        }
    }
}

/// Whether the same call may succeed later. What only an operator can mend is tried for as long as he
/// may take.
fn may_pass(error: &StoreError) -> bool {
    error.is_transient() || matches!(error, StoreError::Unfit(_))
}

/// A plainer way to say what became of a job; `None` when there is none. A success is never written
/// as an error, and a job that was put back only loses its remark: left alone, both look interrupted
/// as soon as this process has left, and run again.
fn plainer(fate: &Fate) -> Option<Fate> {
    match fate {
        Fate::Succeed => None,
        Fate::Retry { wait, payload, error } => Some(match error {
            Some(error) if !error.is_plain() => {
                Fate::Retry { wait: *wait, payload: payload.clone(), error: Some(error.plain()) }
            }
            error => Fate::Discard { error: ErrorNote::of_refused_retry(error.as_ref()) },
        }),
        Fate::PutBack { error } => {
            (!error.is_plain()).then(|| Fate::PutBack { error: error.plain() })
        }
        Fate::Discard { error } => {
            (!error.is_plain()).then(|| Fate::Discard { error: error.plain() })
        }
    }
}
