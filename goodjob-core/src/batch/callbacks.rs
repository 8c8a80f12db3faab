//! How the job of a callback is made.

use std::collections::BTreeMap;

use super::callback::{BatchCallback, BatchEvent};
use super::record::BatchRecord;
use crate::job::ruby::ValueError;
use crate::job::{Arguments, EnqueueError, Job, NewJob, Options};

/// The application that references to batches name, unless another is set. Ruby finds a record by a
/// reference to an application that it does not know as by one to its own; only an application that has set
/// a locator for its own name needs that name here.
pub const DEFAULT_GLOBALID_APP: &str = "goodjob";

/// What a process knows of callbacks: how references name the application, and what the classes say that
/// are called back. A worker adds the classes that it can do by itself.
///
/// ```
/// use std::sync::Arc;
/// use goodjob_core::{Backend, Callbacks, Clock, MemoryStore, Options};
///
/// // One class of Ruby's is called back by batches that do not say where.
/// let callbacks = Callbacks::new()
///     .globalid_app("my-app")?
///     .class("ReportMailJob", Options::new().queue("mail").priority(5));
/// let backend = Backend::from(Arc::new(MemoryStore::new(Clock::system()))).with_callbacks(callbacks);
/// # drop(backend);
/// # Ok::<(), goodjob_core::ruby::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callbacks {
    app: String,
    classes: BTreeMap<String, Options>,
}

impl Default for Callbacks {
    /// No class, and [`DEFAULT_GLOBALID_APP`].
    fn default() -> Self {
        Self { app: DEFAULT_GLOBALID_APP.to_owned(), classes: BTreeMap::new() }
    }
}

impl Callbacks {
    /// No class is known, and references name [`DEFAULT_GLOBALID_APP`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How references to batches name the application: for Rails the application's name with dashes,
    /// `my-app` for `MyApp` (wire contract 2.3).
    ///
    /// # Errors
    /// When it cannot be part of a reference.
    pub fn globalid_app(mut self, app: &str) -> Result<Self, ValueError> {
        BatchCallback::new(app, crate::ids::BatchId::from(uuid::Uuid::nil()), BatchEvent::Finish)?;
        app.clone_into(&mut self.app);
        Ok(self)
    }

    /// Queue, priority and labels of a class, for a batch whose row does not name a queue and a priority
    /// for its callbacks.
    #[must_use]
    pub fn class(mut self, class: impl Into<String>, defaults: Options) -> Self {
        self.classes.insert(class.into(), defaults);
        self
    }

    /// [`class`](Self::class) with what the job's type says.
    #[must_use]
    pub fn job<J: Job>(self) -> Self {
        self.class(J::CLASS, J::defaults())
    }

    /// Adds classes. What is known of a class already stays.
    #[must_use]
    pub(crate) fn and(mut self, classes: BTreeMap<String, Options>) -> Self {
        for (class, defaults) in classes {
            self.classes.entry(class).or_insert(defaults);
        }
        self
    }

    /// The classes that are known.
    pub(super) fn into_classes(self) -> BTreeMap<String, Options> {
        self.classes
    }

    /// The job that tells of an event; `None` when the batch wants none. It goes to the queue, and has the
    /// priority, that the batch's row says, else those of its class, else `default` and 0.
    ///
    /// # Errors
    /// When the class or the queue cannot be stored.
    pub fn call(
        &self,
        batch: &BatchRecord,
        event: BatchEvent,
    ) -> Result<Option<NewJob>, EnqueueError> {
        let Some(class) = batch.spec.callback(event) else { return Ok(None) };
        let mut options = self.classes.get(class).cloned().unwrap_or_default();
        if let Some(queue) = batch.spec.callback_queue.as_deref().filter(|q| !q.trim().is_empty()) {
            options = options.queue(queue);
        }
        if let Some(priority) = batch.spec.callback_priority {
            options = options.priority(priority);
        }
        let told = BatchCallback::of_checked(&self.app, batch.id, event);
        let mut job = NewJob::of_class(class, Arguments::encode(&told)?, options)?;
        job.ties.batch_callback = Some(batch.id);
        Ok(Some(job))
    }
}
