//! What a test expects to be enqueued, and how it is told what is there instead.

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{Arguments, BatchId, Job, JobRecord, StoreError, Timestamp};

/// Jobs that a failure shows, the nearest first, and characters of their arguments.
const SHOWN: usize = 20;
const SHOWN_ARGUMENTS: usize = 300;

/// What a job is expected to be like. Made by [`assert_enqueued!`](crate::assert_enqueued), whose
/// conditions are the methods of this type.
///
/// Without [`waiting`](Self::waiting) or [`finished`](Self::finished) it does not matter what has become of the
/// job since: where a worker runs, it may be over already.
pub struct Expected<J> {
    conditions: Vec<Condition>,
    count: Option<usize>,
    job: PhantomData<fn() -> J>,
}

/// A job of any class, where [`Expected`] asks for a type.
#[derive(Debug)]
pub enum AnyJob {}

struct Condition {
    /// How a failure names it.
    text: String,
    holds: Box<dyn Fn(&JobRecord) -> bool>,
}

impl Expected<AnyJob> {
    /// A job of any class.
    #[must_use]
    pub fn any() -> Self {
        Self { conditions: Vec::new(), count: None, job: PhantomData }
    }

    /// Of this class, for which there may be no type.
    #[must_use]
    pub fn class(self, class: impl Into<String>) -> Self {
        let class = class.into();
        self.and(format!("of the class {class}"), move |job| job.class == class)
    }
}

impl<J: Job> Expected<J> {
    /// A job of the class of this type.
    #[must_use]
    pub fn job() -> Self {
        Expected { conditions: Vec::new(), count: None, job: PhantomData }
            .and(format!("of the class {}", J::CLASS), |job| job.class == J::CLASS)
    }

    /// With the arguments of this job: they are compared as they are stored.
    ///
    /// # Panics
    /// If those cannot be stored.
    #[must_use]
    pub fn args(self, args: J) -> Self {
        let args = Arguments::encode(&args).unwrap_or_else(|error| panic!("{error}"));
        let text = format!("with the arguments {}", json(args.as_stored()));
        // Stored once more, as another client may have stored the same in another way.
        self.and(text, move |job| {
            let decoded = decode::<J>(job).and_then(|job| Arguments::encode(&job).ok());
            decoded.is_some_and(|stored| stored == args)
        })
    }

    /// With arguments for which this holds.
    #[must_use]
    pub fn args_where(self, holds: impl Fn(&J) -> bool + 'static) -> Self {
        let text = "with arguments for which the closure holds".to_owned();
        self.and(text, move |job| decode::<J>(job).is_some_and(|job| holds(&job)))
    }
}

