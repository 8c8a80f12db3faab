//! A day in the life of an application, to look at and to work on: always the same one.

mod kinds;
mod life;

use std::collections::BTreeMap;

use chrono::{TimeDelta, Timelike};
use goodjob_core::{
    Arguments, BatchEvent, BatchId, BatchRecord, BatchSpec, Callbacks, Due, ExecutionRecord,
    JobRecord, NewJob, Options, ProcessId, Tick, Timestamp,
};
use serde_json::json;

use crate::dice::Dice;
use crate::factory;
use crate::rows::{ProcessRow, Rows, SettingRow};
use kinds::{CRON, Kind, Routine};
use life::{Life, Plan};

/// Jobs of a day, unless another number is asked for.
const JOBS: usize = 2_000;
/// How busy each hour of the day is, from midnight UTC.
const CURVE: [u64; 24] =
    [4, 3, 2, 2, 2, 3, 6, 12, 22, 34, 40, 38, 30, 32, 40, 42, 38, 30, 22, 18, 14, 10, 8, 6];
/// Jobs for each that is a batch of them, that is due and waits, that waits for its time.
const PER_BATCH: usize = 80;
const PER_QUEUED: usize = 100;
const PER_SCHEDULED: usize = 50;
/// Jobs that run at the end of the day, and that wait for another attempt.
const RUNNING: usize = 3;
const RETRYING: usize = 5;

/// A believable day of jobs, which ends at a time of your choice: several classes and queues, quiet nights and
/// busy afternoons, successes, retries, discards, an interruption here and there; jobs that run, wait for a
/// slot, for their time or for another attempt; cron, batches with their callbacks, processes, settings.
///
/// For pages and reports, to be looked at and compared: the same end, seed and number of jobs make the same
/// rows to the byte, in every run and on every platform. Nothing in it is random, and nothing is the present:
/// its processes live at the end of the day. A worker that is started later takes them for dead, and does again
/// what they were doing.
///
/// ```
/// use goodjob_core::{JobState, Timestamp};
/// use goodjob_testkit::History;
///
/// let noon: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
/// let rows = History::ending(noon).jobs(500).rows();
/// let discarded = rows.jobs.iter().filter(|job| job.state(noon) == JobState::Discarded);
/// assert!(discarded.count() > 5);
/// assert_eq!(rows, History::ending(noon).jobs(500).rows());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct History {
    end: Timestamp,
    seed: u64,
    jobs: usize,
}

/// What is made so far.
struct Day<'a> {
    history: &'a History,
    processes: Vec<ProcessId>,
    rows: Rows,
}

impl History {
    /// A day of about 2,000 jobs until `end`.
    #[must_use]
    pub fn ending(end: Timestamp) -> Self {
        Self { end, seed: 1, jobs: JOBS }
    }

    /// Another day: each seed makes its own.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// With about so many jobs; those of cron and of batches come on top.
    #[must_use]
    pub fn jobs(self, jobs: usize) -> Self {
        Self { jobs, ..self }
    }

    /// The rows, to be stored by [`Rows::store_in`].
    #[must_use]
    pub fn rows(&self) -> Rows {
        let mut day = Day { history: self, processes: Vec::new(), rows: Rows::default() };
        day.start_processes();
        day.set_settings();
        day.pass();
        day.tick();
        day.gather();
        day.end();
        let mut rows = day.rows;
        rows.jobs.sort_by_key(|job| (job.created_at, job.id));
        rows.executions.sort_by_key(|attempt| (attempt.started_at, attempt.id));
        rows.batches.sort_by_key(|batch| (batch.created_at, batch.id));
        rows
    }

    fn start(&self) -> Timestamp {
        self.end - TimeDelta::days(1)
    }

    /// The dice of the `n`th thing of a kind. They know the seed and nothing of other things.
    fn dice(&self, what: &str, n: usize) -> Dice {
        Dice::of(&format!("history {} {what}", self.seed), n as u64)
    }

    /// A moment of the day, more likely one of a busy hour.
    fn moment(&self, dice: &mut Dice) -> Timestamp {
        let hour = |n: i64| self.start() + TimeDelta::hours(n);
        let weight = |n: i64| CURVE[hour(n).hour() as usize % CURVE.len()];
        let mut drawn = dice.below((0..24).map(weight).sum());
        for n in 0..24 {
            match drawn.checked_sub(weight(n)) {
                Some(rest) => drawn = rest,
                None => return dice.moment(hour(n), TimeDelta::hours(1)),
            }
        }
        self.start()
    }
}

