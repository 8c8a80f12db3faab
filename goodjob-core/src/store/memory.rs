//! A store in memory: for tests, for trying things out, and to be read by who writes another store.

mod batches;
mod cron;
mod limits;
mod pauses;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Claim, Claims, Cleaned, ErrorEvent, ExecutionRecord, Fate, Health, Inserted, Inspect,
    JobRecord, LockState, ProcessRecord, Retention, Settled, Settlement, Store, StoreError, Token,
    Wanted,
};
use crate::batch::BatchRecord;
use crate::clock::{Clock, Timestamp};
use crate::cron::CronSwitches;
use crate::ids::{BatchId, ExecutionId, JobId, ProcessId};
use crate::job::{Exceeded, NewJob};
use crate::notes::{JobNotes, Note, Notes, Progress};
use crate::notifier::{Notice, Notifier, Signal};
use crate::pauses::Paused;

/// A process that has not beaten for this long is dead, as in the gem.
const EXPIRED: Duration = Duration::from_secs(5 * 60);

/// Jobs in memory. Each value is one process's view of data that [`another`](Self::another) shares.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    me: Mutex<Option<ProcessId>>,
    locks: watch::Sender<LockState>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    rows: Mutex<Rows>,
    notices: broadcast::Sender<Notice>,
}

#[derive(Debug, Default)]
struct Rows {
    jobs: BTreeMap<JobId, JobRecord>,
    executions: HashMap<JobId, Vec<ExecutionRecord>>,
    processes: HashMap<ProcessId, Timestamp>,
    cron: CronSwitches,
    notes: HashMap<JobId, JobNotes>,
    batches: BTreeMap<BatchId, BatchRecord>,
    limited: limits::Begun,
    paused: Paused,
}

impl MemoryStore {
    /// An empty store whose own time is `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let (notices, _) = broadcast::channel(1024);
        Self::over(Arc::new(Shared { clock, rows: Mutex::default(), notices }))
    }

    /// The same jobs as another process sees them.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::over(Arc::clone(&self.shared))
    }

    /// Says about all locks of this process what a store says whose lock session blinks or dies.
    pub fn set_health(&self, health: Health) {
        self.locks.send_modify(|locks| locks.health = health);
    }

    /// Takes the job from this process as if its lock had been lost: it is free for others at once.
    pub fn lose(&self, token: Token) {
        if let Some(job) = self.rows().jobs.get_mut(&token.job) {
            job.locked_by = None;
        }
        self.locks.send_modify(|locks| {
            Arc::make_mut(&mut locks.lost).insert(token);
        });
    }

    /// Lets this process vanish without leaving: at their next beat others free its jobs.
    pub fn vanish(&self) {
        if let Some(process) = self.me().take() {
            self.rows().processes.remove(&process);
        }
    }

    /// The store's own time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Lets so much time pass: what becomes due by that starts at once. Processes live on.
    pub fn advance(&self, by: Duration) {
        let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        let later = self.now().checked_add_signed(by);
        self.set_time(later.unwrap_or(Timestamp::MAX_UTC));
    }

    /// Sets the store's clock, and every clone of it; see [`advance`](Self::advance).
    pub fn set_time(&self, now: Timestamp) {
        let passed = self.shared.clock.follow(now);
        for beaten in self.rows().processes.values_mut() {
            *beaten = beaten.checked_add_signed(passed).unwrap_or(now);
        }
        // No queue is every queue: whoever sleeps until a due time looks now.
        let _ = self.shared.notices.send(Notice { queue: None, at: None, count: 1 });
    }

    /// Stores a row as another client of the same tables may have written it, whatever it holds.
    pub fn plant(&self, row: JobRecord) {
        self.rows().jobs.insert(row.id, row);
    }

    fn over(shared: Arc<Shared>) -> Self {
        Self { shared, me: Mutex::default(), locks: watch::Sender::default() }
    }

    /// Starts due jobs that are `among` those asked for.
    fn take(
        &self,
        wanted: &Wanted,
        max: usize,
        among: impl Fn(&Rows, &JobRecord) -> bool,
    ) -> Result<Claims, StoreError> {
        if self.locks.borrow().health != Health::Confirmed {
            return Err(StoreError::unavailable("the locks are not confirmed"));
        }
        let me = (*self.me()).ok_or_else(|| {
            StoreError::Unfit("the process has to beat before its first claim".to_owned())
        })?;
        let now = self.shared.clock.now();
        let mut rows = self.rows();
        let is_due =
            |job: &&JobRecord| job.scheduled_at.is_some_and(|at| at <= now) && among(&rows, job);
        let mut due: Vec<JobRecord> = rows.waiting(wanted).filter(is_due).cloned().collect();
        due.sort_by_key(|job| wanted.rank(job));
        due.truncate(max);
        let taken = due.into_iter().map(|job| rows.start(job, me, now)).collect();
        Ok(Claims { taken, ..Claims::default() })
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        // Nothing in here panics while it holds the lock, so a poisoned one is still consistent.
        self.shared.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn me(&self) -> MutexGuard<'_, Option<ProcessId>> {
        self.me.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self, job: &JobRecord, at: Option<Timestamp>) {
        // Nobody listening is fine: a notice is a hint.
        let _ = self.shared.notices.send(Notice { queue: job.queue.clone(), at, count: 1 });
    }

    /// Stores jobs that were looked at, and tells of them.
    fn put(&self, rows: &mut Rows, jobs: &[NewJob]) -> Vec<Inserted> {
        let now = self.shared.clock.now();
        let stopped = rows.judge(jobs, now);
        let put = |(new, stopped): (&NewJob, Option<Exceeded>)| {
            if let Some(by) = stopped {
                return Inserted::Stopped { job: new.id, by };
            }
            if rows.jobs.contains_key(&new.id) || rows.has_tick(new) {
                return Inserted::AlreadyThere(new.id);
            }
            let job = JobRecord::stored(new, now);
            if new.notify {
                self.notify(&job, new.due.time(now));
            }
            rows.jobs.insert(new.id, job);
            Inserted::New(new.id)
        };
        jobs.iter().zip(stopped).map(put).collect()
    }

    fn make_room(&self, rows: &mut Rows, token: &Token, now: Timestamp) {
        rows.make_room(token, now).iter().for_each(|job| self.notify(job, None));
    }

    fn forget(&self, tokens: impl Iterator<Item = Token>) {
        let ended: Vec<Token> = tokens.collect();
        self.locks.send_if_modified(|locks| {
            let lost = Arc::make_mut(&mut locks.lost);
            ended.iter().filter(|token| lost.remove(token)).count() > 0
        });
    }
}

