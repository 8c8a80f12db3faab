//! A job on its way into the store: what is to be done, where, how urgently and when.

use std::time::Duration;

use super::Job;
use super::arguments::{Arguments, ArgumentsError};
use super::error::Panicked;
use super::hooks::EnqueueHooks;
use super::limits::{Exceeded, Limits, LimitsError};
use super::ties::Ties;
use super::trace::Trace;
use crate::capsule::{InlineError, JobFailed};
use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::store::StoreError;

/// The queue of a job that names none.
const DEFAULT_QUEUE: &str = "default";

/// Queue, priority, labels and whether workers are told; what a class sets as its defaults and a
/// call may override.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<i32>,
    pub(crate) labels: Vec<String>,
    pub(crate) notify: Option<bool>,
}

impl Options {
    /// Nothing set: queue `default`, priority 0, no labels, and workers are told.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// The priority. A smaller number runs first; negative ones are fine.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Adds a label. It is trimmed; a blank or repeated one is dropped, as in the gem.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        add_label(&mut self.labels, &label.into());
        self
    }

    /// Whether workers are told of a new job at once; by default they are. A quiet class suits jobs
    /// that come in floods and can wait until the next poll. As `good_job_notify` in Ruby.
    #[must_use]
    pub fn notify(mut self, notify: bool) -> Self {
        self.notify = Some(notify);
        self
    }
}

/// When a job may start. Judged by the store's clock, never by the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    /// As soon as a slot is free.
    #[default]
    Now,
    /// This long after it was stored.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl Due {
    /// The time that it names, for a job that is stored `now`; `None` if that is the time.
    #[must_use]
    pub fn time(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Now => None,
            Self::In(wait) => Some(now + wait),
            Self::At(at) => Some(at),
        }
    }
}

/// A job that is not stored yet.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Made here, so that the caller knows it and a repeated insert cannot make a second job.
    pub id: JobId,
    /// The class name.
    pub class: String,
    /// The queue.
    pub queue: String,
    /// `None` is stored as 0 in the row and as null in the envelope, as the gem does.
    pub priority: Option<i32>,
    /// When it may start.
    pub due: Due,
    /// Its labels.
    pub labels: Vec<String>,
    /// Its arguments.
    pub arguments: Arguments,
    /// What ties it to others.
    pub ties: Ties,
    /// What may keep it from being stored. Not stored itself: a worker asks its own handler.
    pub limits: Limits,
    /// Whether workers are told at once. Without it they find the job at their next poll, and the
    /// envelope says so, for the gem's retries to be as quiet.
    pub notify: bool,
    /// What it carries to its runs. Best effort.
    pub trace: Trace,
    /// What its class does around its enqueue. Not stored.
    pub hooks: EnqueueHooks,
}

impl NewJob {
    /// The largest arguments accepted, in bytes of JSON: 1 MiB. Larger data belongs elsewhere, with
    /// a reference to it in the job.
    pub const MAX_ARGUMENTS: usize = 1024 * 1024;

    /// `job` with the defaults of its class.
    ///
    /// # Errors
    /// When its arguments cannot be stored.
    pub fn new<J: Job>(job: &J) -> Result<Self, EnqueueError> {
        let new = Self::of_class(J::CLASS, Arguments::encode(job)?, J::defaults())?;
        let new = new.limited(job.limits())?;
        Ok(Self { hooks: EnqueueHooks::of::<J>(), ..new })
    }

    /// A job of a class that this program has no type for, perhaps one of Ruby's.
    ///
    /// # Errors
    /// When class, queue or labels hold a NUL character or are empty, or the arguments are too large.
    pub fn of_class(
        class: impl Into<String>,
        arguments: Arguments,
        options: Options,
    ) -> Result<Self, EnqueueError> {
        let size = serde_json::to_vec(arguments.as_stored()).map_or(0, |json| json.len());
        if size > Self::MAX_ARGUMENTS {
            return Err(EnqueueError::TooLarge { size });
        }
        let job = Self {
            id: JobId::generate(),
            class: class.into(),
            queue: options.queue.unwrap_or_else(|| DEFAULT_QUEUE.to_owned()),
            priority: options.priority,
            due: Due::Now,
            labels: options.labels,
            arguments,
            ties: Ties::default(),
            limits: Limits::new(),
            notify: options.notify.unwrap_or(true),
            trace: Trace::default(),
            hooks: EnqueueHooks::new(),
        };
        job.check()?;
        Ok(job)
    }

    /// The job with these limits, their key and their labels.
    ///
    /// # Errors
    /// When the limits cannot be kept.
    pub fn limited(mut self, limits: Limits) -> Result<Self, EnqueueError> {
        limits.check()?;
        self.set_limits(limits);
        Ok(self)
    }