impl Day<'_> {
    fn start_processes(&mut self) {
        for (n, (host, queues, slots)) in
            [("app-1", "*", 10), ("app-2", "*", 10), ("mailer-1", "mailers,default", 5)]
                .into_iter()
                .enumerate()
        {
            let mut dice = self.history.dice("process", n);
            let started_at = dice.moment(self.history.start(), TimeDelta::hours(2));
            let id = dice.uuid(started_at).into();
            let beaten_at =
                self.history.end - TimeDelta::milliseconds(dice.between(500, 25_000).cast_signed());
            let pid = u32::try_from(dice.between(200, 4_000)).unwrap_or(200);
            let done = self.history.jobs as u64 / 3;
            let state = factory::state(host, pid, queues, slots, done);
            self.processes.push(id);
            self.rows.processes.push(ProcessRow { id, started_at, beaten_at, state });
        }
    }

    fn set_settings(&mut self) {
        let pauses = json!({"queues": [], "job_classes": [kinds::PAUSED.class], "labels": []});
        let settings = [
            ("cron_keys_disabled", json!(["weekly_invoices"])),
            ("cron_keys_enabled", json!([])),
            ("pauses", pauses),
        ];
        for (n, (key, value)) in settings.into_iter().enumerate() {
            let mut dice = self.history.dice("setting", n);
            let created_at = dice.moment(self.history.start(), TimeDelta::hours(12));
            let id = dice.uuid(created_at);
            self.rows.settings.push(SettingRow { id, created_at, key: key.to_owned(), value });
        }
    }

    /// Jobs that requests enqueue.
    fn pass(&mut self) {
        for n in 0..self.history.jobs {
            let mut dice = self.history.dice("job", n);
            let kind = kinds::any(&mut dice);
            let created_at = self.history.moment(&mut dice);
            let new = kind.job(&mut dice, created_at);
            let plan = Plan::of(kind, &mut dice);
            self.live(&new, created_at, &plan, dice);
        }
    }

    /// Jobs of cron.
    fn tick(&mut self) {
        for routine in &CRON {
            for (n, at) in routine.ticks(self.history.start(), self.history.end).enumerate() {
                let mut dice = self.history.dice(routine.key, n);
                self.tick_at(routine, at, &mut dice);
            }
        }
    }

    fn tick_at(&mut self, routine: &Routine, at: Timestamp, dice: &mut Dice) {
        let created_at = at + TimeDelta::milliseconds(dice.between(2, 60).cast_signed());
        let mut new = routine.kind.job(dice, created_at);
        new.ties.tick = Some(Tick { key: routine.key.to_owned(), at: Some(at) });
        let plan = Plan::of(&routine.kind, dice);
        self.live(&new, created_at, &plan, dice.fork());
    }

    /// Batches with their jobs.
    fn gather(&mut self) {
        let batches = (self.history.jobs / PER_BATCH).max(4);
        for n in 0..batches {
            let mut dice = self.history.dice("batch", n);
            let created_at = match n {
                // The last is still at work when the day ends.
                0 => self.history.end - TimeDelta::seconds(20),
                _ => self.history.moment(&mut dice),
            };
            let id: BatchId = dice.uuid(created_at).into();
            let size = dice.between(4, 14);
            let mut members = Vec::new();
            for _ in 0..size {
                let mut new = kinds::IMPORT.job(&mut dice, created_at);
                new.ties.batch = Some(id);
                let mut plan = Plan::of(&kinds::IMPORT, &mut dice);
                if n == 0 && members.is_empty() {
                    plan = plan.slow();
                }
                members.push(self.live(&new, created_at, &plan, dice.fork()));
            }
            let batch = imports(id, n, size, created_at);
            self.go_on(batch, &members, &mut dice);
        }
    }

    /// What becomes of a batch whose members ended, or did not.
    fn go_on(&mut self, mut batch: BatchRecord, members: &[JobRecord], dice: &mut Dice) {
        let discarded = members.iter().filter(|job| job.error.is_some());
        batch.discarded_at = discarded.filter_map(|job| job.finished_at).min();
        let ends: Option<Vec<Timestamp>> = members.iter().map(|job| job.finished_at).collect();
        batch.jobs_finished_at = ends.and_then(|ends| ends.into_iter().max());
        let told = [
            (BatchEvent::Discard, batch.discarded_at),
            (BatchEvent::Success, batch.jobs_finished_at.filter(|_| batch.discarded_at.is_none())),
            (BatchEvent::Finish, batch.jobs_finished_at),
        ];
        let mut over = batch.jobs_finished_at;
        for (event, at) in told {
            let (Some(at), Ok(Some(new))) = (at, Callbacks::new().call(&batch, event)) else {
                continue;
            };
            let new = NewJob { id: dice.uuid(at).into(), ..new };
            let plan = Plan::of(&kinds::CALLBACK, dice).succeeding();
            let job = self.live(&new, at, &plan, dice.fork());
            over = over.and_then(|over| Some(over.max(job.finished_at?)));
        }
        batch.finished_at = over;
        let times = [batch.discarded_at, batch.jobs_finished_at, batch.finished_at];
        let last = times.into_iter().flatten().max();
        batch.updated_at = last.or(batch.enqueued_at).unwrap_or(batch.created_at);
        self.rows.batches.push(batch);
    }

    /// Jobs in every state that the end of the day finds them in.
    fn end(&mut self) {
        let end = self.history.end;
        let ago = |dice: &mut Dice, seconds| {
            dice.moment(end - TimeDelta::seconds(seconds), TimeDelta::seconds(seconds))
        };
        for n in 0..RUNNING {
            let mut dice = self.history.dice("running", n);
            let created_at = ago(&mut dice, 120) - TimeDelta::seconds(5);
            let new = kinds::REPORT.job(&mut dice, created_at);
            let plan = Plan::of(&kinds::REPORT, &mut dice).slow();
            self.live(&new, created_at, &plan, dice);
        }
        for n in 0..RETRYING {
            let mut dice = self.history.dice("retrying", n);
            let created_at = ago(&mut dice, 30) - TimeDelta::seconds(60);
            let new = kinds::SYNC.job(&mut dice, created_at);
            self.live(&new, created_at, &Plan::failing(&kinds::SYNC), dice);
        }
        for n in 0..(self.history.jobs / PER_QUEUED).max(3) {
            let mut dice = self.history.dice("queued", n);
            let created_at = ago(&mut dice, 15);
            let kind = if n.is_multiple_of(3) { &kinds::PAUSED } else { kinds::any(&mut dice) };
            let new = kind.job(&mut dice, created_at);
            self.rows.jobs.push(JobRecord::stored(&new, created_at));
        }
        for n in 0..(self.history.jobs / PER_SCHEDULED).max(3) {
            let mut dice = self.history.dice("scheduled", n);
            let created_at = self.history.moment(&mut dice);
            let mut new = kinds::REMIND.job(&mut dice, created_at);
            let due = dice.moment(end + TimeDelta::seconds(1), TimeDelta::days(3));
            new.due = Due::At(due);
            self.rows.jobs.push(JobRecord::stored(&new, created_at));
        }
    }

    /// Lets a job live until it is over or the day is.
    fn live(
        &mut self,
        new: &NewJob,
        created_at: Timestamp,
        plan: &Plan<'_>,
        dice: Dice,
    ) -> JobRecord {
        let job = JobRecord::stored(new, created_at);
        let life = Life { end: self.history.end, processes: &self.processes, dice };
        let (job, attempts): (JobRecord, Vec<ExecutionRecord>) = life.live(job, plan);
        self.rows.executions.extend(attempts);
        self.rows.jobs.push(job.clone());
        job
    }
}

