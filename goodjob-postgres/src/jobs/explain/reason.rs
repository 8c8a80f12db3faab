//! The reasons, each with its evidence.

use goodjob_core::{ErrorEvent, JobId, JobState, ProcessId, Timestamp};
use serde::Serialize;

use super::limits::Restraint;
use super::line::Line;
use crate::jobs::LockHolder;
use crate::roster::{Member, Pulse};

/// Why a job is not running.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The job.
    pub id: JobId,
    /// Its state.
    pub state: JobState,
    /// The database's time, by which all was judged.
    pub now: Timestamp,
    /// The reasons, the one that matters most before the others. Never empty.
    pub reasons: Vec<Reason>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// What it is: in the JSON a `code` and its `evidence`.
    #[serde(flatten)]
    pub why: Why,
    /// When the job may start at the earliest as far as this reason goes; `None` when that cannot be known,
    /// since a person or a process has to act first.
    pub earliest_start: Option<Timestamp>,
}

/// What keeps a job, and what shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "code", content = "evidence", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// It has ended for good.
    Finished {
        /// Whether it succeeded or was discarded.
        outcome: JobState,
        /// When.
        finished_at: Timestamp,
        /// The error that it ended with, the first 1,000 characters.
        error: Option<String>,
    },
    /// Its time has not come.
    NotDue {
        /// Its time; without one it is never run.
        scheduled_at: Option<Timestamp>,
    },
    /// It failed, and its time to be tried again has not come.
    WaitingForRetry {
        /// How it failed, the first 1,000 characters.
        error: String,
        /// What kind of end that was.
        error_event: Option<ErrorEvent>,
        /// How often it was started.
        attempts: i32,
    },
    /// A limit on its key or label is used up, or may be.
    LimitHeld(Restraint),
    /// A throttle on its key or label turned it away.
    Throttled(Restraint),
    /// It is being run, or its process vanished and nobody has freed it yet.
    Running {
        /// The process that owns it.
        owner: ProcessId,
        /// That process; `None` when no row tells of it.
        process: Option<Member>,
        /// Whether that process lives, by its own locks and heartbeat and the lock of this job.
        pulse: Pulse,
        /// When the attempt started; `None` before its start is written.
        started_at: Option<Timestamp>,
        /// The sessions that hold the job's advisory lock, or wait for it.
        sessions: Vec<LockHolder>,
    },
    /// No process owns it, and a session has locked it all the same.
    Locked {
        /// What it has locked.
        by: LockKind,
        /// The sessions.
        sessions: Vec<LockHolder>,
    },
    /// A person paused it.
    Paused {
        /// By what.
        by: PauseKind,
        /// The name of that.
        name: String,
    },
    /// No live process takes its queue.
    QueueNotServed {
        /// Its queue.
        queue: Option<String>,
        /// The processes that there are, and what they take; at most 20.
        processes: Vec<Member>,
    },
    /// No live process that takes its queue knows its class, and all of them say what they know.
    ClassUnknown {
        /// Its class.
        class: String,
        /// Its queue.
        queue: Option<String>,
        /// Those that take the queue.
        serving: Vec<Member>,
        /// Live processes that know the class, and take other queues.
        knowing: Vec<Member>,
    },
    /// No goodjob process that takes its queue knows its class, but Ruby processes take it, which do not say
    /// which classes they know. One that does not know it discards the job.
    ClassNotTold {
        /// Its class.
        class: String,
        /// Its queue.
        queue: Option<String>,
        /// The processes that do not say.
        silent: Vec<Member>,
    },
    /// It waits for its turn.
    Behind(Line),
}

/// What a session has locked of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LockKind {
    /// Its advisory lock, as a worker takes it.
    Advisory,
    /// Its row, in a transaction that is open.
    Row,
}

/// By what a job is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseKind {
    /// Its queue.
    Queue,
    /// Its class.
    Class,
    /// One of its labels.
    Label,
}

impl Reason {
    pub(super) fn new(why: Why, earliest_start: Option<Timestamp>) -> Self {
        Self { why, earliest_start }
    }

    /// Whether the job cannot be taken while this holds. What may hold it, or is only not known, does not
    /// keep it from its place in the line.
    pub(super) fn keeps(&self) -> bool {
        match &self.why {
            Why::LimitHeld(restraint) | Why::Throttled(restraint) => restraint.error.is_some(),
            Why::ClassNotTold { .. } | Why::Behind(_) => false,
            _ => true,
        }
    }
}
