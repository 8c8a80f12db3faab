//! Layers around an attempt.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use async_trait::async_trait;
use tracing::Span;

use super::caught;
use crate::capsule::panics;
use crate::job::context::{BareContext, Context};
use crate::job::error::{JobError, JobResult};
use crate::job::registry::Running;
use crate::job::trace::Trace;
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// What is done around every attempt of a worker, or of a class.
///
/// ```
/// use goodjob_core::{Body, Context, JobResult, PerformHook};
/// # struct App;
///
/// struct Timed;
///
/// #[async_trait::async_trait]
/// impl PerformHook<App> for Timed {
///     async fn around(&self, cx: &Context<App>, body: Body) -> JobResult {
///         let begun = std::time::Instant::now();
///         let result = body.run().await;
///         println!("{} took {:?}: {result:?}", cx.class(), begun.elapsed());
///         result
///     }
/// }
/// ```
///
/// Hooks are a part of the attempt: they run in its task, within its time limit, and are dropped with it
/// when it is cut off. A panic in `before` or `around`, or in the body, is an error of the type
/// [`Panicked`](crate::Panicked) to all layers outside, and to the policy in the end. A panic in `after`
/// changes nothing that has happened: the result stands, and the panic is a [`Trouble`].
#[async_trait]
pub trait PerformHook<S: Send + Sync + 'static = ()>: Send + Sync + 'static {
    /// Before the span `perform` is entered, for the parent of a trace or a field. Only hooks of the
    /// application are asked, and a panic is a [`Trouble`].
    fn span(&self, trace: &Trace, span: &Span) {
        let _ = (trace, span);
    }

    /// Before the attempt. An error ends it, unless a layer outside makes something else of it, and goes
    /// through the policy; this hook's `around` and `after` and everything inside are passed over.
    async fn before(&self, cx: &Context<S>) -> JobResult {
        let _ = cx;
        Ok(())
    }

    /// Around the attempt. What it returns is how the attempt went, whatever happened inside.
    async fn around(&self, cx: &Context<S>, body: Body) -> JobResult {
        let _ = cx;
        body.run().await
    }

    /// After the attempt, however it went. Called whenever this hook's `before` succeeded.
    async fn after(&self, cx: &Context<S>, result: &JobResult) {
        let _ = (cx, result);
    }
}

/// An attempt with the layers inside: what [`PerformHook::around`] is around.
#[must_use = "the job is done when this is run"]
pub struct Body(Running);

