//! An entry of cron: a key, a schedule, and the job that each tick enqueues.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::schedule::{Schedule, ScheduleError};
use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::job::{Arguments, BoxError, Due, EnqueueError, Job, Limits, NewJob, Options, Tick};

type Change = dyn Fn(&mut NewJob) + Send + Sync;
type Make = dyn Fn(&Tick) -> Result<Option<NewJob>, BoxError> + Send + Sync;

/// A job that is enqueued at each tick of a schedule.
///
/// ```
/// use goodjob_core::{CronEntry, Job};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Report { format: String }
/// # impl Job for Report { const CLASS: &'static str = "ReportJob"; }
///
/// let report = Report { format: "pdf".into() };
/// let entry = CronEntry::new("report", "every weekday at 9:30 Europe/Paris", report)?
///     .queue("reports")
///     .description("The numbers of yesterday");
/// assert_eq!(entry.class(), Some("ReportJob"));
/// # Ok::<(), goodjob_core::CronError>(())
/// ```
#[derive(Clone)]
pub struct CronEntry {
    key: String,
    schedule: Schedule,
    job: Template,
    changes: Vec<Arc<Change>>,
    description: Option<String>,
    enabled_by_default: bool,
}

#[derive(Clone)]
enum Template {
    /// The same at each tick, but for its id.
    Same(Box<NewJob>),
    Made(Arc<Make>),
}

impl CronEntry {
    /// An entry whose ticks enqueue `job`, with the defaults of its class.
    ///
    /// # Errors
    /// When the key is blank, or schedule or job are not as they have to be.
    pub fn new<J: Job, S>(key: impl Into<String>, schedule: S, job: J) -> Result<Self, CronError>
    where
        S: TryInto<Schedule, Error: Into<ScheduleError>>,
    {
        Self::of(key.into(), schedule, Template::Same(Box::new(NewJob::new(&job)?)))
    }

    /// An entry for a class that this program has no type for, perhaps one of Ruby's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_class<S>(
        key: impl Into<String>,
        schedule: S,
        class: impl Into<String>,
        arguments: Arguments,
    ) -> Result<Self, CronError>
    where
        S: TryInto<Schedule, Error: Into<ScheduleError>>,
    {
        let job = NewJob::of_class(class, arguments, Options::new())?;
        Self::of(key.into(), schedule, Template::Same(Box::new(job)))
    }

    /// An entry whose job is made anew for each tick: class, arguments and options may depend on the time.
    /// `None` leaves the tick out. An error, and a panic, is logged, and that tick is lost. Which process's
    /// function makes the job that is stored is not known beforehand.
    ///
    /// ```
    /// use goodjob_core::{Arguments, CronEntry, NewJob, Options};
    /// let entry = CronEntry::made("rollup", "0 1 * * *", |tick| {
    ///     let day = tick.at.map(|at| at.date_naive().to_string());
    ///     let arguments = Arguments::positional(vec![day.into()])?;
    ///     Ok(Some(NewJob::of_class("RollupJob", arguments, Options::new())?))
    /// })?;
    /// # drop(entry);
    /// # Ok::<(), goodjob_core::CronError>(())
    /// ```
    ///
    /// # Errors
    /// When the key is blank, or the schedule is none.
    pub fn made<S>(
        key: impl Into<String>,
        schedule: S,
        make: impl Fn(&Tick) -> Result<Option<NewJob>, BoxError> + Send + Sync + 'static,
    ) -> Result<Self, CronError>
    where
        S: TryInto<Schedule, Error: Into<ScheduleError>>,
    {
        Self::of(key.into(), schedule, Template::Made(Arc::new(make)))
    }

    fn of<S>(key: String, schedule: S, job: Template) -> Result<Self, CronError>
    where
        S: TryInto<Schedule, Error: Into<ScheduleError>>,
    {
        if key.trim().is_empty() || key.contains('\0') {
            return Err(CronError::Key { key });
        }
        let schedule = schedule.try_into().map_err(|error| CronError::Schedule(error.into()))?;
        let (changes, description) = (Vec::new(), None);
        Ok(Self { key, schedule, job, changes, description, enabled_by_default: true })
    }

    /// Overrides the queue.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> Self {
        let queue = queue.into();
        self.with(move |job| job.queue.clone_from(&queue))
    }

    /// Overrides the priority. A smaller number runs first.
    #[must_use]
    pub fn priority(self, priority: i32) -> Self {
        self.with(move |job| job.priority = Some(priority))
    }

    /// Starts the job no sooner than `wait` after it was stored.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        self.with(move |job| job.due = Due::In(wait))
    }

    /// Adds a label.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        let label = label.into();
        self.with(move |job| job.add_label(&label))
    }

    /// Overrides whether workers are told of the job at once.
    #[must_use]
    pub fn notify(self, notify: bool) -> Self {
        self.with(move |job| job.notify = notify)
    }

    /// Limits its jobs, in the place of the limits of their class.
    ///
    /// # Errors
    /// When the limits cannot be kept.
    pub fn limited(self, limits: Limits) -> Result<Self, EnqueueError> {
        limits.check()?;
        Ok(self.with(move |job| job.set_limits(limits.clone())))
    }

    /// What it is for, as people see it.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Off until a person switches it on. Otherwise it is on until a person switches it off.
    #[must_use]
    pub fn disabled_by_default(mut self) -> Self {
        self.enabled_by_default = false;
        self
    }

    fn with(mut self, change: impl Fn(&mut NewJob) + Send + Sync + 'static) -> Self {
        match &mut self.job {
            Template::Same(job) => change(job),
            Template::Made(_) => self.changes.push(Arc::new(change)),
        }
        self
    }

    /// Its name: no other entry has it, and processes that share it share its ticks.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When it is due.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The class of its jobs; `None` if each is made anew.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        match &self.job {
            Template::Same(job) => Some(&job.class),
            Template::Made(_) => None,
        }
    }

    /// The arguments of its jobs; `None` if each is made anew.
    #[must_use]
    pub fn arguments(&self) -> Option<&Arguments> {
        match &self.job {
            Template::Same(job) => Some(&job.arguments),
            Template::Made(_) => None,
        }
    }

    /// What it is for.
    #[must_use]
    pub fn describes(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Whether it is on as long as no person says otherwise.
    #[must_use]
    pub fn is_enabled_by_default(&self) -> bool {
        self.enabled_by_default
    }

    /// A new job for the tick at `at`, ready to be stored; `None` if that is to be left out.
    ///
    /// # Errors
    /// When the job of an entry that was [`made`](Self::made) cannot be, or cannot be stored.
    pub fn job(&self, at: Timestamp) -> Result<Option<NewJob>, BoxError> {
        let tick = Tick { key: self.key.clone(), at: Some(at) };
        let made = match &self.job {
            Template::Same(job) => Some(NewJob { id: JobId::generate(), ..(**job).clone() }),
            Template::Made(make) => {
                let make = || make(&tick);
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(make))
                    .unwrap_or_else(|_| Err("the function that makes its job panicked".into()))?
            }
        };
        let Some(mut job) = made else { return Ok(None) };
        self.changes.iter().for_each(|change| change(&mut job));
        job.ties.tick = Some(tick);
        job.check()?;
        Ok(Some(job))
    }
}

