//! Has batches go on when a job of theirs has ended here, and repairs those whose process died before it
//! could. Knows of batches what [`BatchStore`] says; the scheduler and the settler know nothing of this.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pause::Pause;
use crate::batch::{BatchEnd, BatchStore, Callbacks};
use crate::clock::Timestamp;
use crate::ids::{BatchId, ExecutionId, JobId};
use crate::job::{NewJob, Ties};
use crate::store::{
    Claims, Cleaned, Fate, Inserted, LockState, ProcessRecord, Retention, Settled, Settlement,
    Store, StoreError, Token, Wanted,
};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// The most ends of jobs that are told in one call.
const MAX_GROUP: usize = 500;
/// The first wait between tries while the store is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How long ends are still tried to be told once the shutdown waits no more; the sweep of another process
/// finds what is left.
const LAST_TRY: Duration = Duration::from_secs(5);
/// Batches that one look of the sweep is at.
const LOOK: usize = 500;
/// Time between the looks of one round, when there are more of them.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

enum News {
    /// What was written at once is told at once: by the end of one job the batch of another may be over.
    Ended(Vec<End>),
    /// Somebody wants to know when all that was told before is done.
    Flush(oneshot::Sender<()>),
}

/// A job with a batch that has ended an attempt.
struct End {
    batch: BatchEnd,
    /// The job, if it is over and its row was only kept for its batch.
    to_forget: Option<JobId>,
}

/// A store that sees which jobs with a batch have ended. For all others it is the store behind it, at the
/// price of a look at a map that is empty.
struct Following {
    store: Arc<dyn Store>,
    /// Attempts under way at jobs that have a batch.
    under_way: Mutex<HashMap<ExecutionId, Ties>>,
    news: mpsc::UnboundedSender<News>,
}

impl Following {
    fn under_way(&self) -> MutexGuard<'_, HashMap<ExecutionId, Ties>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the attempts at jobs that have a batch.
    fn see(&self, claims: &Claims) {
        let has_batch = |ties: &Ties| ties.batch.is_some() || ties.batch_callback.is_some();
        if claims.taken.iter().any(|claim| has_batch(&claim.job.ties)) {
            let with_batch = claims.taken.iter().filter(|claim| has_batch(&claim.job.ties));
            let ties = with_batch.map(|claim| (claim.token.execution, claim.job.ties.clone()));
            self.under_way().extend(ties);
        }
    }

    /// The outcomes with the rows kept of jobs that are discarded and have a batch: until that knows of it,
    /// whoever finishes another job of it can tell by the row, also if this process dies. `None` when there
    /// is no such one.
    fn kept_for_batches(&self, ended: &[(Token, Settlement)]) -> Option<Vec<(Token, Settlement)>> {
        let under_way = self.under_way();
        let is_kept = |(token, settlement): &(Token, Settlement)| {
            let ties = under_way.get(&token.execution);
            is_unkept_discard(settlement) && ties.is_some_and(|ties| ties.batch.is_some())
        };
        if under_way.is_empty() || !ended.iter().any(is_kept) {
            return None;
        }
        let kept = ended.iter().map(|end| match (is_kept(end), end.clone()) {
            (true, (token, settlement)) => (token, Settlement { keep: true, ..settlement }),
            (false, end) => end,
        });
        Some(kept.collect())
    }

    fn tell(&self, ended: &[(Token, Settlement)], settled: &[Settled]) {
        let mut under_way = self.under_way();
        if under_way.is_empty() {
            return;
        }
        let mut told = Vec::new();
        for ((token, settlement), settled) in ended.iter().zip(settled) {
            if *settled == Settled::Blocked {
                continue;
            }
            let Some(ties) = under_way.remove(&token.execution) else { continue };
            // A fenced attempt has a successor, which tells.
            if *settled == Settled::Written {
                let discarded = matches!(settlement.job, Fate::Discard { .. });
                // A row of cron is kept in any case.
                let forgotten = is_unkept_discard(settlement) && ties.tick.is_none();
                let ends = [(ties.batch, false), (ties.batch_callback, true)];
                told.extend(ends.into_iter().filter_map(|(batch, was_callback)| {
                    let batch = BatchEnd { batch: batch?, was_callback, discarded };
                    let to_forget = (forgotten && !was_callback).then_some(token.job);
                    Some(End { batch, to_forget })
                }));
            }
        }
        if !told.is_empty() {
            // The other side ends after this store is gone.
            let _ = self.news.send(News::Ended(told));
        }
    }
}

fn is_unkept_discard(settlement: &Settlement) -> bool {
    settlement.deletes() && matches!(settlement.job, Fate::Discard { .. })
}

