//! A store around the one in memory that notes every call, and fails or waits when it is told to.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use goodjob_core::{
    Claims, Cleaned, Inserted, JobId, LockState, MemoryStore, NewJob, ProcessRecord, Retention,
    Settled, Settlement, Store, StoreError, Timestamp, Token, Wanted,
};
use tokio::sync::watch;
use tokio::time::Instant;

/// What a kind of call does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    #[default]
    Open,
    /// It waits before it reaches the store.
    Shut,
    /// It does its work, and waits with its answer.
    Mute,
    /// It fails as if the store were away.
    Broken,
    /// It fails as if a privilege were missing.
    Unfit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Insert,
    Claim,
    Settle,
    Release,
    Upcoming,
    CleanUp,
    Beat,
    Leave,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) at: Instant,
    /// The jobs that it was about.
    pub(crate) jobs: Vec<JobId>,
}

type Refusal = Box<dyn Fn(&Settlement) -> bool + Send + Sync>;

pub(crate) struct Rigged {
    memory: Arc<MemoryStore>,
    calls: watch::Sender<Vec<Call>>,
    claims: watch::Sender<Way>,
    settles: watch::Sender<Way>,
    clean_ups: watch::Sender<Way>,
    inserts: watch::Sender<Way>,
    others: watch::Sender<Way>,
    refused: Mutex<Option<Refusal>>,
}

impl Rigged {
    pub(crate) fn new(memory: Arc<MemoryStore>) -> Self {
        Self {
            memory,
            calls: watch::Sender::default(),
            claims: watch::Sender::default(),
            settles: watch::Sender::default(),
            clean_ups: watch::Sender::default(),
            inserts: watch::Sender::default(),
            others: watch::Sender::default(),
            refused: Mutex::default(),
        }
    }

    pub(crate) fn claims(&self, way: Way) {
        self.claims.send_replace(way);
    }

    /// Releases too.
    pub(crate) fn settles(&self, way: Way) {
        self.settles.send_replace(way);
    }

    pub(crate) fn clean_ups(&self, way: Way) {
        self.clean_ups.send_replace(way);
    }

    pub(crate) fn inserts(&self, way: Way) {
        self.inserts.send_replace(way);
    }

    /// All that is neither claim nor settle nor release nor clean-up nor insert.
    pub(crate) fn others(&self, way: Way) {
        self.others.send_replace(way);
    }

    pub(crate) fn all(&self, way: Way) {
        self.claims(way);
        self.settles(way);
        self.clean_ups(way);
        self.inserts(way);
        self.others(way);
    }

    /// Rejects outcomes of which this is true.
    pub(crate) fn refuse(&self, refused: impl Fn(&Settlement) -> bool + Send + Sync + 'static) {
        *self.refused.lock().expect("no panic") = Some(Box::new(refused));
    }

    pub(crate) fn calls(&self, kind: Kind) -> Vec<Call> {
        self.calls.borrow().iter().filter(|call| call.kind == kind).cloned().collect()
    }

    /// How many calls of a kind were made.
    pub(crate) fn made(&self, kind: Kind) -> usize {
        self.calls(kind).len()
    }

    /// Waits until `number` calls of a kind were made in all.
    pub(crate) async fn until(&self, kind: Kind, number: usize) {
        let mut calls = self.calls.subscribe();
        let made =
            calls.wait_for(|calls| calls.iter().filter(|call| call.kind == kind).count() >= number);
        let waited = crate::stage::soon(&format!("{number} × {kind:?}"), made).await;
        waited.expect("the store is still there");
    }

    async fn enter(&self, kind: Kind, jobs: Vec<JobId>) -> Result<(), StoreError> {
        self.calls.send_modify(|calls| calls.push(Call { kind, at: Instant::now(), jobs }));
        let mut way = self.way(kind).subscribe();
        let way = way.wait_for(|way| *way != Way::Shut).await.expect("the store is still there");
        match *way {
            Way::Broken => Err(StoreError::unavailable("it is rigged")),
            Way::Unfit => Err(StoreError::Unfit("it is rigged".to_owned())),
            Way::Open | Way::Mute | Way::Shut => Ok(()),
        }
    }

    async fn answer<T>(&self, kind: Kind, answer: T) -> T {
        let mut way = self.way(kind).subscribe();
        way.wait_for(|way| *way != Way::Mute).await.expect("the store is still there");
        answer
    }

    fn way(&self, kind: Kind) -> &watch::Sender<Way> {
        match kind {
            Kind::Claim => &self.claims,
            Kind::Settle | Kind::Release => &self.settles,
            Kind::CleanUp => &self.clean_ups,
            Kind::Insert => &self.inserts,
            Kind::Upcoming | Kind::Beat | Kind::Leave => &self.others,
        }
    }
}

fn ids(tokens: &[Token]) -> Vec<JobId> {
    tokens.iter().map(|token| token.job).collect()
}

#[async_trait]
impl Store for Rigged {
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>, StoreError> {
        self.enter(Kind::Insert, jobs.iter().map(|job| job.id).collect()).await?;
        let inserted = self.memory.insert(jobs).await;
        self.answer(Kind::Insert, inserted).await
    }

    async fn claim(&self, wanted: &Wanted, max: usize) -> Result<Claims, StoreError> {
        self.enter(Kind::Claim, Vec::new()).await?;
        let claims = self.memory.claim(wanted, max).await;
        self.answer(Kind::Claim, claims).await
    }

    async fn claim_jobs(&self, jobs: &[JobId], wanted: &Wanted) -> Result<Claims, StoreError> {
        self.enter(Kind::Claim, jobs.to_vec()).await?;
        let claims = self.memory.claim_jobs(jobs, wanted).await;
        self.answer(Kind::Claim, claims).await
    }

    async fn settle(&self, ended: &[(Token, Settlement)]) -> Result<Vec<Settled>, StoreError> {
        let jobs = ended.iter().map(|(token, _)| token.job).collect();
        self.enter(Kind::Settle, jobs).await?;
        let is_refused = {
            let refused = self.refused.lock().expect("no panic");
            refused.as_ref().is_some_and(|refused| ended.iter().any(|(_, how)| refused(how)))
        };
        if is_refused {
            return Err(StoreError::Rejected { reason: "it is rigged".into(), source: None });
        }
        let settled = self.memory.settle(ended).await;
        self.answer(Kind::Settle, settled).await
    }

    async fn release(&self, unstarted: &[Token]) -> Result<(), StoreError> {
        self.enter(Kind::Release, ids(unstarted)).await?;
        let released = self.memory.release(unstarted).await;
        self.answer(Kind::Release, released).await
    }

    fn locks(&self) -> watch::Receiver<LockState> {
        self.memory.locks()
    }

    async fn upcoming(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Timestamp>, StoreError> {
        self.enter(Kind::Upcoming, Vec::new()).await?;
        let times = self.memory.upcoming(wanted, limit).await;
        self.answer(Kind::Upcoming, times).await
    }

    async fn clean_up(&self, keep: &Retention, limit: usize) -> Result<Cleaned, StoreError> {
        self.enter(Kind::CleanUp, Vec::new()).await?;
        let cleaned = self.memory.clean_up(keep, limit).await;
        self.answer(Kind::CleanUp, cleaned).await
    }

    async fn beat(&self, process: &ProcessRecord) -> Result<Timestamp, StoreError> {
        self.enter(Kind::Beat, Vec::new()).await?;
        self.memory.beat(process).await
    }

    async fn leave(&self, process: &ProcessRecord) -> Result<(), StoreError> {
        self.enter(Kind::Leave, Vec::new()).await?;
        self.memory.leave(process).await
    }
}