    /// As [`limited`](Self::limited), with limits that were checked.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        if let Some(key) = limits.key() {
            self.ties.concurrency_key = Some(key.to_owned());
        }
        limits.labels().for_each(|label| add_label(&mut self.labels, label));
        self.limits = limits;
    }

    /// Whether its texts can be stored. [`of_class`](Self::of_class) has asked already; options set
    /// later are asked again when the job is enqueued.
    ///
    /// # Errors
    /// When class or queue is blank, or a text holds a NUL character.
    pub fn check(&self) -> Result<(), EnqueueError> {
        for (what, text) in [("class", &self.class), ("queue", &self.queue)] {
            if text.trim().is_empty() {
                return Err(EnqueueError::Blank { what });
            }
        }
        let texts = [("class", &self.class), ("queue", &self.queue)].into_iter();
        let labels = self.labels.iter().map(|label| ("label", label));
        let key = self.ties.concurrency_key.iter().map(|key| ("concurrency key", key));
        let tick = self.ties.tick.iter().map(|tick| ("cron key", &tick.key));
        for (what, text) in texts.chain(labels).chain(key).chain(tick) {
            if text.contains('\0') {
                return Err(EnqueueError::Nul { what });
            }
        }
        Ok(())
    }

    /// Adds a label, trimmed; a blank or repeated one is dropped.
    pub fn add_label(&mut self, label: &str) {
        add_label(&mut self.labels, label);
    }
}

fn add_label(labels: &mut Vec<String>, label: &str) {
    let label = label.trim();
    if !label.is_empty() && !labels.iter().any(|known| known == label) {
        labels.push(label.to_owned());
    }
}

/// Why a job was not enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The arguments cannot be stored; the text names the one.
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    /// The arguments are larger than [`NewJob::MAX_ARGUMENTS`].
    #[error("arguments: {size} bytes of JSON, expected at most {}", NewJob::MAX_ARGUMENTS)]
    TooLarge {
        /// Their size in bytes.
        size: usize,
    },
    /// The class or the queue is empty.
    #[error("{what}: found a blank name, expected a text")]
    Blank {
        /// Which.
        what: &'static str,
    },
    /// A text has a NUL character.
    #[error("{what}: has a NUL character, which Postgres cannot store")]
    Nul {
        /// Which.
        what: &'static str,
    },
    /// A hook stopped it ([`EnqueueHook::before`](super::EnqueueHook::before)). Nothing was stored.
    #[error("{class}: not enqueued: {reason}")]
    Stopped {
        /// The class of the job that it stopped at.
        class: String,
        /// What it said.
        reason: String,
    },
    /// A hook panicked: before the job was stored, or around that, and then it may be stored.
    #[error("a hook around the enqueue panicked: {0}")]
    HookPanicked(Panicked),
    /// Its limits cannot be kept; the text says which.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// A limit stopped it: nothing is stored, and nothing is wrong.
    #[error("not enqueued: {0}")]
    LimitExceeded(Exceeded),
    /// The store did not take it. After [`StoreError::Unknown`] the job may or may not be stored;
    /// enqueueing the same [`NewJob`] again cannot store it twice.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The job is stored, was done at once, and ended with an error that nothing handled: the mode
    /// [`Inline`](crate::ExecutionMode::Inline).
    #[error(transparent)]
    Failed(#[from] Box<JobFailed>),
}

impl From<InlineError> for EnqueueError {
    fn from(error: InlineError) -> Self {
        match error {
            InlineError::Store(error) => Self::Store(error),
            InlineError::Job(failed) => Self::Failed(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_trimmed_and_unique_and_in_order() {
        let options = Options::new().label(" b ").label("a").label("b").label(" ");
        assert_eq!(options.labels, ["b", "a"]);
    }

    #[test]
    fn a_class_may_be_quiet_and_a_job_louder() {
        let new = |options| NewJob::of_class("A", Arguments::default(), options).unwrap();
        assert!(new(Options::new()).notify);
        assert!(!new(Options::new().notify(false)).notify);
        assert!(new(Options::new().notify(false).notify(true)).notify);
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        let new = |class: &str, options| NewJob::of_class(class, Arguments::default(), options);
        assert!(matches!(new(" ", Options::new()), Err(EnqueueError::Blank { what: "class" })));
        assert!(matches!(
            new("A", Options::new().queue("a\0")),
            Err(EnqueueError::Nul { what: "queue" })
        ));
        let large = Arguments::positional(vec!["x".repeat(NewJob::MAX_ARGUMENTS).into()]).unwrap();
        let error = NewJob::of_class("A", large, Options::new()).unwrap_err();
        assert_eq!(error.to_string(), "arguments: 1048580 bytes of JSON, expected at most 1048576");
    }
}
