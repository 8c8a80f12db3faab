//! Pausing: jobs of a queue, a class or with a label stay queued until somebody takes that back.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use crate::store::{JobRecord, StoreError};

/// Something whose jobs may be paused: they stay queued, and no worker starts them. Those that run go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pause {
    /// A queue.
    Queue(String),
    /// A class of jobs, whatever their queue.
    Class(String),
    /// Jobs with a label among theirs.
    Label(String),
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue {name:?}"),
            Self::Class(name) => write!(f, "class {name:?}"),
            Self::Label(name) => write!(f, "label {name:?}"),
        }
    }
}

/// Everything that is paused, each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// Queues.
    pub queues: Vec<String>,
    /// Classes.
    #[serde(rename = "job_classes")]
    pub classes: Vec<String>,
    /// Labels.
    pub labels: Vec<String>,
}

impl Paused {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Pause> {
        let queues = self.queues.iter().cloned().map(Pause::Queue);
        let classes = self.classes.iter().cloned().map(Pause::Class);
        queues.chain(classes).chain(self.labels.iter().cloned().map(Pause::Label))
    }

    /// Whether a job is held back.
    #[must_use]
    pub fn holds(&self, job: &JobRecord) -> bool {
        job.queue.as_ref().is_some_and(|queue| self.queues.contains(queue))
            || self.classes.contains(&job.class)
            || job.labels.iter().any(|label| self.labels.contains(label))
    }
}

impl FromIterator<Pause> for Paused {
    fn from_iter<I: IntoIterator<Item = Pause>>(pauses: I) -> Self {
        let mut paused = Self::default();
        for pause in pauses {
            match pause {
                Pause::Queue(name) => paused.queues.push(name),
                Pause::Class(name) => paused.classes.push(name),
                Pause::Label(name) => paused.labels.push(name),
            }
        }
        for names in [&mut paused.queues, &mut paused.classes, &mut paused.labels] {
            names.sort_unstable();
            names.dedup();
        }
        paused
    }
}

/// A store whose jobs can be paused. Its claims pass by what is paused;
/// [`Store::claim_jobs`](crate::Store::claim_jobs) does not.
#[async_trait]
pub trait PauseStore: Send + Sync {
    /// Pauses jobs. To pause what is paused changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn pause(&self, pause: &Pause) -> Result<(), StoreError>;

    /// Takes a pause back, and wakes workers. False when there was none.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn unpause(&self, pause: &Pause) -> Result<bool, StoreError>;

    /// What is paused.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn paused(&self) -> Result<Paused, StoreError>;
}
