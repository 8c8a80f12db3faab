//! Which finished jobs stay in the tables.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use super::error::ErrorNote;
use crate::store::{ErrorEvent, JobRecord};

/// Whether a finished job keeps its row and those of its attempts: the gem's `preserve_job_records`.
///
/// The worker has one for all its jobs ([`Config::preserve`](crate::Config::preserve)), and a class of
/// jobs may have its own ([`Policy::preserve`](super::Policy::preserve)). It is asked when a job is
/// over, never when it will run again. A row of cron is always kept: it is what keeps others from
/// enqueueing the same tick (wire contract 4.4).
///
/// ```
/// use goodjob_core::{ErrorEvent, Policy, Preserve};
/// // What nobody will look at again goes at once.
/// let pings = Policy::new().preserve(Preserve::OnUnhandledError);
/// // Or as a function says.
/// let mails = Policy::new().preserve(Preserve::When(|job, error| {
///     job.priority < Some(0) || error.is_some_and(|e| e.event() != ErrorEvent::Discarded)
/// }));
/// # drop((pings, mails));
/// ```
#[derive(Clone, Copy, Default)]
pub enum Preserve {
    /// Every row is kept, until a clean-up deletes it. The default, as in the gem.
    #[default]
    Always,
    /// No row is kept.
    Never,
    /// Kept is the row of a job that ended by an error which nothing caught: no rule matched it, or its
    /// rule's attempts were used up, or its process kept dying. The gem counts the same (an error that a
    /// retry rule hands on is raised), and neither keeps what was discarded.
    OnUnhandledError,
    /// Kept is what the function says, given the job as it was claimed and its error with its event.
    /// It is called once an attempt, and has to be quick. If it panics the row is kept, as in the gem.
    When(fn(&JobRecord, Option<&ErrorNote>) -> bool),
}

impl Preserve {
    /// Whether the row of a job that is over is kept.
    #[must_use]
    pub fn keeps(self, job: &JobRecord, error: Option<&ErrorNote>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::OnUnhandledError => error.is_some_and(|error| match error.event() {
                ErrorEvent::Unhandled | ErrorEvent::RetryStopped | ErrorEvent::Interrupted => true,
                ErrorEvent::Handled | ErrorEvent::Retried | ErrorEvent::Discarded => false,
            }),
            // It sees nothing that a panic could leave half done.
            Self::When(keeps) => {
                panic::catch_unwind(AssertUnwindSafe(|| keeps(job, error))).unwrap_or(true)
            }
        }
    }
}

impl PartialEq for Preserve {
    /// Functions are compared by their address.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Always, Self::Always)
            | (Self::Never, Self::Never)
            | (Self::OnUnhandledError, Self::OnUnhandledError) => true,
            (Self::When(one), Self::When(another)) => std::ptr::fn_addr_eq(*one, *another),
            _ => false,
        }
    }
}

impl fmt::Debug for Preserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "Always",
            Self::Never => "Never",
            Self::OnUnhandledError => "OnUnhandledError",
            Self::When(_) => "When(..)",
        })
    }
}
