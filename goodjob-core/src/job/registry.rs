//! The jobs that this process can do. The one place where their types are erased.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::arguments::Arguments;
use super::context::{BareContext, Context};
use super::error::JobResult;
use super::policy::Policy;
use super::{JobError, Perform};
use crate::limits::Gate;

/// Collects jobs and the state that they share.
///
/// ```
/// use goodjob_core::{Context, Job, JobResult, Perform, Registry};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Hello { name: String }
/// # impl Job for Hello { const CLASS: &'static str = "HelloJob"; }
/// # impl Perform for Hello { async fn perform(self, _: Context) -> JobResult { Ok(()) } }
/// let handlers = Registry::default().register::<Hello>().into_handlers();
/// assert_eq!(handlers.classes(), ["HelloJob"]);
/// ```
#[derive(Clone, Debug)]
pub struct Registry<S = ()> {
    state: S,
    handlers: Handlers,
}

impl Default for Registry<()> {
    /// For jobs that need no state.
    fn default() -> Self {
        Self::new(())
    }
}

impl<S: Clone + Send + Sync + 'static> Registry<S> {
    /// For jobs that share `state`, which is cloned for each attempt: keep it behind an `Arc`.
    pub fn new(state: S) -> Self {
        Self { state, handlers: Handlers::default() }
    }

    /// Adds a job.
    ///
    /// # Panics
    /// If another job with the same class is registered.
    #[must_use]
    pub fn register<J: Perform<S>>(mut self) -> Self {
        let state = self.state.clone();
        let run = move |arguments: Option<Arguments>, cx: BareContext| -> Running {
            let cx: Context<S> = cx.with_state(state.clone());
            Box::pin(async move {
                let job: J = decode(arguments)?;
                cx.bare().admit(&job.limits()).await?;
                job.perform(cx).await
            })
        };
        self.handlers.add(J::CLASS, Handler { policy: J::policy(), run: Arc::new(run) });
        self
    }

    /// The jobs, without their types.
    #[must_use]
    pub fn into_handlers(self) -> Handlers {
        self.handlers
    }
}

fn decode<J: serde::de::DeserializeOwned>(arguments: Option<Arguments>) -> Result<J, JobError> {
    let unfit = |reason: String| JobError::discard(reason).with_class("ArgumentsError");
    arguments
        .ok_or_else(|| unfit("arguments: found none, expected an array".to_owned()))?
        .decode()
        .map_err(|error| unfit(error.to_string()))
}

/// An attempt that has begun.
pub type Running = Pin<Box<dyn Future<Output = JobResult> + Send>>;

/// Begins an attempt with the stored arguments, `None` when the row has no array of them.
pub type Run = dyn Fn(Option<Arguments>, BareContext) -> Running + Send + Sync;

/// How one class of job is done.
#[derive(Clone)]
pub struct Handler {
    /// What follows an error.
    pub policy: Policy,
    /// Begins an attempt.
    pub run: Arc<Run>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The jobs of a [`Registry`] by class, and those of other origin, such as commands.
#[derive(Clone, Debug, Default)]
pub struct Handlers(BTreeMap<String, Handler>);

impl Handlers {
    /// Adds a handler.
    ///
    /// # Panics
    /// If the class is there already: two handlers would fight over the same rows.
    pub fn add(&mut self, class: impl Into<String>, handler: Handler) {
        let class = class.into();
        assert!(!self.0.contains_key(&class), "two jobs are registered for the class {class:?}");
        self.0.insert(class, handler);
    }

    /// The handler of a class.
    #[must_use]
    pub fn get(&self, class: &str) -> Option<&Handler> {
        self.0.get(class)
    }

    /// The same handlers, whose limits are kept by this gate.
    pub(crate) fn behind(mut self, gate: &Gate) -> Self {
        for handler in self.0.values_mut() {
            let (run, gate) = (Arc::clone(&handler.run), gate.clone());
            handler.run = Arc::new(move |arguments, cx| run(arguments, cx.behind(gate.clone())));
        }
        self
    }

    /// The classes, sorted. A worker claims jobs of these only.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl<S: Clone + Send + Sync + 'static> From<Registry<S>> for Handlers {
    fn from(registry: Registry<S>) -> Self {
        registry.into_handlers()
    }
}
