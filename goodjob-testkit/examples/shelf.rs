//! A backend of one's own: a shelf on which jobs are kept in memory. It is the least that does all of what a
//! store has to do; `docs/backends.md` goes through it.
//!
//! ```sh
//! cargo run -p goodjob-testkit --example shelf
//! ```
#![expect(clippy::unwrap_used, reason = "a lock is poisoned only if a test has failed already")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use goodjob_core::{
    Adapter, Backend, BoxError, Capsule, Claim, Claims, Cleaned, Clock, Config, Context,
    ErrorEvent, ExecutionId, ExecutionRecord, Fate, Inserted, Inspect, Job, JobId, JobRecord,
    JobResult, LockState, NewJob, Notice, Notifier, Perform, ProcessId, ProcessRecord, Registry,
    Retention, Settled, Settlement, Shutdown, Signal, Store, StoreError, Timestamp, Token, Wanted,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// One process's view of a shelf.
struct Shelf {
    shared: Arc<Shared>,
    me: Mutex<Option<ProcessId>>,
    locks: watch::Sender<LockState>,
}

/// What all processes share.
struct Shared {
    clock: Clock,
    data: Mutex<Data>,
    notices: broadcast::Sender<Notice>,
}

#[derive(Default)]
struct Data {
    rows: BTreeMap<JobId, Row>,
    /// When each process has beaten last.
    beats: HashMap<ProcessId, Timestamp>,
}

struct Row {
    job: JobRecord,
    attempts: Vec<Attempt>,
    /// How many attempts in a row, up to now, ended without an outcome.
    interruptions: u32,
}

struct Attempt {
    record: ExecutionRecord,
    has_outcome: bool,
}

/// Who has not beaten for so long is dead.
const EXPIRED: TimeDelta = TimeDelta::minutes(5);

impl Shelf {
    fn new() -> Self {
        let (notices, _) = broadcast::channel(1024);
        let shared = Shared { clock: Clock::system(), data: Mutex::default(), notices };
        Self::over(Arc::new(shared))
    }

    fn over(shared: Arc<Shared>) -> Self {
        Self { shared, me: Mutex::default(), locks: watch::Sender::default() }
    }

    /// Where this is called, a database has a transaction.
    fn data(&self) -> MutexGuard<'_, Data> {
        self.shared.data.lock().unwrap()
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Tells workers of a job. That nobody listens is fine.
    fn notify(&self, job: &JobRecord, at: Option<Timestamp>) {
        let _ = self.shared.notices.send(Notice { queue: job.queue.clone(), at, count: 1 });
    }

    fn store(&self, data: &mut Data, new: &NewJob) -> Inserted {
        let tick = new.ties.tick.as_ref().filter(|tick| tick.at.is_some());
        let is_its_tick = |row: &Row| tick.is_some() && row.job.ties.tick.as_ref() == tick;
        if data.rows.contains_key(&new.id) || data.rows.values().any(is_its_tick) {
            return Inserted::AlreadyThere(new.id);
        }
        let now = self.now();
        let job = JobRecord::stored(new, now);
        if new.notify {
            self.notify(&job, new.due.time(now));
        }
        data.rows.insert(new.id, Row { job, attempts: Vec::new(), interruptions: 0 });
        Inserted::New(new.id)
    }

    /// Starts due jobs of those that are looked for.
    fn take(
        &self,
        wanted: &Wanted,
        max: usize,
        is_asked: impl Fn(JobId) -> bool,
    ) -> Result<Claims, StoreError> {
        let Some(me) = *self.me.lock().unwrap() else {
            return Err(StoreError::Unfit("a process beats before its first claim".into()));
        };
        let now = self.now();
        let mut data = self.data();
        let is_due =
            |row: &Row| row.job.scheduled_at.is_some_and(|at| at <= now) && is_asked(row.job.id);
        let due = data.rows.values_mut().filter(|row| row.is_free(wanted) && is_due(row));
        let mut due: Vec<&mut Row> = due.collect();
        due.sort_by_key(|row| wanted.rank(&row.job));
        let taken = due.into_iter().take(max).map(|row| row.start(me, now)).collect();
        Ok(Claims { taken, ..Claims::default() })
    }

    /// Writes how an attempt ended.
    fn settle_one(&self, data: &mut Data, token: &Token, settlement: &Settlement) -> Settled {
        let Some(row) = data.rows.get_mut(&token.job) else {
            // Deleted: perhaps by this very call, whose answer was lost.
            return if settlement.deletes() { Settled::Written } else { Settled::Fenced };
        };
        if !row.is_current(token) {
            let told = row.attempts.iter().any(|a| a.record.id == token.execution && a.has_outcome);
            return if told { Settled::Written } else { Settled::Fenced };
        }
        if settlement.deletes() && row.job.ties.tick.is_none() {
            data.rows.remove(&token.job);
            return Settled::Written;
        }
        let now = self.now();
        row.end(settlement, now);
        match &settlement.job {
            Fate::Succeed | Fate::Discard { .. } => row.job.finished_at = Some(now),
            Fate::Retry { wait, payload, .. } => {
                row.job.performed_at = None;
                row.job.scheduled_at = Some(now + *wait);
                row.job.payload = payload.clone();
                if payload.notifies() {
                    self.notify(&row.job, row.job.scheduled_at);
                }
            }
            Fate::PutBack { .. } => {
                row.job.performed_at = None;
                self.notify(&row.job, None);
            }
        }
        Settled::Written
    }
}

