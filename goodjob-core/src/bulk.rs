//! Many jobs that are collected first and enqueued at once.

use crate::adapter::Adapter;
use crate::job::{EnqueueError, Job, NewJob};
use crate::store::Inserted;

/// Collects jobs of all classes, to enqueue them in one call, all or none.
///
/// ```
/// # use goodjob_core::{Adapter, Bulk, EnqueueError, Inserted, Job};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Hello { name: String }
/// # impl Job for Hello { const CLASS: &'static str = "HelloJob"; }
/// # async fn example(adapter: &Adapter) -> Result<(), EnqueueError> {
/// let mut bulk = Bulk::new();
/// bulk.add(Hello { name: "Ada".into() })?;
/// bulk.add(Hello { name: "Grace".into() })?.priority = Some(-5);
/// let stored = bulk.enqueue(adapter).await?;
/// assert!(stored.iter().all(|job| job.is_new()));
/// # Ok(()) }
/// ```
#[must_use = "jobs are enqueued when the collection is"]
#[derive(Clone, Debug, Default)]
pub struct Bulk {
    jobs: Vec<NewJob>,
}

impl Bulk {
    /// Without a job.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job with the defaults of its class, and returns it, to change its options.
    ///
    /// # Errors
    /// When its arguments cannot be stored; the others stay.
    pub fn add<J: Job>(&mut self, job: J) -> Result<&mut NewJob, EnqueueError> {
        Ok(self.push(NewJob::new(&job)?))
    }

    /// Adds a job that was made already.
    pub fn push(&mut self, job: NewJob) -> &mut NewJob {
        let place = self.jobs.len();
        self.jobs.push(job);
        &mut self.jobs[place]
    }

    /// How many jobs it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The jobs, for a transaction of one's own.
    #[must_use]
    pub fn into_jobs(self) -> Vec<NewJob> {
        self.jobs
    }

    /// Enqueues them. Says of each what became of it, in the order in which they were added.
    ///
    /// # Errors
    /// When one of them cannot be stored, or the store does not take them; then none is enqueued.
    pub async fn enqueue(self, adapter: &Adapter) -> Result<Vec<Inserted>, EnqueueError> {
        adapter.enqueue_all(self.jobs).await
    }
}

impl Extend<NewJob> for Bulk {
    fn extend<T: IntoIterator<Item = NewJob>>(&mut self, jobs: T) {
        self.jobs.extend(jobs);
    }
}

impl FromIterator<NewJob> for Bulk {
    fn from_iter<T: IntoIterator<Item = NewJob>>(jobs: T) -> Self {
        Self { jobs: jobs.into_iter().collect() }
    }
}

impl IntoIterator for Bulk {
    type Item = NewJob;
    type IntoIter = std::vec::IntoIter<NewJob>;

    fn into_iter(self) -> Self::IntoIter {
        self.jobs.into_iter()
    }
}
