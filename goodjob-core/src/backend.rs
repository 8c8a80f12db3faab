//! A backend: everything that enqueueing and running ask of the place where jobs are kept.

use std::fmt;
use std::sync::Arc;

use crate::limits::LimitStore;
use crate::notifier::Notifier;
use crate::store::{MemoryStore, Store};

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
    limits: Option<Arc<dyn LimitStore>>,
}

impl Backend {
    /// A backend that stores jobs and brings notices of them.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, notifier: Arc<dyn Notifier>) -> Self {
        Self { store, notifier, limits: None }
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
}

impl From<Arc<MemoryStore>> for Backend {
    fn from(memory: Arc<MemoryStore>) -> Self {
        Self::new(memory.clone(), memory.clone()).with_limits(memory)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}
