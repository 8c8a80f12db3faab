//! Layers around the storing of jobs.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::caught;
use crate::job::{EnqueueError, Job, NewJob};
use crate::store::Inserted;
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// Why a job is not to be enqueued. A text is one: `Err("the shop is closed")?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    reason: String,
}

impl Stop {
    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl<T: Into<String>> From<T> for Stop {
    fn from(reason: T) -> Self {
        Self { reason: reason.into() }
    }
}

/// What is done around every enqueue of an [`Adapter`](crate::Adapter), or of a class.
///
/// ```
/// use goodjob_core::{EnqueueError, EnqueueHook, NewJob, Stop, Storing};
///
/// struct Tenants { tenant: String, closed: bool }
///
/// #[async_trait::async_trait]
/// impl EnqueueHook for Tenants {
///     async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
///         if self.closed {
///             return Err("the tenant has left".into()); // the caller gets EnqueueError::Stopped
///         }
///         job.add_label(&format!("tenant:{}", self.tenant));
///         Ok(())
///     }
///
///     async fn around(&self, jobs: Storing<'_>) -> Result<(), EnqueueError> {
///         let number = jobs.jobs().count();
///         jobs.run().await?;
///         println!("{number} more jobs");
///         Ok(())
///     }
/// }
/// ```
///
/// A hook runs in the caller's task, once for each call, also if the call repeats another one. A panic is
/// [`EnqueueError::HookPanicked`]; that of `after`, when the job is stored, is a [`Trouble`] only.
#[async_trait]
pub trait EnqueueHook: Send + Sync + 'static {
    /// Before a job is stored: may change it (queue, priority, labels, due time and the rest), or stop
    /// the call with a reason. Of many jobs in one call all are stopped.
    async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
        let _ = job;
        Ok(())
    }

    /// Around the storing of all jobs of a call. What it returns is what the caller gets. One that does
    /// not [`run`](Storing::run) what it is given stops the call.
    async fn around(&self, jobs: Storing<'_>) -> Result<(), EnqueueError> {
        jobs.run().await
    }

    /// After a job was stored; in a transaction of the caller's, before that commits. Not called when it
    /// could not be stored, or a limit stopped it.
    async fn after(&self, job: &NewJob) {
        let _ = job;
    }
}

/// The hooks of a class or an application, in their order. Cheap to clone.
///
/// ```
/// use goodjob_core::{EnqueueHooks, Job, NewJob};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Report { urgent: bool }
/// impl Job for Report {
///     const CLASS: &'static str = "ReportJob";
///     fn on_enqueue() -> EnqueueHooks {
///         EnqueueHooks::new().before(|job: &mut NewJob| {
///             let report: Report = job.arguments.clone().decode().map_err(|e| e.to_string())?;
///             if report.urgent {
///                 job.priority = Some(-10);
///             }
///             Ok(())
///         })
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct EnqueueHooks(Option<Arc<Vec<Arc<dyn EnqueueHook>>>>);

impl EnqueueHooks {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a hook, inside those that are there.
    #[must_use]
    pub fn with(mut self, hook: impl EnqueueHook) -> Self {
        Arc::make_mut(self.0.get_or_insert_default()).push(Arc::new(hook));
        self
    }

    /// Adds a function that is called before a job is stored, for what needs not wait.
    #[must_use]
    pub fn before(
        self,
        hook: impl Fn(&mut NewJob) -> Result<(), Stop> + Send + Sync + 'static,
    ) -> Self {
        self.with(Before(hook))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Those of a class. They are made once, so that jobs of one class share them.
    pub(crate) fn of<J: Job>() -> Self {
        static OF_CLASSES: LazyLock<RwLock<HashMap<TypeId, EnqueueHooks>>> =
            LazyLock::new(RwLock::default);
        let hooks = J::on_enqueue();
        if hooks.is_empty() {
            return hooks;
        }
        let known = OF_CLASSES.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&TypeId::of::<J>()) {
            return known.clone();
        }
        drop(known);
        let mut known = OF_CLASSES.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(TypeId::of::<J>()).or_insert(hooks).clone()
    }

