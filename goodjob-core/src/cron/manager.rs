//! Stores the job of each tick when it is due, and leaves it to the store which process was first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::plan::{MOST_MISSED, Plan};
use super::{Cron, CronEntry, CronStore, Zone};
use crate::adapter::Adapter;
use crate::capsule::Pause;
use crate::clock::{Clock, Timestamp};
use crate::job::{EnqueueError, NewJob};
use crate::store::{Inserted, StoreError};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// The wait after a first failure; later ones are longer.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The entries of a process at work.
pub(crate) struct Manager {
    entries: Vec<Entry>,
    troubles: Troubles,
}

impl Manager {
    /// # Errors
    /// When two entries have one key, or the backend has no switches for them.
    pub(crate) fn new(cron: Cron, adapter: &Adapter, clock: &Clock) -> Result<Self, StoreError> {
        let mut keys = BTreeSet::new();
        for entry in &cron.entries {
            if !keys.insert(entry.key()) {
                let key = entry.key();
                return Err(StoreError::Unfit(format!("two cron entries have the key {key:?}")));
            }
        }
        let troubles = adapter.troubles().clone();
        if cron.entries.is_empty() {
            return Ok(Self { entries: Vec::new(), troubles });
        }
        let store = adapter.backend().cron().ok_or_else(|| {
            StoreError::Unfit("this backend has no cron: see Backend::with_cron".to_owned())
        })?;
        let entries = cron.entries.into_iter().map(|entry| Entry {
            entry,
            zone: cron.zone,
            grace: cron.graceful_restart.unwrap_or_default(),
            clock: clock.clone(),
            store: Arc::clone(store),
            adapter: adapter.clone(),
        });
        Ok(Self { entries: entries.collect(), troubles })
    }

    /// Works until `stop`. A tick whose job is being stored then is stored or not; another process, or the
    /// next start within its grace, makes up for it.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut entries = JoinSet::new();
        for entry in self.entries {
            let stop = stop.clone();
            entries.spawn(async move { stop.run_until_cancelled(entry.run()).await });
        }
        while let Some(ended) = entries.join_next().await {
            if let Err(error) = ended {
                self.troubles.panicked("an entry of cron", error);
            }
        }
    }
}

/// One entry at work: planning never waits for storing.
struct Entry {
    entry: CronEntry,
    zone: Zone,
    grace: Duration,
    clock: Clock,
    store: Arc<dyn CronStore>,
    adapter: Adapter,
}

impl Entry {
    async fn run(self) {
        let (due, ticks) = unbounded_channel();
        tokio::join!(self.plan(due), self.keep(ticks));
    }

    /// Sends ticks when they are due, for ever.
    async fn plan(&self, due: UnboundedSender<Timestamp>) {
        let last = match self.entry.schedule().is_function() {
            true => self.last().await,
            false => None,
        };
        let now = self.clock.now();
        let schedule = self.entry.schedule().clone();
        let mut plan = Plan::new(schedule, self.zone, self.grace, last, now);
        for at in plan.missed(now) {
            // Its reader is there for as long as it is.
            let _ = due.send(at);
        }
        loop {
            let step = plan.step(self.clock.now());
            plan.troubles().into_iter().for_each(|trouble| self.report(trouble));
            for at in step.due {
                let _ = due.send(at);
            }
            tokio::time::sleep(step.sleep).await;
        }
    }

    /// The last tick that any process stored.
    async fn last(&self) -> Option<Timestamp> {
        let keys = [self.entry.key().to_owned()];
        let mut pause = Pause::starting_at(FIRST_PAUSE);
        loop {
            match self.store.last_ticks(&keys).await {
                Ok(jobs) => {
                    return jobs.first().and_then(|job| job.ties.tick.as_ref()?.at);
                }
                Err(error) => self.wait_for_the_store(&mut pause, &error).await,
            }
        }
    }

    /// Stores ticks in their order. While the store is away they wait, the newest at most.
    async fn keep(&self, mut ticks: UnboundedReceiver<Timestamp>) {
        while let Some(at) = ticks.recv().await {
            if ticks.len() >= MOST_MISSED {
                self.lost(at, "too many others wait for the store");
                continue;
            }
            self.store_tick(at).await;
        }
    }

    async fn store_tick(&self, at: Timestamp) {
        let mut pause = Pause::starting_at(FIRST_PAUSE);
        // Made once, so that a store that does not answer is not given two jobs.
        let mut job = None;
        loop {
            match self.try_tick(at, &mut job).await {
                Ok(()) => return,
                Err(EnqueueError::Store(error)) if error.is_transient() => {
                    self.wait_for_the_store(&mut pause, &error).await;
                }
                Err(error) => {
                    self.lost(at, error);
                    return;
                }
            }
        }
    }

    async fn try_tick(&self, at: Timestamp, job: &mut Option<NewJob>) -> Result<(), EnqueueError> {
        let key = self.entry.key();
        if job.is_none() {
            if !self.store.cron_switches().await?.is_enabled(&self.entry) {
                tracing::debug!(key, %at, "a tick of an entry that is switched off");
                return Ok(());
            }
            *job = self.entry.job(at).unwrap_or_else(|error| {
                self.lost(at, error);
                None
            });
        }
        if let Some(job) = job.clone() {
            match self.adapter.enqueue_all([job]).await?.pop() {
                Some(Inserted::Stopped { by, .. }) => {
                    tracing::info!(key, %at, "a tick is left out, since a limit stopped its job: {by}");
                }
                stored => {
                    let job = stored.map(|stored| stored.id()).map(tracing::field::display);
                    tracing::debug!(key, %at, job, "a tick is stored, by this process or another");
                }
            }
        }
        Ok(())
    }

    /// That a tick will not be stored.
    fn lost(&self, at: Timestamp, why: impl std::fmt::Display) {
        let what = format!("the tick at {} is lost", at.to_rfc3339_opts(SecondsFormat::Secs, true));
        self.report(Trouble::new(TroubleKind::TickLost, what).because(why));
    }

    fn report(&self, mut trouble: Trouble) {
        trouble.message = format!("cron entry {:?}: {}", self.entry.key(), trouble.message);
        self.adapter.troubles().report(trouble);
    }

    async fn wait_for_the_store(&self, pause: &mut Pause, error: &StoreError) {
        self.report(
            Trouble::new(TroubleKind::StoreUnavailable, "cron waits for the store").because(error),
        );
        tokio::time::sleep(pause.lengthen(Pause::LONGEST)).await;
    }
}
