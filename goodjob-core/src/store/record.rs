//! Jobs and attempts as they are stored, and the state that a row is in.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::ids::{ExecutionId, JobId, ProcessId};
use crate::job::{NewJob, Payload, Ties};

/// A stored job: one row of `good_jobs`, for life.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Its class.
    pub class: String,
    /// Its queue; NULL is legal.
    pub queue: Option<String>,
    /// Smaller runs first, NULL last.
    pub priority: Option<i32>,
    /// Active Job's envelope.
    pub payload: Payload,
    /// Its labels.
    pub labels: Vec<String>,
    /// What ties it to others.
    #[serde(flatten)]
    pub ties: Ties,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it may start. A job without it is never run.
    pub scheduled_at: Option<Timestamp>,
    /// When its present or last attempt started.
    pub performed_at: Option<Timestamp>,
    /// When it ended for good.
    pub finished_at: Option<Timestamp>,
    /// Its last error, `Class: message`.
    pub error: Option<String>,
    /// What kind of end the last error was.
    pub error_event: Option<ErrorEvent>,
    /// How often it was started.
    pub executions_count: i32,
    /// The process that runs it.
    pub locked_by: Option<ProcessId>,
}

impl JobRecord {
    /// The row of a job that is stored `now`, by the store's clock, and waits: for stores that keep records.
    #[must_use]
    pub fn stored(new: &NewJob, now: Timestamp) -> Self {
        Self {
            id: new.id,
            class: new.class.clone(),
            queue: Some(new.queue.clone()),
            priority: Some(new.priority.unwrap_or(0)),
            payload: Payload::of(new, now),
            labels: new.labels.clone(),
            ties: new.ties.clone(),
            created_at: now,
            scheduled_at: Some(new.due.time(now).unwrap_or(now)),
            performed_at: None,
            finished_at: None,
            error: None,
            error_event: None,
            executions_count: 0,
            locked_by: None,
        }
    }

    /// The state that the row is in at `now`. Total: every row is in exactly one state.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> JobState {
        let retried = self.payload.executions() > 1;
        match (self.finished_at, self.performed_at, self.scheduled_at) {
            (Some(_), _, _) if self.error.is_some() => JobState::Discarded,
            (Some(_), _, _) => JobState::Succeeded,
            (None, Some(_), _) => JobState::Running,
            (None, None, Some(at)) if at <= now => JobState::Queued,
            (None, None, _) if retried => JobState::Retried,
            (None, None, _) => JobState::Scheduled,
        }
    }
}

/// The states of the gem's dashboard (`app/models/good_job/job.rb`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time.
    Scheduled,
    /// Waits for its time after at least two attempts.
    Retried,
    /// Due, waits for a slot.
    Queued,
    /// Being done, or its process died and nobody has noticed yet.
    Running,
    /// Ended without an error.
    Succeeded,
    /// Ended with an error.
    Discarded,
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheduled => "scheduled",
            Self::Retried => "retried",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Discarded => "discarded",
        })
    }
}

/// One attempt at a job: one row of `good_job_executions`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutionRecord {
    /// Its id.
    pub id: ExecutionId,
    /// The job.
    pub job: JobId,
    /// The process that ran it.
    pub process: Option<ProcessId>,
    /// When the job was due.
    pub scheduled_at: Option<Timestamp>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended; `None` while it runs.
    pub finished_at: Option<Timestamp>,
    /// How long it took by the worker's monotonic clock.
    pub duration: Option<Duration>,
    /// How it failed.
    pub error: Option<String>,
    /// What kind of end that was.
    pub error_event: Option<ErrorEvent>,
    /// Frames or causes.
    pub backtrace: Vec<String>,
}

/// How an attempt ended that did not simply succeed, by the gem's codes
/// (`app/models/concerns/good_job/error_events.rb`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum ErrorEvent {
    /// 0: the attempt vanished with its process.
    Interrupted = 0,
    /// 1: no rule matched the error.
    Unhandled = 1,
    /// 2: a plain handler swallowed it; only Ruby writes this.
    Handled = 2,
    /// 3: it will run again.
    Retried = 3,
    /// 4: the attempts are used up.
    RetryStopped = 4,
    /// 5: a rule, the job or a person ended it.
    Discarded = 5,
}

impl ErrorEvent {
    /// The code in the tables.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The event of a code; `None` for one that the gem does not know.
    #[must_use]
    pub const fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            0 => Self::Interrupted,
            1 => Self::Unhandled,
            2 => Self::Handled,
            3 => Self::Retried,
            4 => Self::RetryStopped,
            5 => Self::Discarded,
            _ => return None,
        })
    }
}