impl Rows {
    /// Whether another job was stored for the same tick.
    fn has_tick(&self, new: &NewJob) -> bool {
        let tick = new.ties.tick.as_ref().filter(|tick| tick.at.is_some());
        tick.is_some() && self.jobs.values().any(|job| job.ties.tick.as_ref() == tick)
    }

    /// The row, if the attempt is still the current one. A clock that stands still gives an attempt
    /// and the next one after its release the same time and count, so the execution is compared too.
    fn fenced(&mut self, token: &Token) -> Option<&mut JobRecord> {
        let current = self.executions.get(&token.job)?.last()?.id;
        self.jobs.get_mut(&token.job).filter(|job| {
            current == token.execution
                && job.finished_at.is_none()
                && job.performed_at == Some(token.performed_at)
                && job.executions_count == token.executions_count
        })
    }

    /// What to say of an outcome that is not to be written: the attempt may have ended in this very way
    /// before, unless the next one closed it as vanished.
    fn told_before(&mut self, token: &Token, settlement: &Settlement) -> Settled {
        if settlement.deletes() && !self.jobs.contains_key(&token.job) {
            return Settled::Written;
        }
        match self.execution(token) {
            Some(attempt) if attempt.finished_at.is_some() && !has_vanished(attempt) => {
                Settled::Written
            }
            _ => Settled::Fenced,
        }
    }

    fn execution(&mut self, token: &Token) -> Option<&mut ExecutionRecord> {
        self.executions.get_mut(&token.job)?.iter_mut().find(|e| e.id == token.execution)
    }

    /// Deletes a job and its attempts; returns how many those were.
    fn delete(&mut self, job: JobId) -> usize {
        self.jobs.remove(&job);
        self.notes.remove(&job);
        self.executions.remove(&job).map_or(0, |attempts| attempts.len())
    }

    fn free(&mut self, dead: impl Fn(ProcessId) -> bool) {
        self.jobs
            .values_mut()
            .filter(|job| job.locked_by.is_some_and(&dead))
            .for_each(|job| job.locked_by = None);
    }

    /// Unfinished jobs that nobody is doing.
    fn waiting(&self, wanted: &Wanted) -> impl Iterator<Item = &JobRecord> {
        self.jobs.values().filter(move |job| {
            job.finished_at.is_none() && job.locked_by.is_none() && wanted.accepts(job)
        })
    }