impl Row {
    fn is_free(&self, wanted: &Wanted) -> bool {
        self.job.finished_at.is_none() && self.job.locked_by.is_none() && wanted.accepts(&self.job)
    }

    /// The fence: whether an attempt is still the one that may write.
    fn is_current(&self, token: &Token) -> bool {
        self.attempts.last().is_some_and(|last| last.record.id == token.execution)
            && self.job.finished_at.is_none()
            && self.job.performed_at == Some(token.performed_at)
            && self.job.executions_count == token.executions_count
    }

    /// Takes the job for a process and starts an attempt.
    fn start(&mut self, process: ProcessId, now: Timestamp) -> Claim {
        if let Some(started) = self.job.performed_at {
            // It was started before, and there is no outcome: its process died.
            self.interruptions += 1;
            let started = started.format("%Y-%m-%d %H:%M:%S UTC");
            let error = format!(
                "GoodJob::InterruptedError: Interrupted after starting perform at '{started}'"
            );
            self.job.error_event = Some(ErrorEvent::Interrupted);
            for attempt in self.attempts.iter_mut().filter(|a| a.record.finished_at.is_none()) {
                attempt.record.finished_at = Some(now);
                attempt.record.duration = Some(Duration::ZERO);
                attempt.record.error = Some(error.clone());
                attempt.record.error_event = Some(ErrorEvent::Interrupted);
            }
            self.job.error = Some(error);
        }
        self.job.performed_at = Some(now);
        self.job.locked_by = Some(process);
        self.job.executions_count += 1;
        let record = ExecutionRecord {
            id: ExecutionId::generate(),
            job: self.job.id,
            process: Some(process),
            scheduled_at: self.job.scheduled_at,
            started_at: now,
            finished_at: None,
            duration: None,
            error: None,
            error_event: None,
            backtrace: Vec::new(),
        };
        let token = Token {
            job: self.job.id,
            execution: record.id,
            performed_at: now,
            executions_count: self.job.executions_count,
        };
        self.attempts.push(Attempt { record, has_outcome: false });
        Claim { job: self.job.clone(), token, interruptions: self.interruptions }
    }

    /// Writes the outcome into the job and its last attempt.
    fn end(&mut self, settlement: &Settlement, now: Timestamp) {
        let error = settlement.job.error();
        self.interruptions = 0;
        self.job.locked_by = None;
        self.job.error = error.map(|error| error.text().to_owned());
        self.job.error_event = error.map(|error| error.event());
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.has_outcome = true;
            attempt.record.finished_at = Some(now);
            attempt.record.duration = Some(settlement.duration);
            attempt.record.error.clone_from(&self.job.error);
            attempt.record.error_event = self.job.error_event;
            attempt.record.backtrace = error.map(|e| e.backtrace().to_vec()).unwrap_or_default();
        }
    }
}

#[async_trait]
impl Store for Shelf {
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>, StoreError> {
        for job in jobs {
            job.check().map_err(|unfit| StoreError::Rejected {
                reason: unfit.to_string(),
                source: Some(unfit.into()),
            })?;
        }
        let mut data = self.data();
        Ok(jobs.iter().map(|job| self.store(&mut data, job)).collect())
    }

    async fn claim(&self, wanted: &Wanted, max: usize) -> Result<Claims, StoreError> {
        self.take(wanted, max, |_| true)
    }

    async fn claim_jobs(&self, jobs: &[JobId], wanted: &Wanted) -> Result<Claims, StoreError> {
        self.take(wanted, jobs.len(), |id| jobs.contains(&id))
    }

    async fn settle(&self, ended: &[(Token, Settlement)]) -> Result<Vec<Settled>, StoreError> {
        let mut data = self.data();
        let settle = |(token, settlement): &(Token, Settlement)| {
            self.settle_one(&mut data, token, settlement)
        };
        Ok(ended.iter().map(settle).collect())
    }

    async fn release(&self, unstarted: &[Token]) -> Result<(), StoreError> {
        let mut data = self.data();
        for token in unstarted {
            let row = data.rows.get_mut(&token.job).filter(|row| row.is_current(token));
            let Some(row) = row else { continue };
            row.attempts.pop();
            row.job.executions_count -= 1;
            row.job.performed_at = None;
            row.job.locked_by = None;
            self.notify(&row.job, None);
        }
        Ok(())
    }

    fn locks(&self) -> watch::Receiver<LockState> {
        // Nothing can take a lock of this store away.
        self.locks.subscribe()
    }

