//! Limits at work: what a store that can count is asked, and what a job that has to wait leaves behind.
//!
//! Two moments matter. Before a job is stored, [`Tally`] says what has to be counted and which jobs may be
//! stored. Before a body begins, the store says whether the attempt may, by [`LimitStore::admit`]; one that
//! may not ends with [`LimitExceeded`], as the gem's do.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::ids::JobId;
use crate::job::{Backoff, Retry};
use crate::job::{BareContext, Bound, Count, Decision, Exceeded, JobError, Limits, NewJob, Scope};
use crate::store::{Claim, StoreError};
use crate::trouble::{Trouble, TroubleKind};

/// The gem's error of a job that has to wait for others (wire contract 10.3).
const CONCURRENCY: &str = "GoodJob::ActiveJobExtensions::Concurrency::ConcurrencyExceededError";
/// The gem's error of a job that has to wait for time to pass.
const THROTTLE: &str = "GoodJob::ActiveJobExtensions::Concurrency::ThrottleExceededError";
/// The key under which the envelope counts both.
const COUNTER: &str = "[GoodJob::ActiveJobExtensions::Concurrency::ConcurrencyExceededError]";
/// The gem's waits grow without end; a job whose turn nobody tells looks again after this at the latest.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// How long an attempt is put off when the store could not count.
const UNCOUNTED: Duration = Duration::from_secs(5);

/// What a backend has that can keep limits.
///
/// Limits at enqueueing are kept by [`Store::insert`](crate::Store::insert), which sees them in the job.
#[async_trait]
pub trait LimitStore: Send + Sync {
    /// Judges whether a claimed attempt may begin: for each rule, under the lock of its scope, whether
    /// those that have begun, and those that were claimed before this one, leave it room. From then on it
    /// counts as begun. Whoever ends makes room, and then the store makes the next ones due.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do; the attempt has not begun then.
    async fn admit(&self, claim: &Claim, limits: &Limits) -> Result<Admission, StoreError>;
}

/// Whether an attempt may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Granted,
    /// It has to wait.
    Exceeded {
        /// For what.
        by: Exceeded,
        /// How long at least.
        wait: Duration,
    },
}

/// A job did not begin, since a limit was reached. Every [`Policy`](crate::Policy) retries it without end,
/// by the gem's waits up to five minutes, or as long as the limit is known to last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    /// Which limit.
    pub by: Exceeded,
    /// How long it waits at least.
    pub wait: Duration,
}

impl LimitExceeded {
    /// The gem's class of it, which is its message too.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self.by.bound {
            Bound::Limit(_) => CONCURRENCY,
            Bound::Throttle(_) => THROTTLE,
        }
    }

    /// The limit that is behind an error, if one is.
    pub(crate) fn behind(error: &JobError) -> Option<&Self> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }

    /// What follows it. `times` and `chance` as in [`Policy::decide`](crate::Policy::decide).
    pub(crate) fn decide(&self, times: impl Fn(&str) -> u32, chance: f64) -> Decision {
        let failures = times(COUNTER).saturating_add(1);
        let backoff = Retry::unlimited().wait(Backoff::Polynomial).wait_after(failures, chance);
        let wait = match self.by.bound {
            Bound::Limit(_) => backoff.min(LONGEST_BACKOFF).max(self.wait),
            // Time alone brings its turn, and when that is, is known.
            Bound::Throttle(_) => self.wait,
        };
        Decision::Retry { wait, rule: Some(COUNTER.to_owned()) }
    }
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class())
    }
}

impl std::error::Error for LimitExceeded {}

/// The error text that a row is marked with whose job waits for room: `Class: Class`.
#[must_use]
pub fn waits_for_room(bound: &Bound) -> String {
    let class = match bound {
        Bound::Limit(_) => CONCURRENCY,
        Bound::Throttle(_) => THROTTLE,
    };
    format!("{class}: {class}")
}

impl BareContext {
    /// Asks whether the attempt may begin under these limits. A [`Registry`](crate::Registry) does so for
    /// its jobs; a [`Handler`](crate::Handler) of another origin calls it first.
    ///
    /// # Errors
    /// What the attempt has to end with: [`LimitExceeded`], limits that cannot be kept, or a short snooze
    /// when the store could not be asked.
    pub async fn admit(&self, limits: &Limits) -> Result<(), JobError> {
        if limits.is_empty() {
            return Ok(());
        }
        limits.check().map_err(|error| JobError::discard(error).with_class("LimitsError"))?;
        let answer = match self.backend().limits() {
            Some(store) => store.admit(self.claim(), limits).await,
            None => Err(StoreError::Unfit("this backend keeps no limits".to_owned())),
        };
        match answer {
            Ok(Admission::Granted) => Ok(()),
            Ok(Admission::Exceeded { by, wait }) => {
                tracing::info!(scope = %by.scope, wait = ?wait, "put off: {by}");
                let exceeded = LimitExceeded { by, wait };
                let class = exceeded.class();
                Err(JobError::from(exceeded).with_class(class))
            }
            Err(error) => {
                let what = "put off, since its limits cannot be counted";
                let trouble = Trouble::new(TroubleKind::LimitsUncounted, what);
                self.backend()
                    .troubles()
                    .report(trouble.because(error).of_job(self.claim().job.id));
                Err(JobError::snooze(UNCOUNTED))
            }
        }
    }
}

