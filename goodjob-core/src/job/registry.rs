//! The jobs that this process can do. The one place where their types are erased.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::arguments::Arguments;
use super::context::{BareContext, Context};
use super::error::{Interrupted, JobResult};
use super::hooks::{EnqueueHook, EnqueueHooks, Layers, PerformHook};
use super::options::Options;
use super::policy::Policy;
use super::trace::Trace;
use super::{JobError, Perform};
use crate::store::JobRecord;
use crate::trouble::{OnError, Trouble, Troubles};

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
        let (state, hooks) = (self.state.clone(), J::on_perform());
        let run = move |arguments: Option<Arguments>, cx: BareContext| -> Running {
            let cx: Context<S> = cx.with_state(state.clone());
            let hooks = (!hooks.is_empty()).then(|| hooks.clone());
            Box::pin(async move {
                let job: J = decode(arguments)?;
                cx.bare().admit(&job.limits()).await?;
                match hooks {
                    None => job.perform(cx).await,
                    Some(hooks) => {
                        let around = cx.clone();
                        hooks.around(&around, Box::pin(async move { job.perform(cx).await })).await
                    }
                }
            })
        };
        self.handlers.add(J::CLASS, Handler { policy: J::policy(), run: Arc::new(run) });
        self.handlers.defaults.insert(J::CLASS.to_owned(), J::defaults());
        self
    }

    /// Adds a hook around every attempt of a worker, also at jobs in other languages, inside the hooks
    /// that are there and outside those of the class.
    #[must_use]
    pub fn on_perform(mut self, hook: impl PerformHook<S>) -> Self {
        self.handlers.layers.add(self.state.clone(), hook);
        self
    }

    /// Adds a hook around every enqueue that the worker makes itself and that its jobs make by
    /// [`Context::adapter`]. An adapter of one's own has hooks of its own
    /// ([`Adapter::on_enqueue`](crate::Adapter::on_enqueue)).
    #[must_use]
    pub fn on_enqueue(mut self, hook: impl EnqueueHook) -> Self {
        self.handlers.enqueue_hooks = self.handlers.enqueue_hooks.with(hook);
        self
    }

    /// Is told of everything that goes wrong inside the engine, beside the log: the gem's
    /// `on_thread_error`. There is one such function; the last one counts. How it is called:
    /// [`Troubles`].
    ///
    /// ```
    /// use goodjob_core::{Registry, TroubleKind};
    /// let registry = Registry::default().on_error(|trouble| {
    ///     if trouble.kind.is_grave() {
    ///         eprintln!("page somebody: {trouble}");
    ///     }
    /// });
    /// # drop(registry);
    /// ```
    #[must_use]
    pub fn on_error(mut self, hook: impl Fn(&Trouble) + Send + Sync + 'static) -> Self {
        self.handlers.on_error = Some(Arc::new(hook));
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

/// The jobs of a [`Registry`] by class, and those of other origin, such as commands; with the hooks of the
/// application.
#[derive(Clone, Default)]
pub struct Handlers {
    by_class: BTreeMap<String, Handler>,
    /// What the types among them say about being enqueued.
    defaults: BTreeMap<String, Options>,
    layers: Layers,
    enqueue_hooks: EnqueueHooks,
    on_error: Option<OnError>,
}

impl Handlers {
    /// Adds a handler.
    ///
    /// # Panics
    /// If the class is there already: two handlers would fight over the same rows.
    pub fn add(&mut self, class: impl Into<String>, handler: Handler) {
        let class = class.into();
        assert!(
            !self.by_class.contains_key(&class),
            "two jobs are registered for the class {class:?}"
        );
        self.by_class.insert(class, handler);
    }

    /// The same with what `change` makes of each handler, inside the hooks of the application: for tools
    /// that watch attempts.
    #[must_use]
    pub fn map(mut self, mut change: impl FnMut(&str, Handler) -> Handler) -> Self {
        let handlers = std::mem::take(&mut self.by_class).into_iter();
        let changed = handlers.map(|(class, handler)| {
            let handler = change(&class, handler);
            (class, handler)
        });
        self.by_class = changed.collect();
        self
    }

    /// Begins an attempt at a job of `handler` with the hooks of the application around it.
    #[must_use]
    pub fn begin(&self, handler: &Handler, cx: BareContext) -> Running {
        let (run, inside) = (Arc::clone(&handler.run), cx.clone());
        let interrupted = handler.policy.fails_interrupted() && cx.claim().interruptions > 0;
        // Building the future is the user's code too: it runs inside the task.
        let body = async move {
            match interrupted {
                true => Err(Interrupted::of(&inside.claim().job)),
                false => run(inside.claim().job.payload.arguments(), inside).await,
            }
        };
        self.layers.around(&cx, Box::pin(body))
    }

    /// The span of an attempt, which every line of its log stands in.
    pub(crate) fn span(&self, job: &JobRecord, troubles: &Troubles) -> tracing::Span {
        let trace = Trace::of(&job.payload);
        let span = tracing::info_span!(
            "perform", job = %job.id, class = job.class, queue = job.queue,
            attempt = job.payload.executions() + 1,
            parent_job = trace.parent().map(tracing::field::display), trace_id = tracing::field::Empty,
        );
        self.layers.span(&trace, &span, troubles);
        span
    }

    pub(crate) fn enqueue_hooks(&self) -> &EnqueueHooks {
        &self.enqueue_hooks
    }

    pub(crate) fn on_error(&self) -> Option<&OnError> {
        self.on_error.as_ref()
    }

    /// What the types among them say about being enqueued, by class.
    pub(crate) fn defaults(&self) -> &BTreeMap<String, Options> {
        &self.defaults
    }

    /// The handler of a class.
    #[must_use]
    pub fn get(&self, class: &str) -> Option<&Handler> {
        self.by_class.get(class)
    }

    /// The classes, sorted. A worker claims jobs of these only.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        self.by_class.keys().cloned().collect()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("by_class", &self.by_class).finish_non_exhaustive()
    }
}

impl<S: Clone + Send + Sync + 'static> From<Registry<S>> for Handlers {
    fn from(registry: Registry<S>) -> Self {
        registry.into_handlers()
    }
}