impl Body {
    /// Goes on.
    ///
    /// # Errors
    /// What the job or a layer inside returned. A panic is an error, too.
    pub async fn run(self) -> JobResult {
        self.0.await
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// The hooks of a class, in their order.
///
/// ```
/// use goodjob_core::{Context, JobError, JobResult, PerformHooks};
/// # struct App { ready: bool }
/// fn on_perform() -> PerformHooks<App> {
///     PerformHooks::new()
///         .before(|cx: &Context<App>| match cx.state().ready {
///             true => Ok(()),
///             false => Err(JobError::snooze(std::time::Duration::from_secs(60))),
///         })
///         .after(|cx: &Context<App>, result: &JobResult| {
///             println!("{}: {}", cx.job_id(), result.is_ok());
///         })
/// }
/// # drop(on_perform());
/// ```
#[derive(Clone)]
pub struct PerformHooks<S: Send + Sync + 'static = ()>(Vec<Arc<dyn PerformHook<S>>>);

impl<S: Send + Sync + 'static> Default for PerformHooks<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Send + Sync + 'static> PerformHooks<S> {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a hook, inside those that are there.
    #[must_use]
    pub fn with(mut self, hook: impl PerformHook<S>) -> Self {
        self.0.push(Arc::new(hook));
        self
    }

    /// Adds a function that is called before an attempt, for what needs not wait.
    #[must_use]
    pub fn before(self, hook: impl Fn(&Context<S>) -> JobResult + Send + Sync + 'static) -> Self {
        self.with(Before(hook))
    }

    /// Adds a function that is called after an attempt, for what needs not wait.
    #[must_use]
    pub fn after(self, hook: impl Fn(&Context<S>, &JobResult) + Send + Sync + 'static) -> Self {
        self.with(After(hook))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body with all layers around it.
    pub(in crate::job) fn around(&self, cx: &Context<S>, body: Running) -> Running
    where
        S: Clone,
    {
        if self.is_empty() {
            return body;
        }
        let body: Running = Box::pin(to_error(body));
        self.0.iter().rev().fold(body, |inside, hook| layer(Arc::clone(hook), cx.clone(), inside))
    }
}

impl<S: Send + Sync + 'static> fmt::Debug for PerformHooks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PerformHooks({})", self.0.len())
    }
}

struct Before<F>(F);

#[async_trait]
impl<S, F> PerformHook<S> for Before<F>
where
    S: Send + Sync + 'static,
    F: Fn(&Context<S>) -> JobResult + Send + Sync + 'static,
{
    async fn before(&self, cx: &Context<S>) -> JobResult {
        self.0(cx)
    }
}

struct After<F>(F);

#[async_trait]
impl<S, F> PerformHook<S> for After<F>
where
    S: Send + Sync + 'static,
    F: Fn(&Context<S>, &JobResult) + Send + Sync + 'static,
{
    async fn after(&self, cx: &Context<S>, result: &JobResult) {
        self.0(cx, result);
    }
}

/// One hook around what is inside it.
fn layer<S: Send + Sync + 'static>(
    hook: Arc<dyn PerformHook<S>>,
    cx: Context<S>,
    inside: Running,
) -> Running {
    Box::pin(async move {
        to_error(hook.before(&cx)).await?;
        let result = to_error(hook.around(&cx, Body(inside))).await;
        if let Err(panicked) = caught(hook.after(&cx, &result)).await {
            let trouble =
                Trouble::new(TroubleKind::HookPanicked, "a hook panicked after an attempt");
            cx.troubles().report(trouble.of_job(cx.job_id()).because(panicked));
        }
        result
    })
}

async fn to_error(part: impl Future<Output = JobResult>) -> JobResult {
    caught(part).await.unwrap_or_else(|panicked| Err(JobError::from_panic(panicked)))
}

/// The hooks of an application around the jobs of every class, whatever state they know.
#[derive(Clone, Default)]
pub(in crate::job) struct Layers(Vec<Arc<dyn Layer>>);

impl Layers {
    pub(in crate::job) fn add<S>(&mut self, state: S, hook: impl PerformHook<S>)
    where
        S: Clone + Send + Sync + 'static,
    {
        self.0.push(Arc::new(WithState { state, hook: Arc::new(hook) }));
    }

    pub(in crate::job) fn span(&self, trace: &Trace, span: &Span, troubles: &Troubles) {
        for layer in &self.0 {
            let named = AssertUnwindSafe(|| layer.span(trace, span));
            if let Err(payload) = panic::catch_unwind(named) {
                let what = "a hook panicked that was asked about a span";
                let trouble = Trouble::new(TroubleKind::HookPanicked, what);
                troubles.report(trouble.because(panics::describe_here(&*payload)));
            }
        }
    }

    /// The body with all layers around it.
    pub(in crate::job) fn around(&self, cx: &BareContext, body: Running) -> Running {
        if self.0.is_empty() {
            return body;
        }
        let body: Running = Box::pin(to_error(body));
        self.0.iter().rev().fold(body, |inside, layer| layer.around(cx.clone(), inside))
    }
}

/// A hook whose state is known.
pub(in crate::job) trait Layer: Send + Sync {
    fn span(&self, trace: &Trace, span: &Span);
    fn around(&self, cx: BareContext, inside: Running) -> Running;
}

struct WithState<S: Send + Sync + 'static> {
    state: S,
    hook: Arc<dyn PerformHook<S>>,
}

impl<S: Clone + Send + Sync + 'static> Layer for WithState<S> {
    fn span(&self, trace: &Trace, span: &Span) {
        self.hook.span(trace, span);
    }

    fn around(&self, cx: BareContext, inside: Running) -> Running {
        layer(Arc::clone(&self.hook), cx.with_state(self.state.clone()), inside)
    }
}