    /// Writes the owner and starts an attempt.
    fn start(&mut self, mut job: JobRecord, owner: ProcessId, now: Timestamp) -> Claim {
        let mut interruptions = 0;
        if let Some(started) = job.performed_at {
            job.error = Some(interrupted(started));
            job.error_event = Some(ErrorEvent::Interrupted);
            interruptions = self.record_interruption(&job, now);
        }
        job.performed_at = Some(now);
        job.executions_count += 1;
        job.locked_by = Some(owner);
        let token = Token {
            job: job.id,
            execution: ExecutionId::generate(),
            performed_at: now,
            executions_count: job.executions_count,
        };
        self.executions.entry(job.id).or_default().push(ExecutionRecord {
            id: token.execution,
            job: job.id,
            process: Some(owner),
            scheduled_at: job.scheduled_at,
            started_at: now,
            finished_at: None,
            duration: None,
            error: None,
            error_event: None,
            backtrace: Vec::new(),
        });
        self.jobs.insert(job.id, job.clone());
        Claim { job, token, interruptions }
    }

    /// Closes the attempts that vanished with their process; returns how many in a row there are.
    fn record_interruption(&mut self, job: &JobRecord, now: Timestamp) -> u32 {
        let attempts = self.executions.entry(job.id).or_default();
        for attempt in attempts.iter_mut().filter(|attempt| attempt.finished_at.is_none()) {
            attempt.finished_at = Some(now);
            attempt.duration = Some(Duration::ZERO);
            attempt.error.clone_from(&job.error);
            attempt.error_event = Some(ErrorEvent::Interrupted);
        }
        u32::try_from(attempts.iter().rev().take_while(|attempt| has_vanished(attempt)).count())
            .unwrap_or(u32::MAX)
    }
}

/// Tells an attempt whose process died from one that a shutdown put back, and from the last one of a
/// poisonous job, whose error quotes this.
const VANISHED: &str = "GoodJob::InterruptedError: Interrupted after starting perform at";

fn has_vanished(attempt: &ExecutionRecord) -> bool {
    attempt.error_event == Some(ErrorEvent::Interrupted)
        && attempt.error.as_deref().is_some_and(|error| error.starts_with(VANISHED))
}

fn interrupted(started: Timestamp) -> String {
    let started = started.format("%Y-%m-%d %H:%M:%S UTC");
    format!("{VANISHED} '{started}'")
}

fn check(jobs: &[NewJob]) -> Result<(), StoreError> {
    jobs.iter().try_for_each(NewJob::check).map_err(|unfit| StoreError::Rejected {
        reason: unfit.to_string(),
        source: Some(unfit.into()),
    })
}

#[async_trait]
impl Store for MemoryStore {
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>, StoreError> {
        check(jobs)?;
        Ok(self.put(&mut self.rows(), jobs))
    }

    async fn claim(&self, wanted: &Wanted, max: usize) -> Result<Claims, StoreError> {
        self.take(wanted, max, |rows, job| !rows.paused.holds(job))
    }

    async fn claim_jobs(&self, jobs: &[JobId], wanted: &Wanted) -> Result<Claims, StoreError> {
        self.take(wanted, jobs.len(), |_, job| jobs.contains(&job.id))
    }

    async fn settle(&self, ended: &[(Token, Settlement)]) -> Result<Vec<Settled>, StoreError> {
        let now = self.shared.clock.now();
        let mut rows = self.rows();
        let settled = ended
            .iter()
            .map(|(token, settlement)| {
                let Some(job) = rows.fenced(token) else {
                    return rows.told_before(token, settlement);
                };
                if settlement.deletes() {
                    rows.delete(token.job);
                    self.make_room(&mut rows, token, now);
                    return Settled::Written;
                }
                job.locked_by = None;
                let error = settlement.job.error();
                job.error = error.map(|error| error.text().to_owned());
                job.error_event = error.map(|error| error.event());
                match &settlement.job {
                    Fate::Succeed | Fate::Discard { .. } => job.finished_at = Some(now),
                    Fate::Retry { wait, payload, .. } => {
                        job.performed_at = None;
                        job.scheduled_at = Some(now + *wait);
                        job.payload = payload.clone();
                        if job.payload.notifies() {
                            self.notify(job, job.scheduled_at);
                        }
                    }
                    Fate::PutBack { .. } => {
                        job.performed_at = None;
                        self.notify(job, None);
                    }
                }
                if let Some(attempt) = rows.execution(token) {
                    attempt.finished_at = Some(now);
                    attempt.duration = Some(settlement.duration);
                    attempt.error = error.map(|error| error.text().to_owned());
                    attempt.error_event = error.map(|error| error.event());
                    attempt.backtrace = error.map(|e| e.backtrace().to_vec()).unwrap_or_default();
                }
                self.make_room(&mut rows, token, now);
                Settled::Written
            })
            .collect();
        drop(rows);
        self.forget(ended.iter().map(|(token, _)| *token));
        Ok(settled)
    }