impl<J> Expected<J> {
    /// On this queue.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> Self {
        let queue = queue.into();
        let text = format!("on the queue {queue:?}");
        self.and(text, move |job| job.queue.as_deref() == Some(queue.as_str()))
    }

    /// With this priority.
    #[must_use]
    pub fn priority(self, priority: i32) -> Self {
        self.and(format!("with the priority {priority}"), move |job| job.priority == Some(priority))
    }

    /// With this label among its labels.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        let label = label.into();
        self.and(format!("with the label {label:?}"), move |job| job.labels.contains(&label))
    }

    /// With this concurrency key.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        let key = key.into();
        let text = format!("with the concurrency key {key:?}");
        self.and(text, move |job| job.ties.concurrency_key.as_ref() == Some(&key))
    }

    /// In this batch.
    #[must_use]
    pub fn batch(self, batch: BatchId) -> Self {
        self.and(format!("in the batch {batch}"), move |job| job.ties.batch == Some(batch))
    }

    /// For a tick of the cron entry of this key.
    #[must_use]
    pub fn cron(self, key: impl Into<String>) -> Self {
        let key = key.into();
        let text = format!("for a tick of {key:?}");
        self.and(text, move |job| job.ties.tick.as_ref().is_some_and(|tick| tick.key == key))
    }

    /// Due at this time, to the second.
    #[must_use]
    pub fn scheduled_at(self, at: Timestamp) -> Self {
        let text = format!("due at {at}");
        self.and(text, move |job| job.scheduled_at.is_some_and(|due| is_close(due - at)))
    }

    /// Due within this range of times.
    #[must_use]
    pub fn scheduled_within(self, range: impl RangeBounds<Timestamp> + Debug + 'static) -> Self {
        let text = format!("due within {range:?}");
        self.and(text, move |job| job.scheduled_at.is_some_and(|due| range.contains(&due)))
    }

    /// Due so long after it was enqueued, to the second.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        let expected = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        self.and(format!("due {wait:?} after it was enqueued"), move |job| {
            job.scheduled_at.is_some_and(|due| is_close((due - job.created_at) - expected))
        })
    }

    /// Neither being done nor over.
    #[must_use]
    pub fn waiting(self) -> Self {
        self.and("that waits".to_owned(), |job| {
            job.performed_at.is_none() && job.finished_at.is_none()
        })
    }

    /// Over, succeeded or discarded.
    #[must_use]
    pub fn finished(self) -> Self {
        self.and("that is over".to_owned(), |job| job.finished_at.is_some())
    }

    /// So many times. Otherwise at least once.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// Those among the jobs that are as expected, in the same order.
    ///
    /// # Panics
    /// If the jobs could not be read.
    #[track_caller]
    #[must_use]
    pub fn among(&self, jobs: Result<Vec<JobRecord>, StoreError>) -> Vec<JobRecord> {
        let jobs = read(jobs);
        jobs.into_iter().filter(|job| self.differences(job).is_empty()).collect()
    }

    /// [`among`](Self::among), of which there have to be as many as expected.
    ///
    /// # Panics
    /// If there are not; the text lists what is there instead.
    #[track_caller]
    pub fn assert_among(&self, jobs: Result<Vec<JobRecord>, StoreError>) -> Vec<JobRecord> {
        let jobs = read(jobs);
        let (found, others): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| self.differences(job).is_empty());
        let is_enough = self.count.map_or(!found.is_empty(), |count| count == found.len());
        assert!(is_enough, "{}", self.failure(&found, &others));
        found
    }

    /// None among the jobs is like this.
    ///
    /// # Panics
    /// If one is; the text lists them.
    #[track_caller]
    pub fn assert_not_among(&self, jobs: Result<Vec<JobRecord>, StoreError>) {
        let found = self.among(jobs);
        let shown: String = found.iter().take(SHOWN).map(|job| self.line(job)).collect();
        assert!(
            found.is_empty(),
            "expected no job {self}\nfound {}:\n{shown}",
            number(found.len(), "")
        );
    }

    fn and(mut self, text: String, holds: impl Fn(&JobRecord) -> bool + 'static) -> Self {
        self.conditions.push(Condition { text, holds: Box::new(holds) });
        self
    }

    /// The conditions that do not hold.
    fn differences(&self, job: &JobRecord) -> Vec<&str> {
        let unmet = self.conditions.iter().filter(|condition| !(condition.holds)(job));
        unmet.map(|condition| condition.text.as_str()).collect()
    }

    fn failure(&self, found: &[JobRecord], others: &[JobRecord]) -> String {
        let expected = match self.count {
            None => "a job".to_owned(),
            Some(count) => number(count, ""),
        };
        let mut text = format!("expected {expected} {self}\n");
        if !found.is_empty() {
            let lines: String = found.iter().take(SHOWN).map(|job| self.line(job)).collect();
            text += &format!("found {} like that:\n{lines}", number(found.len(), ""));
        }
        // The nearest first: most likely it was meant.
        let mut others: Vec<&JobRecord> = others.iter().collect();
        others.sort_by_key(|job| self.differences(job).len());
        let lines: String = others.iter().take(SHOWN).map(|job| self.line(job)).collect();
        text += &match others.len() {
            0 => "nothing else is enqueued\n".to_owned(),
            all => format!("{} enqueued:\n{lines}", number(all, "other ")),
        };
        if let Some(more @ 1..) = others.len().checked_sub(SHOWN) {
            text += &format!("  and {more} more\n");
        }
        text
    }

    fn line(&self, job: &JobRecord) -> String {
        let differences = self.differences(job);
        let unmet = match differences.is_empty() {
            true => String::new(),
            false => format!("    not {}\n", differences.join(", not ")),
        };
        format!("  {}\n{unmet}", Shown(job))
    }
}

/// The conditions, as the end of a sentence.
impl<J> fmt::Display for Expected<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conditions.as_slice() {
            [] => f.write_str("of any class"),
            all => {
                let texts: Vec<&str> = all.iter().map(|c| c.text.as_str()).collect();
                f.write_str(&texts.join(", "))
            }
        }
    }
}

impl<J> Debug for Expected<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expected({self})")
    }
}

