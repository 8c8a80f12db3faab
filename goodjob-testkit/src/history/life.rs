//! The life of one job: its attempts, until it is over or the day is.

use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{ErrorEvent, ExecutionRecord, JobRecord, ProcessId, Timestamp};

use super::kinds::Kind;
use crate::dice::Dice;

/// How many of a thousand jobs lose their process once, and how many of those that can be retried are not
/// saved by that.
const INTERRUPTED: u64 = 4;
const HOPELESS: u64 = 300;
/// How many of a thousand find no free slot at once.
const DELAYED: u64 = 60;
/// An attempt that outlasts the day, in milliseconds.
const FOR_LONG: u64 = 600_000;

/// What a job is going to meet.
pub(super) struct Plan<'a> {
    kind: &'a Kind,
    /// Attempts that fail, from the first.
    failing: u32,
    interrupted: bool,
    /// How long an attempt takes mostly, in milliseconds.
    usual: u64,
}

impl<'a> Plan<'a> {
    pub(super) fn of(kind: &'a Kind, dice: &mut Dice) -> Self {
        let attempts = u64::from(kind.attempts);
        let failing = match dice.chance(kind.fails) {
            false => 0,
            true if attempts == 1 || dice.chance(HOPELESS) => attempts,
            true => dice.between(1, attempts - 1),
        };
        let failing = u32::try_from(failing).unwrap_or(kind.attempts);
        Self { kind, failing, interrupted: dice.chance(INTERRUPTED), usual: kind.usual }
    }

    /// Every attempt fails.
    pub(super) fn failing(kind: &'a Kind) -> Self {
        Self { kind, failing: kind.attempts, interrupted: false, usual: kind.usual }
    }

    pub(super) fn succeeding(self) -> Self {
        Self { failing: 0, interrupted: false, ..self }
    }

    /// It goes on when the day ends.
    pub(super) fn slow(self) -> Self {
        Self { usual: FOR_LONG, ..self.succeeding() }
    }
}

/// What a job lives in.
pub(super) struct Life<'a> {
    /// The end of the day.
    pub(super) end: Timestamp,
    /// Who may run it.
    pub(super) processes: &'a [ProcessId],
    pub(super) dice: Dice,
}

impl Life<'_> {
    /// The row of the job at the end of the day, and those of its attempts.
    pub(super) fn live(
        mut self,
        mut job: JobRecord,
        plan: &Plan<'_>,
    ) -> (JobRecord, Vec<ExecutionRecord>) {
        let mut attempts = Vec::new();
        let mut failed = 0;
        // A process that dies in the last hour would leave a job that nobody has noticed yet.
        let is_early = job.created_at < self.end - TimeDelta::hours(1);
        let mut interrupted = plan.interrupted && is_early;
        let mut ready = job.scheduled_at.unwrap_or(job.created_at);
        loop {
            let start = ready + self.delay();
            if start > self.end {
                break;
            }
            let mut attempt = self.begin(&mut job, start);
            let took = self.took(plan.usual);
            let end = start + took;
            if interrupted {
                interrupted = false;
                ready = start + TimeDelta::seconds(self.dice.between(300, 420).cast_signed());
                vanish(&mut attempt, ready);
                attempts.push(attempt);
                continue;
            }
            if end > self.end {
                job.locked_by = attempt.process;
                attempts.push(attempt);
                break;
            }
            attempt.finished_at = Some(end);
            attempt.duration = took.to_std().ok();
            if failed < plan.failing {
                failed += 1;
                fail(&mut job, &mut attempt, plan.kind, failed);
            } else {
                (job.error, job.error_event) = (None, None);
            }
            attempts.push(attempt);
            if job.error_event != Some(ErrorEvent::Retried) {
                job.finished_at = Some(end);
                break;
            }
            ready = end + self.wait(failed);
            job.scheduled_at = Some(ready);
        }
        (job, attempts)
    }

    fn begin(&mut self, job: &mut JobRecord, start: Timestamp) -> ExecutionRecord {
        job.performed_at = Some(start);
        job.executions_count += 1;
        ExecutionRecord {
            id: self.dice.uuid(start).into(),
            job: job.id,
            process: Some(*self.dice.pick(self.processes)),
            scheduled_at: job.scheduled_at,
            started_at: start,
            finished_at: None,
            duration: None,
            error: None,
            error_event: None,
            backtrace: Vec::new(),
        }
    }

    /// From being due to the start.
    fn delay(&mut self) -> TimeDelta {
        let most = if self.dice.chance(DELAYED) { 4_000_000 } else { 30_000 };
        TimeDelta::microseconds(self.dice.between(900, most).cast_signed())
    }

    /// From the start to the end: half of what is usual to two and a half times as long.
    fn took(&mut self, usual: u64) -> TimeDelta {
        TimeDelta::microseconds((usual * self.dice.between(500, 2_500)).cast_signed())
    }

    /// From an error to the next attempt: polynomial, as of Active Job's `polynomially_longer`.
    fn wait(&mut self, failed: u32) -> TimeDelta {
        let seconds = u64::from(failed).pow(4) + 2;
        let jitter = self.dice.below(seconds * 150_000);
        TimeDelta::microseconds((seconds * 1_000_000 + jitter).cast_signed())
    }
}

/// The attempt of a process that died, as the next attempt closes it (wire contract 4.2).
fn vanish(attempt: &mut ExecutionRecord, noticed: Timestamp) {
    let started = attempt.started_at.format("%Y-%m-%d %H:%M:%S UTC");
    attempt.finished_at = Some(noticed);
    attempt.duration = Some(Duration::from_micros(28));
    attempt.error_event = Some(ErrorEvent::Interrupted);
    attempt.error = Some(format!(
        "GoodJob::InterruptedError: Interrupted after starting perform at '{started}'"
    ));
}

fn fail(job: &mut JobRecord, attempt: &mut ExecutionRecord, kind: &Kind, failed: u32) {
    let (class, message) = kind.error;
    let event = match kind.attempts {
        1 => ErrorEvent::Unhandled,
        attempts if failed >= attempts => ErrorEvent::RetryStopped,
        _ => ErrorEvent::Retried,
    };
    if event == ErrorEvent::Retried {
        job.payload.count_retry(Some(&format!("[{class}]")));
        job.performed_at = None;
    }
    job.error = Some(format!("{class}: {message}"));
    job.error_event = Some(event);
    attempt.error.clone_from(&job.error);
    attempt.error_event = Some(event);
    attempt.backtrace = kind.backtrace.iter().map(|line| (*line).to_owned()).collect();
}