    async fn release(&self, unstarted: &[Token]) -> Result<(), StoreError> {
        let mut rows = self.rows();
        for token in unstarted {
            let Some(job) = rows.fenced(token) else {
                continue;
            };
            job.locked_by = None;
            job.performed_at = None;
            job.executions_count -= 1;
            self.notify(job, None);
            if let Some(attempts) = rows.executions.get_mut(&token.job) {
                attempts.retain(|attempt| attempt.id != token.execution);
            }
        }
        drop(rows);
        self.forget(unstarted.iter().copied());
        Ok(())
    }

    fn locks(&self) -> watch::Receiver<LockState> {
        self.locks.subscribe()
    }

    async fn upcoming(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Timestamp>, StoreError> {
        let now = self.shared.clock.now();
        let rows = self.rows();
        let in_future = |job: &JobRecord| job.scheduled_at.filter(|at| *at > now);
        let mut times: Vec<Timestamp> = rows.waiting(wanted).filter_map(in_future).collect();
        times.sort_unstable();
        times.truncate(limit);
        Ok(times)
    }

    async fn clean_up(&self, keep: &Retention, limit: usize) -> Result<Cleaned, StoreError> {
        let age = TimeDelta::from_std(keep.age).ok();
        let Some(last) = age.and_then(|age| self.shared.clock.now().checked_sub_signed(age)) else {
            return Ok(Cleaned::default());
        };
        let mut rows = self.rows();
        let mut old: Vec<(Timestamp, JobId)> = rows
            .jobs
            .values()
            .filter(|job| !keep.keep_discarded || job.error.is_none())
            .filter_map(|job| Some((job.finished_at.filter(|at| *at <= last)?, job.id)))
            .collect();
        old.sort_unstable();
        old.truncate(limit);
        let executions: usize = old.iter().map(|(_, job)| rows.delete(*job)).sum();
        let batches = match old.len() < limit {
            true => rows.clean_up_batches(keep, last, limit),
            false => 0,
        };
        let count = |rows: usize| rows as u64;
        Ok(Cleaned {
            jobs: count(old.len()),
            executions: count(executions),
            batches: count(batches),
        })
    }

    async fn beat(&self, process: &ProcessRecord) -> Result<Timestamp, StoreError> {
        let now = self.shared.clock.now();
        *self.me() = Some(process.id);
        let mut rows = self.rows();
        rows.processes.insert(process.id, now);
        let expired = now - TimeDelta::from_std(EXPIRED).unwrap_or_default();
        rows.processes.retain(|_, beaten| *beaten >= expired);
        let living: Vec<ProcessId> = rows.processes.keys().copied().collect();
        rows.free(|owner| !living.contains(&owner));
        Ok(now)
    }

    async fn leave(&self, process: &ProcessRecord) -> Result<(), StoreError> {
        let mut rows = self.rows();
        rows.processes.remove(&process.id);
        rows.free(|owner| owner == process.id);
        *self.me() = None;
        Ok(())
    }
}

#[async_trait]
impl Notes for MemoryStore {
    async fn note(&self, token: &Token, note: &Note) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        let mut rows = self.rows();
        if rows.fenced(token).is_none() {
            return Ok(false);
        }
        let notes = rows.notes.entry(token.job).or_insert_with(|| JobNotes {
            progress: Progress::default(),
            result: None,
            attempt: token.executions_count,
            noted_at: now,
        });
        match note {
            Note::Progress(progress) => notes.progress = progress.clone(),
            Note::Result(result) => notes.result = Some(result.clone()),
        }
        (notes.attempt, notes.noted_at) = (token.executions_count, now);
        Ok(true)
    }

    async fn notes(&self, job: JobId) -> Result<Option<JobNotes>, StoreError> {
        Ok(self.rows().notes.get(&job).cloned())
    }
}

#[async_trait]
impl Inspect for MemoryStore {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.rows().jobs.get(&id).cloned())
    }

    async fn executions(&self, id: JobId) -> Result<Vec<ExecutionRecord>, StoreError> {
        Ok(self.rows().executions.get(&id).cloned().unwrap_or_default())
    }

    async fn all_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let mut jobs: Vec<JobRecord> = self.rows().jobs.values().cloned().collect();
        jobs.sort_by_key(|job| (job.created_at, job.id));
        Ok(jobs)
    }
}

#[async_trait]
impl Notifier for MemoryStore {
    async fn listen(&self, to: mpsc::Sender<Signal>, stop: CancellationToken) {
        let mut notices = self.shared.notices.subscribe();
        if to.send(Signal::Resync).await.is_err() {
            return;
        }
        loop {
            let signal = tokio::select! {
                () = stop.cancelled() => return,
                heard = notices.recv() => match heard {
                    Ok(notice) => Signal::Notice(notice),
                    Err(broadcast::error::RecvError::Lagged(_)) => Signal::Resync,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            };
            if to.send(signal).await.is_err() {
                return;
            }
        }
    }
}
