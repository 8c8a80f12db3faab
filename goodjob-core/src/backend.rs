//! A backend: everything that enqueueing and running ask of the place where jobs are kept.

mod nothing;

use std::fmt;
use std::sync::Arc;

use crate::batch::{BatchStore, Callbacks};
use crate::cron::CronStore;
use crate::limits::LimitStore;
use crate::notes::Notes;
use crate::notifier::Notifier;
use crate::store::{MemoryStore, Store};
use crate::trouble::Troubles;
use nothing::Nothing;

/// The parts of a backend. Cheap to clone; clones share everything.
///
/// What every backend has is a [`Store`] and a [`Notifier`]. One of Postgres' is made from a reference
/// to its store: wherever an `impl Into<Backend>` is asked for, `&store` will do.
///
/// ```
/// use std::sync::Arc;
/// use goodjob_core::{Backend, Clock, MemoryStore};
/// let memory = Arc::new(MemoryStore::new(Clock::system()));
/// let backend = Backend::new(memory.clone(), memory);
/// # drop(backend);
/// ```
#[derive(Clone)]
pub struct Backend {
    store: Arc<dyn Store>,
    notifier: Arc<dyn Notifier>,
    batches: Option<Arc<dyn BatchStore>>,
    callbacks: Callbacks,
    cron: Option<Arc<dyn CronStore>>,
    notes: Option<Arc<dyn Notes>>,
    troubles: Troubles,
    limits: Option<Arc<dyn LimitStore>>,
}

impl Backend {
    /// A backend that stores jobs and brings notices of them.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, notifier: Arc<dyn Notifier>) -> Self {
        Self {
            store,
            notifier,
            batches: None,
            callbacks: Callbacks::default(),
            cron: None,
            limits: None,
            notes: None,
            troubles: Troubles::default(),
        }
    }

    /// Adds where batches are kept. A backend without knows none: a job of one runs like any other.
    #[must_use]
    pub fn with_batches(mut self, batches: Arc<dyn BatchStore>) -> Self {
        self.batches = Some(batches);
        self
    }

    /// Sets how callbacks of batches are made.
    #[must_use]
    pub fn with_callbacks(mut self, callbacks: Callbacks) -> Self {
        self.callbacks = callbacks;
        self
    }

    /// The same with another store: one that follows what happens in it.
    pub(crate) fn with_store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = store;
        self
    }

    /// With what cron needs. A capsule with cron entries does not start on a backend without it.
    #[must_use]
    pub fn with_cron(mut self, cron: Arc<dyn CronStore>) -> Self {
        self.cron = Some(cron);
        self
    }

    /// One that has no jobs and takes none.
    pub(crate) fn none() -> Self {
        Self::new(Arc::new(Nothing), Arc::new(Nothing)).with_limits(Arc::new(Nothing))
    }

    /// Adds what keeps notes.
    #[must_use]
    pub fn with_notes(mut self, notes: Arc<dyn Notes>) -> Self {
        self.notes = Some(notes);
        self
    }

    /// Reports to where the backend itself reports.
    #[must_use]
    pub fn with_troubles(mut self, troubles: Troubles) -> Self {
        self.troubles = troubles;
        self
    }

    /// What keeps notes, if anything does.
    #[must_use]
    pub fn notes(&self) -> Option<&Arc<dyn Notes>> {
        self.notes.as_ref()
    }

    /// Where troubles are reported.
    #[must_use]
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// Where jobs are kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The same backend, which keeps limits by this. Without it no limited job begins.
    #[must_use]
    pub fn with_limits(mut self, limits: Arc<dyn LimitStore>) -> Self {
        self.limits = Some(limits);
        self
    }

    /// What keeps limits, if anything does.
    #[must_use]
    pub fn limits(&self) -> Option<&Arc<dyn LimitStore>> {
        self.limits.as_ref()
    }

    /// What brings notices.
    #[must_use]
    pub fn notifier(&self) -> &Arc<dyn Notifier> {
        &self.notifier
    }

    /// Where batches are kept, if they are.
    #[must_use]
    pub fn batches(&self) -> Option<&Arc<dyn BatchStore>> {
        self.batches.as_ref()
    }

    /// How callbacks of batches are made.
    #[must_use]
    pub fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    /// What keeps the switches of cron entries, if it has that.
    #[must_use]
    pub fn cron(&self) -> Option<&Arc<dyn CronStore>> {
        self.cron.as_ref()
    }
}

impl From<Arc<MemoryStore>> for Backend {
    fn from(memory: Arc<MemoryStore>) -> Self {
        Self::new(memory.clone(), memory.clone())
            .with_batches(memory.clone())
            .with_cron(memory.clone())
            .with_limits(memory.clone())
            .with_notes(memory)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}
