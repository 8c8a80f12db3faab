//! Telling other processes that there is something to do.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{Due, ErrorEvent, Fate, Notice, Notifier, Settled, Signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::trial::{job_on, note, planted};
use super::{Subject, Trial};

/// A process that listens.
struct Ear {
    signals: mpsc::Receiver<Signal>,
    stop: CancellationToken,
    listening: AbortOnDropHandle<()>,
}

impl Ear {
    /// Listens on a process of its own, and hears from here on.
    async fn open<S: Subject>(trial: &Trial<S>) -> Self {
        let store = trial.member().await.store;
        let (to, signals) = mpsc::channel(256);
        let stop = CancellationToken::new();
        let end = stop.clone();
        let listening = tokio::spawn(async move { Arc::clone(&store).listen(to, end).await });
        let mut ear = Self { signals, stop, listening: AbortOnDropHandle::new(listening) };
        let first = ear.next("a first signal", Trial::<S>::PATIENCE).await;
        assert_eq!(first, Signal::Resync, "listening begins with a resync");
        ear
    }

    async fn next(&mut self, what: &str, patience: Duration) -> Signal {
        tokio::time::timeout(patience, self.signals.recv())
            .await
            .unwrap_or_else(|_| panic!("awaited {what} for {patience:?}; heard nothing"))
            .unwrap_or_else(|| panic!("awaited {what}; the listener ended"))
    }

    /// The next notice.
    async fn notice<S: Subject>(&mut self, _trial: &Trial<S>, what: &str) -> Notice {
        loop {
            if let Signal::Notice(notice) = self.next(what, Trial::<S>::PATIENCE).await {
                return notice;
            }
        }
    }

    /// The next notice about `queue`, past those about others.
    async fn hear<S: Subject>(&mut self, trial: &Trial<S>, queue: &str) -> Notice {
        let what = format!("a notice about {queue}");
        loop {
            let notice = self.notice(trial, &what).await;
            if notice.queue.as_deref().is_none_or(|other| other == queue) {
                return notice;
            }
        }
    }

    async fn close(self) {
        self.stop.cancel();
        self.listening.await.expect("the listener ends");
    }
}

/// What was sent before is lost, so whoever begins to hear has to look.
pub async fn listening_begins_with_a_resync<S: Subject>(trial: &Trial<S>) {
    Ear::open(trial).await.close().await;
}

/// By every listener, and each of its queues.
pub async fn an_insert_is_heard<S: Subject>(trial: &Trial<S>) {
    const QUEUES: [&str; 2] = ["mice", "it's 100% 🐘"];
    let member = trial.member().await;
    let (mut one, mut two) = (Ear::open(trial).await, Ear::open(trial).await);
    let jobs = [job_on(QUEUES[0]), job_on(QUEUES[1]), job_on(QUEUES[0])];
    member.insert_all(&jobs).await;
    // A time may be given, if it is the present: a timer armed for it rings at once.
    let soon = member.beat().await + TimeDelta::seconds(1);
    for ear in [&mut one, &mut two] {
        let mut silent = QUEUES.to_vec();
        while !silent.is_empty() {
            let notice = ear.notice(trial, &format!("notices about {silent:?}")).await;
            assert!(notice.count >= 1 && notice.at.is_none_or(|at| at <= soon), "{notice:?}");
            // A notice that names no queue concerns all of them.
            silent.retain(|queue| notice.queue.as_deref().is_some_and(|heard| heard != *queue));
        }
    }
    one.close().await;
    two.close().await;
}

/// So that a timer can be armed; to the millisecond, and never too early.
pub async fn a_future_job_is_heard_with_its_time<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let mut ear = Ear::open(trial).await;
    let due = member.beat().await + TimeDelta::hours(1);
    let mut job = job_on("later");
    job.due = Due::At(due);
    member.insert_all(&[job]).await;
    let notice = ear.hear(trial, "later").await;
    let at = notice.at.expect("a time");
    assert!(at >= due && at - due <= TimeDelta::milliseconds(2), "due {due}, told {at}");
    ear.close().await;
}

/// Who asks for silence gets it.
pub async fn a_quiet_insert_is_not_heard<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let mut ear = Ear::open(trial).await;
    let mut quiet = job_on("quiet");
    quiet.notify = false;
    member.insert_all(&[quiet]).await;
    // It stays quiet when it comes back (wire contract 2.6).
    let claim = member.claim_one().await;
    let payload = claim.job.payload.clone();
    let again = Fate::Retry { wait: Duration::ZERO, payload, error: None };
    assert_eq!(member.settle(claim.token, again).await, Settled::Written);
    member.insert_all(&[job_on("loud")]).await;
    // Notices of one process come in order, so silence before this one is silence.
    let notice = ear.notice(trial, "a notice about loud").await;
    assert_eq!(notice.queue.as_deref(), Some("loud"));
    ear.close().await;
}

/// Retried, put back or released: somebody may be waiting for just that job.
pub async fn a_job_that_comes_back_is_heard<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    for (n, queue) in ["retried", "put back", "released"].into_iter().enumerate() {
        // Planted, since the notice of an insert might still be on its way.
        let mut job = planted(member.beat().await);
        job.queue = Some(queue.to_owned());
        trial.subject().plant(job).await;
        let claim = member.claim_one().await;
        let mut ear = Ear::open(trial).await;
        let payload = claim.job.payload.clone();
        let wait = Duration::from_secs(3600);
        match n {
            0 => {
                member.settle(claim.token, Fate::Retry { wait, payload, error: None }).await;
                let due = member.row(claim.job.id).await.scheduled_at.expect("a due time");
                let at = ear.hear(trial, queue).await.at.expect("a time");
                assert!(at >= due && at - due <= TimeDelta::milliseconds(2), "{due} and {at}");
            }
            1 => {
                let error = note(ErrorEvent::Interrupted);
                member.settle(claim.token, Fate::PutBack { error }).await;
                ear.hear(trial, queue).await;
                // Out of the way of the next one.
                member.claim_one().await;
            }
            _ => {
                member.release(claim.token).await;
                ear.hear(trial, queue).await;
            }
        }
        ear.close().await;
    }
}

/// Soon, and without being sent anything more.
pub async fn listening_ends_when_told<S: Subject>(trial: &Trial<S>) {
    let ear = Ear::open(trial).await;
    tokio::time::timeout(Trial::<S>::PATIENCE, ear.close()).await.expect("the listener ends");
}