/// A job in a line.
struct Shown<'a>(&'a JobRecord);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = self.0;
        write!(f, "{} {}", job.class, job.id)?;
        write!(f, " on {:?}", job.queue.as_deref().unwrap_or("no queue"))?;
        if let Some(priority) = job.priority {
            write!(f, ", priority {priority}")?;
        }
        if !job.labels.is_empty() {
            write!(f, ", labels {:?}", job.labels)?;
        }
        if let Some(key) = &job.ties.concurrency_key {
            write!(f, ", key {key:?}")?;
        }
        if let Some(due) = job.scheduled_at {
            write!(f, ", enqueued {}, due {due}", job.created_at)?;
        }
        match (job.finished_at, job.performed_at, &job.error) {
            (Some(_), _, None) => f.write_str(", succeeded")?,
            (Some(_), _, Some(error)) => write!(f, ", discarded: {error}")?,
            (None, Some(_), _) => f.write_str(", being done")?,
            (None, None, _) => {}
        }
        let arguments = job.payload.arguments();
        let arguments = arguments.map_or("none".to_owned(), |stored| json(stored.as_stored()));
        let short: String = arguments.chars().take(SHOWN_ARGUMENTS).collect();
        write!(f, ", arguments {short}")?;
        if short.len() < arguments.len() { f.write_str("…") } else { Ok(()) }
    }
}

#[track_caller]
fn read(jobs: Result<Vec<JobRecord>, StoreError>) -> Vec<JobRecord> {
    jobs.unwrap_or_else(|error| panic!("the jobs cannot be read: {error}"))
}

fn decode<J: Job>(job: &JobRecord) -> Option<J> {
    job.payload.arguments()?.decode().ok()
}

fn is_close(difference: TimeDelta) -> bool {
    difference.abs() < TimeDelta::seconds(1)
}

fn json(values: &[serde_json::Value]) -> String {
    serde_json::to_string(values).unwrap_or_default()
}

fn number(count: usize, kind: &str) -> String {
    match count {
        0 => format!("no {kind}job"),
        1 => format!("1 {kind}job"),
        _ => format!("{count} {kind}jobs"),
    }
}

/// Fails the test unless such a job is enqueued, and lists what is there instead. Returns the jobs that are
/// like that.
///
/// First comes what keeps the jobs: a store, a `Harness`, anything that is
/// [`Inspect`](goodjob_core::Inspect). Then the type of the job, or `_` for any. Then conditions, each a method of
/// [`Expected`]. It awaits, so it stands in an async function.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// use goodjob_core::{Adapter, Clock, Job, MemoryStore};
/// use goodjob_testkit::{assert_enqueued, assert_not_enqueued, enqueued};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Welcome { user_id: i64 }
/// # impl Job for Welcome { const CLASS: &'static str = "WelcomeJob"; }
///
/// # #[tokio::main] async fn main() {
/// let store = Arc::new(MemoryStore::new(Clock::system()));
/// let adapter = Adapter::new(store.clone());
/// adapter.enqueue(Welcome { user_id: 7 }).queue("mail").wait(Duration::from_secs(60)).await.unwrap();
///
/// assert_enqueued!(store, Welcome);
/// assert_enqueued!(store, Welcome, args = Welcome { user_id: 7 }, queue = "mail", count = 1);
/// assert_enqueued!(store, Welcome, args_where = |job| job.user_id > 3, wait = Duration::from_secs(60));
/// assert_enqueued!(store, _, class = "WelcomeJob", waiting);
/// assert_not_enqueued!(store, Welcome, queue = "default");
/// assert_eq!(enqueued!(store, Welcome, priority = 0).len(), 1);
/// # }
/// ```
#[macro_export]
macro_rules! assert_enqueued {
    ($store:expr, $($expected:tt)*) => {{
        use $crate::Inspect as _;
        let jobs = $store.all_jobs().await;
        $crate::expected!($($expected)*).assert_among(jobs)
    }};
}

/// Fails the test if such a job is enqueued, and lists those that are. As
/// [`assert_enqueued!`](crate::assert_enqueued).
#[macro_export]
macro_rules! assert_not_enqueued {
    ($store:expr, $($expected:tt)*) => {{
        use $crate::Inspect as _;
        let jobs = $store.all_jobs().await;
        $crate::expected!($($expected)*).assert_not_among(jobs)
    }};
}

/// The jobs that are enqueued and like that, to be counted or looked at. As
/// [`assert_enqueued!`](crate::assert_enqueued).
#[macro_export]
macro_rules! enqueued {
    ($store:expr, $($expected:tt)*) => {{
        use $crate::Inspect as _;
        let jobs = $store.all_jobs().await;
        $crate::expected!($($expected)*).among(jobs)
    }};
}

/// The [`Expected`] of the macros around it.
#[doc(hidden)]
#[macro_export]
macro_rules! expected {
    (_ $(, $condition:ident $(= $value:expr)?)* $(,)?) => {
        $crate::Expected::any()$(.$condition($($value)?))*
    };
    ($job:ty $(, $condition:ident $(= $value:expr)?)* $(,)?) => {
        $crate::Expected::<$job>::job()$(.$condition($($value)?))*
    };
}