/// A number that a store has to find out before it stores jobs.
pub type Question = (Scope, Count);

/// Judges which of several jobs may be stored, one after the other.
#[derive(Debug)]
pub struct Tally<'a> {
    jobs: &'a [NewJob],
    counts: BTreeMap<Question, u64>,
}

impl<'a> Tally<'a> {
    /// For these jobs, in this order.
    #[must_use]
    pub fn of(jobs: &'a [NewJob]) -> Self {
        let rules = jobs.iter().flat_map(|job| job.limits.rules());
        let questions = rules
            .flat_map(|rule| rule.at_enqueue().map(|(count, _)| (rule.scope().clone(), count)));
        Self { jobs, counts: questions.map(|question| (question, 0)).collect() }
    }

    /// What has to be counted first.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        self.counts.keys()
    }

    /// What has to be locked while that is counted, without repetitions.
    #[must_use]
    pub fn lock_names(&self) -> Vec<String> {
        let names: HashSet<String> =
            self.counts.keys().map(|(scope, _)| scope.lock_name()).collect();
        names.into_iter().collect()
    }

    /// Whether counting and storing have to be one.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        let rules = self.jobs.iter().flat_map(|job| job.limits.rules());
        rules.into_iter().any(|rule| rule.is_strict() && rule.concerns_enqueueing())
    }

    /// Takes an answer.
    pub fn count(&mut self, question: &Question, counted: u64) {
        if let Some(count) = self.counts.get_mut(question) {
            *count = counted;
        }
    }

    /// For each job the limit that stops it, if one does. Each that may be stored counts for those after
    /// it; one that is stored `already` is counted, and not judged.
    #[must_use]
    pub fn judge(mut self, already: &HashSet<JobId>) -> Vec<Option<Exceeded>> {
        let jobs = self.jobs;
        jobs.iter().map(|job| self.judge_one(job, already.contains(&job.id))).collect()
    }

    fn judge_one(&mut self, job: &NewJob, is_stored: bool) -> Option<Exceeded> {
        if is_stored {
            return None;
        }
        for rule in job.limits.rules() {
            for (count, bound) in rule.at_enqueue() {
                let counted = self.counts.get(&(rule.scope().clone(), count)).copied();
                if bound.stops(counted.unwrap_or(0)) {
                    let by = Exceeded { scope: rule.scope().clone(), bound };
                    tracing::info!(job = %job.id, class = job.class, scope = %by.scope, "not enqueued: {by}");
                    return Some(by);
                }
            }
        }
        for ((scope, _), count) in &mut self.counts {
            if scope.has(job.ties.concurrency_key.as_deref(), &job.labels) {
                *count += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Arguments, Options, Policy, Rule, Throttle};

    fn job(limits: Limits) -> NewJob {
        NewJob::of_class("A", Arguments::default(), Options::new())
            .and_then(|job| job.limited(limits))
            .unwrap()
    }

    #[test]
    fn each_job_that_is_stored_counts_for_the_next() {
        let rule = || Rule::by_key("k").total(3);
        let labelled = || Limits::new().rule(rule()).rule(Rule::by_label("l").enqueue(1));
        let jobs = [
            job(rule().into()),
            job(labelled()),
            job(labelled()),
            job(rule().into()),
            job(rule().into()),
        ];
        let mut tally = Tally::of(&jobs);
        assert_eq!(tally.questions().count(), 2);
        tally.count(&(Scope::Key("k".into()), Count::Unfinished), 1);
        let stopped: Vec<_> = tally.judge(&HashSet::from([jobs[0].id])).into_iter().collect();
        let names: Vec<_> =
            stopped.iter().map(|by| by.as_ref().map(|by| by.scope.name())).collect();
        assert_eq!(names, [None, None, Some("l"), None, Some("k")]);
    }

    #[test]
    fn what_is_exceeded_is_retried_as_the_gem_does_without_end() {
        let exceeded = |bound, wait| LimitExceeded {
            by: Exceeded { scope: Scope::Key("k".into()), bound },
            wait: Duration::from_secs(wait),
        };
        let decide = |error: LimitExceeded, times| {
            let class = error.class();
            let error = JobError::from(error).with_class(class);
            assert_eq!(error.to_string(), format!("{class}: {class}"));
            let decision = Policy::new().decide(
                &error,
                |key| {
                    assert_eq!(key, COUNTER);
                    times
                },
                0.0,
            );
            match decision {
                Decision::Retry { wait, rule } => (wait.as_secs(), rule.unwrap()),
                other => panic!("{other:?}"),
            }
        };
        for (times, wait) in [(0, 3), (1, 18), (2, 83), (3, 258), (4, 300), (999, 300)] {
            assert_eq!(decide(exceeded(Bound::Limit(1), 0), times), (wait, COUNTER.to_owned()));
        }
        assert_eq!(decide(exceeded(Bound::Limit(1), 9_000), 2).0, 9_000);
        let throttle = Throttle { count: 1, period: Duration::from_secs(60) };
        assert_eq!(decide(exceeded(Bound::Throttle(throttle), 41), 7).0, 41);
    }
}