    async fn upcoming(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Timestamp>, StoreError> {
        let (now, data) = (self.now(), self.data());
        let waiting = data.rows.values().filter(|row| row.is_free(wanted));
        let times = waiting.filter_map(|row| row.job.scheduled_at.filter(|at| *at > now));
        let mut times: Vec<Timestamp> = times.collect();
        times.sort_unstable();
        times.truncate(limit);
        Ok(times)
    }

    async fn clean_up(&self, keep: &Retention, limit: usize) -> Result<Cleaned, StoreError> {
        let age = TimeDelta::from_std(keep.age).ok();
        let Some(last) = age.and_then(|age| self.now().checked_sub_signed(age)) else {
            return Ok(Cleaned::default());
        };
        let mut data = self.data();
        let is_kept = |row: &&Row| keep.keep_discarded && row.job.error.is_some();
        let over = data.rows.values().filter(|row| !is_kept(row));
        let old = over.filter_map(|row| Some((row.job.finished_at?, row.job.id)));
        let mut old: Vec<(Timestamp, JobId)> = old.filter(|(at, _)| *at <= last).collect();
        old.sort_unstable();
        old.truncate(limit);
        let mut cleaned = Cleaned::default();
        for row in old.iter().filter_map(|(_, id)| data.rows.remove(id)) {
            cleaned.jobs += 1;
            cleaned.executions += row.attempts.len() as u64;
        }
        Ok(cleaned)
    }

    async fn beat(&self, process: &ProcessRecord) -> Result<Timestamp, StoreError> {
        *self.me.lock().unwrap() = Some(process.id);
        let now = self.now();
        let mut data = self.data();
        data.beats.insert(process.id, now);
        data.beats.retain(|_, beaten| *beaten >= now - EXPIRED);
        let Data { rows, beats } = &mut *data;
        let is_dead = |owner: &ProcessId| !beats.contains_key(owner);
        for row in rows.values_mut().filter(|row| row.job.locked_by.as_ref().is_some_and(is_dead)) {
            row.job.locked_by = None;
        }
        Ok(now)
    }

    async fn leave(&self, process: &ProcessRecord) -> Result<(), StoreError> {
        *self.me.lock().unwrap() = None;
        let mut data = self.data();
        data.beats.remove(&process.id);
        for row in data.rows.values_mut().filter(|row| row.job.locked_by == Some(process.id)) {
            row.job.locked_by = None;
        }
        Ok(())
    }
}

#[async_trait]
impl Notifier for Shelf {
    async fn listen(&self, to: mpsc::Sender<Signal>, stop: CancellationToken) {
        let mut notices = self.shared.notices.subscribe();
        let mut signal = Signal::Resync; // who begins to hear has missed what was said before
        while to.send(signal).await.is_ok() {
            signal = tokio::select! {
                () = stop.cancelled() => return,
                heard = notices.recv() => match heard {
                    Ok(notice) => Signal::Notice(notice),
                    Err(broadcast::error::RecvError::Lagged(_)) => Signal::Resync,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            };
        }
    }
}

#[async_trait]
impl Inspect for Shelf {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.data().rows.get(&id).map(|row| row.job.clone()))
    }

    async fn executions(&self, id: JobId) -> Result<Vec<ExecutionRecord>, StoreError> {
        let data = self.data();
        let attempts = data.rows.get(&id).into_iter().flat_map(|row| &row.attempts);
        Ok(attempts.map(|attempt| attempt.record.clone()).collect())
    }

    async fn all_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let mut jobs: Vec<_> = self.data().rows.values().map(|row| row.job.clone()).collect();
        jobs.sort_by_key(|job| (job.created_at, job.id));
        Ok(jobs)
    }
}

#[derive(Serialize, Deserialize)]
struct Hello {
    name: String,
}

impl Job for Hello {
    const CLASS: &'static str = "HelloJob";
}

impl Perform for Hello {
    async fn perform(self, _: Context) -> JobResult {
        println!("hello, {}", self.name);
        Ok(())
    }
}

async fn greet(name: &str) -> Result<(), BoxError> {
    let shelf = Arc::new(Shelf::new());
    let backend = Backend::new(shelf.clone(), shelf);
    let jobs = Registry::default().register::<Hello>();
    let capsule = Capsule::start(Config::default(), jobs, backend.clone()).await?;
    Adapter::new(backend).enqueue(Hello { name: name.to_owned() }).await?;
    capsule.drained().await;
    capsule.shutdown(Shutdown::Forever).await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    greet("Ada").await
}

#[cfg(test)]
mod tests {
    use goodjob_testkit::conformance::Subject;

    use super::*;

    #[async_trait]
    impl Subject for Shelf {
        type Store = Self;

        async fn another(&self) -> Arc<Self> {
            Arc::new(Self::over(Arc::clone(&self.shared)))
        }

        async fn plant(&self, job: JobRecord) {
            let row = Row { job, attempts: Vec::new(), interruptions: 0 };
            self.data().rows.insert(row.job.id, row);
        }

        async fn kill(&self, _store: Arc<Self>, process: ProcessRecord) {
            self.data().beats.remove(&process.id);
        }
    }

    async fn shelf() -> Shelf {
        Shelf::new()
    }

    goodjob_testkit::conformance_tests!(shelf);
}