#[async_trait]
impl Store for Following {
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>, StoreError> {
        self.store.insert(jobs).await
    }

    async fn claim(&self, wanted: &Wanted, max: usize) -> Result<Claims, StoreError> {
        let claims = self.store.claim(wanted, max).await?;
        self.see(&claims);
        Ok(claims)
    }

    async fn claim_jobs(&self, jobs: &[JobId], wanted: &Wanted) -> Result<Claims, StoreError> {
        let claims = self.store.claim_jobs(jobs, wanted).await?;
        self.see(&claims);
        Ok(claims)
    }

    async fn settle(&self, ended: &[(Token, Settlement)]) -> Result<Vec<Settled>, StoreError> {
        let kept = self.kept_for_batches(ended);
        let settled = self.store.settle(kept.as_deref().unwrap_or(ended)).await?;
        self.tell(ended, &settled);
        Ok(settled)
    }

    async fn release(&self, unstarted: &[Token]) -> Result<(), StoreError> {
        self.store.release(unstarted).await?;
        let mut under_way = self.under_way();
        unstarted.iter().for_each(|token| drop(under_way.remove(&token.execution)));
        Ok(())
    }

    fn locks(&self) -> watch::Receiver<LockState> {
        self.store.locks()
    }

    async fn upcoming(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Timestamp>, StoreError> {
        self.store.upcoming(wanted, limit).await
    }

    async fn clean_up(&self, keep: &Retention, limit: usize) -> Result<Cleaned, StoreError> {
        self.store.clean_up(keep, limit).await
    }

    async fn beat(&self, process: &ProcessRecord) -> Result<Timestamp, StoreError> {
        self.store.beat(process).await
    }

    async fn leave(&self, process: &ProcessRecord) -> Result<(), StoreError> {
        self.store.leave(process).await
    }
}

/// The task that has batches go on. Ends when the store that it follows is dropped, and all is told.
#[derive(Debug)]
pub(super) struct Continuer(JoinHandle<()>);

/// Asks the continuer for news without keeping it from ending.
#[derive(Clone, Debug)]
pub(super) struct Unheard(mpsc::WeakUnboundedSender<News>);

impl Unheard {
    /// Waits until every batch has gone on whose job's end was written before, or was given up.
    pub(super) async fn told(&self) {
        let (answer, heard) = oneshot::channel();
        let Some(news) = self.0.upgrade() else { return };
        let _ = news.send(News::Flush(answer));
        drop(news);
        let _ = heard.await;
    }
}

impl Continuer {
    /// Starts it, and returns the store by which it hears of jobs that end.
    pub(super) fn start(
        store: Arc<dyn Store>,
        batches: Arc<dyn BatchStore>,
        callbacks: Callbacks,
        troubles: Troubles,
        sweep: Option<Duration>,
        stop: CancellationToken,
        cut: CancellationToken,
    ) -> (Arc<dyn Store>, Self, Unheard) {
        let (news, inbox) = mpsc::unbounded_channel();
        let unheard = Unheard(news.downgrade());
        let following = Following { store, under_way: Mutex::default(), news };
        let sweeper = Sweeper {
            every: sweep,
            next: Instant::now(),
            after: None,
            stuck: [HashMap::new(), HashMap::new()],
        };
        let teller = Teller { troubles, batches, callbacks, stop, cut, last_try: None };
        let task = tokio::spawn(teller.run(inbox, sweeper.started()));
        (Arc::new(following), Self(task), unheard)
    }

    /// Waits for its end.
    pub(super) async fn finish(self, troubles: &Troubles) {
        if let Err(error) = self.0.await {
            troubles.panicked("the continuation of batches", error);
        }
    }
}

struct Teller {
    troubles: Troubles,
    batches: Arc<dyn BatchStore>,
    callbacks: Callbacks,
    stop: CancellationToken,
    cut: CancellationToken,
    /// When to give up; known from the cut on.
    last_try: Option<Instant>,
}

impl Teller {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<News>, mut sweeper: Sweeper) {
        let mut group = Vec::new();
        loop {
            let sweeping = sweeper.every.is_some() && !self.stop.is_cancelled();
            tokio::select! {
                received = inbox.recv_many(&mut group, MAX_GROUP) => {
                    if received == 0 {
                        return;
                    }
                    self.tell(group.drain(..)).await;
                }
                () = tokio::time::sleep_until(sweeper.next), if sweeping => {
                    let stuck = sweeper.look(&*self.batches, &self.troubles).await;
                    self.repair(&stuck).await;
                }
            }
        }
    }

