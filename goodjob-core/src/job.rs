//! What an application writes: a [`Job`] is what is stored, [`Perform`] is how this process does it.

mod arguments;
mod completion;
mod context;
mod error;
mod hooks;
mod limits;
mod options;
mod payload;
mod policy;
mod preserve;
pub(crate) mod properties;
mod registry;
pub mod ruby;
mod ties;
mod trace;

pub use arguments::{Arguments, ArgumentsError};
pub(crate) use context::Scene;
pub use context::{BareContext, Context};
pub use error::{
    BoxError, ErrorNote, Interrupted, JobError, JobResult, NotCommitted, Panicked, TimedOut,
    Verdict,
};
pub use hooks::{Body, EnqueueHook, EnqueueHooks, PerformHook, PerformHooks, Sink, Stop, Storing};
pub use limits::{Bound, Count, Exceeded, Limits, LimitsError, Rule, Scope, Throttle};
pub use options::{Due, EnqueueError, NewJob, Options};
pub use payload::Payload;
pub use policy::{Backoff, Decision, Defaults, Policy, Retry, Unhandled};
pub use preserve::Preserve;
pub use registry::{Handler, Handlers, Registry, Run, Running};
pub use ties::{Tick, Ties};
pub use trace::{Trace, TraceHook, TraceIds, TraceParent, TraceParentError};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of job: its name in the tables and the shape of its arguments.
///
/// A struct with named fields is stored as Ruby's keyword arguments, a tuple struct as positional
/// ones, so that `WelcomeJob.perform_later(user_id: 7)` in Ruby reads back as `Welcome { user_id: 7 }`.
/// Positions that keywords follow are a tuple struct that ends in [`ruby::Keywords`]; what Ruby has and
/// JSON has not, such as symbols, records and times, is a field of a type of [`ruby`].
/// A process that only enqueues needs nothing else; one that runs the job implements [`Perform`] too.
///
/// ```
/// use goodjob_core::{Job, Options};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Welcome { user_id: i64 }
///
/// impl Job for Welcome {
///     const CLASS: &'static str = "WelcomeJob";
///     fn defaults() -> Options { Options::new().queue("mail").priority(10) }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    label = "derive `Serialize` and `Deserialize`, then `impl Job for {Self}` with a `CLASS`"
)]
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The class name in the tables. Chosen by hand, since rows outlive the path of a type.
    const CLASS: &'static str;

    /// Queue, priority, labels and whether workers are told, for a job that is enqueued without
    /// saying otherwise.
    #[must_use]
    fn defaults() -> Options {
        Options::new()
    }

    /// What is done around every enqueue of such a job, inside the hooks of the application. Asked once.
    #[must_use]
    fn on_enqueue() -> EnqueueHooks {
        EnqueueHooks::new()
    }

    /// How many jobs like this one may wait, run at once, or start in a while. By default nothing is
    /// limited. Asked when the job is enqueued, and again each time before it begins.
    #[must_use]
    fn limits(&self) -> Limits {
        Limits::new()
    }
}

/// How this process does a [`Job`], given a state `S` shared by all its jobs.
///
/// ```
/// use std::time::Duration;
/// use goodjob_core::{Backoff, Context, Job, JobResult, Perform, Policy, Retry};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Welcome { user_id: i64 }
/// # impl Job for Welcome { const CLASS: &'static str = "WelcomeJob"; }
/// # #[derive(Clone)] struct App;
///
/// impl Perform<App> for Welcome {
///     fn policy() -> Policy {
///         Policy::new()
///             .discard_on::<std::num::ParseIntError>()
///             .retry_on::<std::io::Error>(Retry::attempts(5).wait(Backoff::Polynomial))
///             .timeout(Duration::from_secs(60))
///     }
///
///     async fn perform(self, cx: Context<App>) -> JobResult {
///         println!("attempt {} for user {}", cx.attempt(), self.user_id);
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be performed with the state `{S}`",
    label = "`impl Perform<{S}> for {Self}` says how this process does the job"
)]
pub trait Perform<S = ()>: Job {
    /// What follows an error, and how long an attempt may take. By default an error ends the job.
    #[must_use]
    fn policy() -> Policy {
        Policy::new()
    }

    /// What is done around every attempt, inside the hooks of the application, once the arguments are
    /// decoded. Asked once, when the class is registered.
    #[must_use]
    fn on_perform() -> PerformHooks<S>
    where
        S: Send + Sync + 'static,
    {
        PerformHooks::new()
    }

    /// Does the job. Runs in a task of its own with no transaction and no lock session at hand, and
    /// may be dropped at any await once [`Context::cancelled`] has been given its grace.
    fn perform(self, cx: Context<S>) -> impl Future<Output = JobResult> + Send;
}