    /// Stores jobs in `sink` with the layers of these hooks, the application's, and inside them those
    /// that the jobs brought along. Says of each what became of it, in the same order.
    ///
    /// # Errors
    /// What a hook or the sink says; also when a hook did not go on.
    pub async fn store(
        &self,
        jobs: &mut [NewJob],
        troubles: &Troubles,
        sink: &mut (dyn Sink + '_),
    ) -> Result<Vec<Inserted>, EnqueueError> {
        let layers = self.layers(jobs);
        if layers.is_empty() {
            return checked(jobs, sink).await;
        }
        let stored = OnceLock::new();
        let all = Storing { jobs, layers: &layers, of: None, stored: &stored, troubles, sink };
        all.run().await?;
        match stored.into_inner() {
            Some(stored) => Ok(stored),
            None => {
                let class = jobs.first().map(|job| job.class.clone()).unwrap_or_default();
                Err(EnqueueError::Stopped { class, reason: "a hook did not go on".to_owned() })
            }
        }
    }

    fn layers(&self, jobs: &[NewJob]) -> Vec<Layer> {
        let of_all = self.0.iter().flat_map(|hooks| hooks.iter());
        let mut layers: Vec<Layer> =
            of_all.map(|hook| Layer { hook: Arc::clone(hook), of: Self::new() }).collect();
        let mut seen: Vec<&Self> = Vec::new();
        for hooks in jobs.iter().map(|job| &job.hooks) {
            if hooks.is_empty() || seen.contains(&hooks) {
                continue;
            }
            seen.push(hooks);
            let of_class = hooks.0.iter().flat_map(|hooks| hooks.iter());
            layers.extend(of_class.map(|hook| Layer { hook: Arc::clone(hook), of: hooks.clone() }));
        }
        layers
    }
}

impl PartialEq for EnqueueHooks {
    /// Hooks are the same when they were made once and cloned.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            (one, another) => one.is_none() && another.is_none(),
        }
    }
}

impl fmt::Debug for EnqueueHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnqueueHooks({})", self.0.as_ref().map_or(0, |hooks| hooks.len()))
    }
}

struct Before<F>(F);

#[async_trait]
impl<F: Fn(&mut NewJob) -> Result<(), Stop> + Send + Sync + 'static> EnqueueHook for Before<F> {
    async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
        self.0(job)
    }
}

/// Where jobs go when all hooks have had their say: a store, or a transaction.
#[async_trait]
pub trait Sink: Send {
    /// Stores all of them that no limit stops, or none. Says of each what became of it, in the same order.
    /// Called once at most.
    ///
    /// # Errors
    /// When they are not stored.
    async fn store(&mut self, jobs: &[NewJob]) -> Result<Vec<Inserted>, EnqueueError>;
}

/// A hook, and the jobs that it is about.
struct Layer {
    hook: Arc<dyn EnqueueHook>,
    /// None for all jobs, else those that brought these hooks along.
    of: EnqueueHooks,
}

impl Layer {
    fn is_about(&self, job: &NewJob) -> bool {
        self.of.is_empty() || self.of == job.hooks
    }
}

/// The storing of jobs with the layers inside: what [`EnqueueHook::around`] is around.
#[must_use = "jobs are stored when this is run"]
pub struct Storing<'a> {
    jobs: &'a mut [NewJob],
    layers: &'a [Layer],
    /// The layer that this is given to.
    of: Option<&'a Layer>,
    /// What became of each job, once they are stored.
    stored: &'a OnceLock<Vec<Inserted>>,
    troubles: &'a Troubles,
    sink: &'a mut (dyn Sink + 'a),
}

impl<'a> Storing<'a> {
    /// The jobs: all of the call, or those of the class whose hook this is. Layers inside may still
    /// change them.
    pub fn jobs(&self) -> impl Iterator<Item = &NewJob> {
        self.jobs.iter().filter(|job| self.of.is_none_or(|layer| layer.is_about(job)))
    }

    /// Goes on.
    ///
    /// # Errors
    /// When the jobs were not stored.
    pub fn run(self) -> BoxFuture<'a, Result<(), EnqueueError>> {
        Box::pin(self.go_on())
    }

    async fn go_on(self) -> Result<(), EnqueueError> {
        let Self { jobs, layers, stored, troubles, sink, .. } = self;
        let Some((layer, layers)) = layers.split_first() else {
            let answers = checked(jobs, sink).await?;
            // Nobody else was here: the way in is used up by going on.
            stored.get_or_init(|| answers);
            return Ok(());
        };
        for job in jobs.iter_mut().filter(|job| layer.is_about(job)) {
            let said = caught(layer.hook.before(job)).await.map_err(EnqueueError::HookPanicked)?;
            if let Err(Stop { reason }) = said {
                return Err(EnqueueError::Stopped { class: job.class.clone(), reason });
            }
        }
        let inside = Storing { jobs, layers, of: Some(layer), stored, troubles, sink };
        caught(layer.hook.around(inside)).await.map_err(EnqueueError::HookPanicked)??;
        let Some(answers) = stored.get() else { return Ok(()) };
        let is_stopped = |n| matches!(answers.get(n), Some(Inserted::Stopped { .. }));
        let kept = jobs.iter().enumerate().filter(|(n, _)| !is_stopped(*n)).map(|(_, job)| job);
        for job in kept.filter(|job| layer.is_about(job)) {
            if let Err(panicked) = caught(layer.hook.after(job)).await {
                let trouble =
                    Trouble::new(TroubleKind::HookPanicked, "a hook panicked after an enqueue");
                troubles.report(trouble.of_job(job.id).because(panicked));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Storing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storing").field("jobs", &self.jobs.len()).finish_non_exhaustive()
    }
}

/// What hooks made of a job has to be storable, too.
async fn checked(
    jobs: &[NewJob],
    sink: &mut (dyn Sink + '_),
) -> Result<Vec<Inserted>, EnqueueError> {
    jobs.iter().try_for_each(NewJob::check)?;
    sink.store(jobs).await
}