    async fn tell(&mut self, news: impl Iterator<Item = News>) {
        let (mut ended, mut to_forget, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        for news in news {
            match news {
                News::Ended(ends) => {
                    to_forget.extend(ends.iter().filter_map(|end| end.to_forget));
                    ended.extend(ends.into_iter().map(|end| end.batch));
                }
                News::Flush(answer) => flushes.push(answer),
            }
        }
        ended.sort_unstable_by_key(|end| (end.batch, end.was_callback, end.discarded));
        ended.dedup();
        // A row that still has to tell its batch stays.
        let gone_on = ended.is_empty() || self.go_on(&ended).await;
        if gone_on
            && !to_forget.is_empty()
            && let Err(error) = self.batches.forget_jobs(&to_forget).await
        {
            let what =
                format!("{} rows that are not wanted are left to the clean-up", to_forget.len());
            self.troubles.report(Trouble::new(TroubleKind::CleanUpFailed, what).because(error));
        }
        for answer in flushes {
            // Who has stopped waiting needs no answer.
            let _ = answer.send(());
        }
    }

    /// Tries until it is done, or the shutdown waits no longer. What the store refuses is tried alone. False
    /// when a batch could not go on.
    async fn go_on(&mut self, ended: &[BatchEnd]) -> bool {
        let mut pause = Pause::starting_at(FIRST_PAUSE);
        loop {
            match self.batches.go_on(ended, &self.callbacks).await {
                Ok(()) => return true,
                Err(error) if may_pass(&error) => {
                    self.held(format!("{} batches cannot go on yet", ended.len()), &error);
                    if !self.wait(&mut pause).await {
                        let what = "batches could not go on before the end; a sweep will find them";
                        self.held(what, &error);
                        return false;
                    }
                }
                Err(error) => match ended {
                    [only] => {
                        self.held(format!("batch {} cannot go on", only.batch), &error);
                        return false;
                    }
                    many => {
                        let mut all = true;
                        for one in many.chunks(1) {
                            all &= Box::pin(self.go_on(one)).await;
                        }
                        return all;
                    }
                },
            }
        }
    }

    /// Once only: what cannot be repaired now is found again.
    async fn repair(&self, stuck: &[BatchId]) {
        for batch in stuck {
            tracing::info!(%batch, "the process that should have had this batch go on did not");
            let end = |was_callback| BatchEnd { batch: *batch, was_callback, discarded: false };
            let done = self.batches.go_on(&[end(false), end(true)], &self.callbacks).await;
            if let Err(error) = done {
                self.held(format!("batch {batch}, which is stuck, cannot go on yet"), &error);
            }
        }
    }

    fn held(&self, what: impl Into<String>, error: &StoreError) {
        self.troubles.report(Trouble::new(TroubleKind::BatchesHeld, what).because(error));
    }

    /// Waits before the next try; false when there is to be none.
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
}

/// Whether the same call may succeed later.
fn may_pass(error: &StoreError) -> bool {
    error.is_transient() || matches!(error, StoreError::Unfit(_))
}

/// Looks for batches that wait for nothing. Between the end of the last job and the continuation such a
/// batch is as it should be, for a moment: only one that is found so in two rounds, and was not written to
/// in between, is stuck.
struct Sweeper {
    every: Option<Duration>,
    next: Instant,
    /// Where the round goes on.
    after: Option<BatchId>,
    /// What was found in the round before, and in this one.
    stuck: [HashMap<BatchId, Timestamp>; 2],
}

impl Sweeper {
    fn started(mut self) -> Self {
        self.next += self.every.unwrap_or_default();
        self
    }

    async fn look(&mut self, batches: &dyn BatchStore, troubles: &Troubles) -> Vec<BatchId> {
        let mut overdue = Vec::new();
        let found = match batches.look_at_batches(self.after, LOOK).await {
            Ok(found) => found,
            Err(error) => {
                let what = "batches that are stuck cannot be looked for";
                troubles.report(Trouble::new(TroubleKind::BatchesHeld, what).because(error));
                self.next = Instant::now() + self.every.unwrap_or_default();
                return overdue;
            }
        };
        let [before, now] = &mut self.stuck;
        for batch in found.iter().filter(|batch| batch.stuck) {
            match before.get(&batch.id) {
                Some(updated_at) if *updated_at == batch.updated_at => overdue.push(batch.id),
                _ => {}
            }
            now.insert(batch.id, batch.updated_at);
        }
        let is_full = found.len() >= LOOK;
        self.after = found.last().map(|batch| batch.id).filter(|_| is_full);
        let wait = match self.after {
            Some(_) => BETWEEN_LOOKS,
            None => {
                *before = std::mem::take(now);
                self.every.unwrap_or_default()
            }
        };
        self.next = Instant::now() + wait.max(Duration::from_millis(1));
        overdue
    }
}