impl fmt::Debug for CronEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CronEntry")
            .field("key", &self.key)
            .field("schedule", &self.schedule)
            .field("class", &self.class())
            .field("enabled_by_default", &self.enabled_by_default)
            .finish_non_exhaustive()
    }
}

/// By everything that can be compared; functions by being the same one.
impl PartialEq for CronEntry {
    fn eq(&self, other: &Self) -> bool {
        let same_job = match (&self.job, &other.job) {
            (Template::Same(one), Template::Same(other)) => one == other,
            (Template::Made(one), Template::Made(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        let same_changes = self.changes.len() == other.changes.len()
            && self.changes.iter().zip(&other.changes).all(|(one, other)| Arc::ptr_eq(one, other));
        same_job
            && same_changes
            && self.key == other.key
            && self.schedule == other.schedule
            && self.description == other.description
            && self.enabled_by_default == other.enabled_by_default
    }
}

/// Why there is no such entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// The key cannot be one.
    #[error("key: found {key:?}, expected a text that is not blank")]
    Key {
        /// The key.
        key: String,
    },
    /// The schedule cannot be read.
    #[error("cron: {0}")]
    Schedule(#[from] ScheduleError),
    /// The job cannot be stored.
    #[error(transparent)]
    Job(#[from] EnqueueError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn each_tick_has_a_job_of_its_own_with_all_options() {
        let entry = CronEntry::of_class("k", "@daily", "A", Arguments::default()).unwrap();
        let entry = entry.queue("q").priority(-3).wait(Duration::from_secs(5)).label("l");
        let entry = entry.notify(false).description("d").disabled_by_default();
        let one = entry.job(at()).unwrap().unwrap();
        let other = entry.job(at()).unwrap().unwrap();
        assert_ne!(one.id, other.id);
        assert_eq!((one.queue.as_str(), one.priority, one.notify), ("q", Some(-3), false));
        assert_eq!(one.due, Due::In(Duration::from_secs(5)));
        assert_eq!(one.labels, ["l"]);
        assert_eq!(one.ties.tick, Some(Tick { key: "k".to_owned(), at: Some(at()) }));
        assert_eq!((entry.describes(), entry.is_enabled_by_default()), (Some("d"), false));
    }

    #[test]
    fn a_job_may_be_made_for_its_tick_or_left_out() {
        let made = |make: fn(&Tick) -> Result<Option<NewJob>, BoxError>| {
            CronEntry::made("k", "@daily", make).unwrap().queue("q").job(at())
        };
        let job = made(|tick| {
            let class = format!("A{}", tick.at.unwrap().timestamp());
            Ok(Some(NewJob::of_class(class, Arguments::default(), Options::new())?))
        });
        let job = job.unwrap().unwrap();
        assert_eq!((job.class.as_str(), job.queue.as_str()), ("A1800000000", "q"));
        assert!(made(|_| Ok(None)).unwrap().is_none());
        assert_eq!(made(|_| Err("no".into())).unwrap_err().to_string(), "no");
        assert!(made(|_| panic!("on purpose")).unwrap_err().to_string().contains("panicked"));
    }

    #[test]
    fn what_cannot_be_an_entry_is_refused() {
        let new = |key: &str, line: &str, class: &str| {
            CronEntry::of_class(key, line, class, Arguments::default()).unwrap_err().to_string()
        };
        assert_eq!(new(" ", "@daily", "A"), "key: found \" \", expected a text that is not blank");
        assert!(new("k", "@dayly", "A").starts_with("cron: found \"@dayly\": expected 5 or 6"));
        assert_eq!(new("k", "@daily", ""), "class: found a blank name, expected a text");
    }
}