fn imports(id: BatchId, n: usize, size: u64, at: Timestamp) -> BatchRecord {
    let mut spec = BatchSpec {
        description: Some(format!("Import of {} rows, file {}", size * 250, n + 1)),
        on_finish: Some("ImportCleanupJob".to_owned()),
        on_success: Some("ImportMailJob".to_owned()),
        on_discard: n.is_multiple_of(2).then(|| "ImportAlertJob".to_owned()),
        callback_queue: Some("default".to_owned()),
        callback_priority: Some(0),
        ..BatchSpec::default()
    };
    // A map of one number can always be stored.
    let _ = spec.set_properties(&BTreeMap::from([("file", n + 1)]));
    BatchRecord {
        id,
        spec,
        created_at: at,
        updated_at: at,
        enqueued_at: Some(at + TimeDelta::milliseconds(8)),
        discarded_at: None,
        jobs_finished_at: None,
        finished_at: None,
    }
}

impl Kind {
    /// A job of this kind.
    fn job(&self, dice: &mut Dice, at: Timestamp) -> NewJob {
        let mut options = Options::new().queue(self.queue).priority(self.priority);
        for label in self.labels {
            options = options.label(*label);
        }
        let keywords = (self.args)(dice).as_object().cloned().unwrap_or_default();
        let arguments = Arguments::keywords(keywords).unwrap_or_default();
        let new = NewJob::of_class(self.class, arguments, options);
        let new = new.unwrap_or_else(|error| panic!("{}: {error}", self.class));
        NewJob { id: dice.uuid(at).into(), ..new }
    }
}
