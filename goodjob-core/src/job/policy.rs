//! What follows an error, as data: rules by error type, waits, attempts.

use std::any::type_name;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::error::{JobError, Verdict};
use super::preserve::Preserve;
use crate::limits::LimitExceeded;

/// The longest wait that a rule can ask for: ten years, so that no due time leaves the calendar.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The rules of one job class, tried in the order in which they were written; the first that
/// matches the error, or one of its causes, decides. (Active Job tries the last one first.)
///
/// An error that no rule matches is *unhandled*: the job ends discarded, unless the worker is
/// configured otherwise (see [`Unhandled`]). A panic is an error of type [`Panicked`](super::Panicked),
/// a missed time limit one of type [`TimedOut`](super::TimedOut).
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    timeout: Option<Duration>,
    preserve: Option<Preserve>,
    fails_interrupted: bool,
}

#[derive(Clone)]
struct Rule {
    matches: fn(&(dyn StdError + 'static)) -> bool,
    /// The key under which the envelope counts, `[Type]` as Active Job prints a list of one.
    key: String,
    follow: Follow,
}

#[derive(Clone, Debug)]
enum Follow {
    Retry(Retry),
    Discard,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} => {:?}", self.key, self.follow)
    }
}

impl Policy {
    /// No rules and no time limit: every error is unhandled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Retries errors of type `E`.
    #[must_use]
    pub fn retry_on<E: StdError + 'static>(self, retry: Retry) -> Self {
        self.rule(|error| error.is::<E>(), type_name::<E>(), Follow::Retry(retry))
    }

    /// Retries every error that no rule before this one matched.
    #[must_use]
    pub fn retry_on_any(self, retry: Retry) -> Self {
        self.rule(|_| true, "StandardError", Follow::Retry(retry))
    }

    /// Ends the job at errors of type `E`.
    #[must_use]
    pub fn discard_on<E: StdError + 'static>(self) -> Self {
        self.rule(|error| error.is::<E>(), type_name::<E>(), Follow::Discard)
    }

    /// Limits each attempt. When the time is up the job is told ([`Context::cancelled`]), and soon
    /// after stopped; the attempt ends with [`TimedOut`](super::TimedOut). Default: no limit.
    ///
    /// [`Context::cancelled`]: super::Context::cancelled
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The limit of an attempt.
    #[must_use]
    pub fn time_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// Which of these jobs keep their row when they are over, whatever the worker does with others.
    /// Default: as [`Config::preserve`](crate::Config::preserve) says.
    #[must_use]
    pub fn preserve(mut self, preserve: Preserve) -> Self {
        self.preserve = Some(preserve);
        self
    }

    /// What [`preserve`](Self::preserve) was told, if it was.
    #[must_use]
    pub fn preserved(&self) -> Option<Preserve> {
        self.preserve
    }

    /// Fails an attempt at once, with [`Interrupted`](super::Interrupted), when the one before it was
    /// interrupted: its process died under it. The rules then say what follows, so that a job which must
    /// not repeat its effects is discarded, or waits for a while: as the gem's interrupt extension. With
    /// no rule for it the job ends. Default: an interrupted job simply runs again.
    ///
    /// ```
    /// use goodjob_core::{Interrupted, Policy};
    /// let once_at_most = Policy::new().fail_interrupted().discard_on::<Interrupted>();
    /// # drop(once_at_most);
    /// ```
    #[must_use]
    pub fn fail_interrupted(mut self) -> Self {
        self.fails_interrupted = true;
        self
    }

    /// Whether [`fail_interrupted`](Self::fail_interrupted) was asked for.
    #[must_use]
    pub fn fails_interrupted(&self) -> bool {
        self.fails_interrupted
    }

    /// The largest number of attempts that any rule allows; `None` without a retry rule or with an
    /// unlimited one.
    #[must_use]
    pub fn max_attempts(&self) -> Option<u32> {
        let attempts = self.rules.iter().filter_map(|rule| match &rule.follow {
            Follow::Retry(retry) => Some(retry.attempts),
            Follow::Discard => None,
        });
        attempts.max_by_key(|attempts| attempts.unwrap_or(u32::MAX)).flatten()
    }

    /// What follows `error`. `times` tells how often the rule with a given key was applied before;
    /// `chance` is uniform in [0, 1) and spreads the waits.
    #[must_use]
    pub fn decide(&self, error: &JobError, times: impl Fn(&str) -> u32, chance: f64) -> Decision {
        if let Some(exceeded) = LimitExceeded::behind(error) {
            return exceeded.decide(times, chance);
        }
        match error.verdict() {
            Some(Verdict::Discard) => return Decision::Discard,
            Some(Verdict::RetryIn(wait)) => return Decision::Retry { wait, rule: None },
            Some(Verdict::Snooze(wait)) => return Decision::Snooze { wait },
            None => {}
        }
        let matching = self.rules.iter().find(|rule| error.chain().any(rule.matches));
        match matching.map(|rule| (rule, &rule.follow)) {
            None => Decision::Unhandled,
            Some((_, Follow::Discard)) => Decision::Discard,
            Some((rule, Follow::Retry(retry))) => {
                let failures = times(&rule.key).saturating_add(1);
                if retry.attempts.is_none_or(|attempts| failures < attempts) {
                    let wait = retry.wait_after(failures, chance);
                    Decision::Retry { wait, rule: Some(rule.key.clone()) }
                } else {
                    Decision::Stop
                }
            }
        }
    }

    fn rule(
        mut self,
        matches: fn(&(dyn StdError + 'static)) -> bool,
        name: &str,
        follow: Follow,
    ) -> Self {
        let name = match &follow {
            Follow::Retry(Retry { counted_as: Some(names), .. }) => names,
            _ => name,
        };
        let key = format!("[{name}]");
        self.rules.push(Rule { matches, key, follow });
        self
    }
}

/// What a [`Policy`] makes of an error.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Again after `wait`, counted under `rule`.
    Retry {
        /// How long until the next attempt.
        wait: Duration,
        /// The key that the envelope counts it under; `None` when the job decided by itself.
        rule: Option<String>,
    },
    /// Again after `wait`, not counted and no failure.
    Snooze {
        /// How long until the next attempt.
        wait: Duration,
    },
    /// The attempts are used up.
    Stop,
    /// The job is over by its own or a rule's word.
    Discard,
    /// No rule matched.
    Unhandled,
}

/// What follows an error that no rule matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unhandled {
    /// The job ends discarded, with its error. The default, as in the gem.
    #[default]
    Discard,
    /// The job is due again at once, without limit: the gem's `retry_on_unhandled_error`. A job that
    /// always fails then runs in a hot loop; a rule with a wait is nearly always better.
    RetryAtOnce,
}

/// What a worker does where the policy of a job says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Defaults {
    /// What follows an error that no rule matched.
    pub unhandled: Unhandled,
    /// Which finished jobs keep their row.
    pub preserve: Preserve,
}

/// How a rule retries.
///
/// ```
/// use goodjob_core::{Backoff, Retry};
/// let retry = Retry::attempts(3).wait(Backoff::Polynomial).jitter(0.0);
/// assert_eq!(retry.wait_after(2, 0.9).as_secs(), 18); // 2^4 + 2
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    attempts: Option<u32>,
    wait: Backoff,
    jitter: f64,
    counted_as: Option<String>,
}

impl Retry {
    /// Share of a wait that chance may add: 0.15, Rails' `retry_jitter` since 6.1.
    pub const DEFAULT_JITTER: f64 = 0.15;

    /// At most `attempts` in all, the first included: 5 means one run and four retries.
    /// The wait is 3 seconds (Active Job's default) unless [`wait`](Self::wait) says otherwise.
    #[must_use]
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts: Some(attempts), ..Self::unlimited() }
    }

    /// Without end.
    #[must_use]
    pub fn unlimited() -> Self {
        let wait = Backoff::Constant(Duration::from_secs(3));
        Self { attempts: None, wait, jitter: Self::DEFAULT_JITTER, counted_as: None }
    }

    /// How the waits grow.
    #[must_use]
    pub fn wait(mut self, wait: Backoff) -> Self {
        self.wait = wait;
        self
    }

    /// Share of the wait that chance may add, 0.0 for none.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Counts failures under the names of Ruby's `retry_on`, as it lists them: `Net::OpenTimeout`, or
    /// `Net::OpenTimeout, Timeout::Error`. Then the attempts of both sides at one job are counted together.
    /// By default they are counted under the path of the Rust type that the rule matches.
    ///
    /// ```
    /// use goodjob_core::{Policy, Retry};
    /// // Ruby: retry_on Billing::Declined, attempts: 5
    /// let policy = Policy::new()
    ///     .retry_on::<std::io::Error>(Retry::attempts(5).counted_as("Billing::Declined"));
    /// ```
    #[must_use]
    pub fn counted_as(mut self, names: impl Into<String>) -> Self {
        self.counted_as = Some(names.into());
        self
    }

    /// The wait after the `failures`-th failure; `chance` is uniform in [0, 1).
    #[must_use]
    pub fn wait_after(&self, failures: u32, chance: f64) -> Duration {
        let (spread, fixed) = self.wait.seconds(failures);
        let seconds = spread + chance * spread * self.jitter + fixed;
        Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }
}

/// How long to wait, by the number `n` of failures under the same rule.
#[derive(Clone, Copy, Debug)]
pub enum Backoff {
    /// Always the same.
    Constant(Duration),
    /// n⁴ + 2 seconds: 3, 18, 83, 258. Active Job's `:polynomially_longer` (`exceptions.rb`).
    Polynomial,
    /// `base` · 2ⁿ⁻¹, at most `max`.
    Exponential {
        /// The first wait.
        base: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// Whatever the function says; like Active Job, its result gets no jitter.
    Custom(fn(u32) -> Duration),
}

impl Backoff {
    /// The part that jitter applies to, and the part that it does not.
    fn seconds(self, failures: u32) -> (f64, f64) {
        match self {
            Self::Constant(wait) => (wait.as_secs_f64(), 0.0),
            Self::Polynomial => (f64::from(failures).powi(4), 2.0),
            Self::Exponential { base, max } => {
                let doublings = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
                ((base.as_secs_f64() * 2f64.powi(doublings)).min(max.as_secs_f64()), 0.0)
            }
            Self::Custom(wait) => (0.0, wait(failures).as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;
    use crate::job::TimedOut;

    fn decide(policy: &Policy, error: JobError, times: u32) -> Decision {
        policy.decide(&error, |_| times, 0.0)
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = Policy::new()
            .discard_on::<TimedOut>()
            .retry_on::<io::Error>(Retry::attempts(2).wait(Backoff::Polynomial))
            .retry_on_any(Retry::unlimited());
        let io = || JobError::from(io::Error::other("x"));
        assert_eq!(
            decide(&policy, io(), 0),
            Decision::Retry {
                wait: Duration::from_secs(3),
                rule: Some("[std::io::error::Error]".into())
            }
        );
        assert_eq!(decide(&policy, io(), 1), Decision::Stop);
        let late = TimedOut { after: Duration::from_secs(1) };
        assert_eq!(decide(&policy, late.into(), 0), Decision::Discard);
        assert_eq!(
            decide(&policy, "text".into(), 7_000),
            Decision::Retry { wait: Duration::from_secs(3), rule: Some("[StandardError]".into()) }
        );
        assert_eq!(decide(&Policy::new(), io(), 0), Decision::Unhandled);
    }

    #[test]
    fn a_rule_counts_under_rubys_names_if_it_is_told_to() {
        let retry = Retry::attempts(3).counted_as("Net::OpenTimeout, Timeout::Error");
        let policy = Policy::new().retry_on::<io::Error>(retry);
        let times = |key: &str| u32::from(key == "[Net::OpenTimeout, Timeout::Error]") * 2;
        let third = policy.decide(&io::Error::other("x").into(), times, 0.0);
        assert_eq!(third, Decision::Stop, "two of them were Ruby's");
    }

    #[test]
    fn a_cause_deep_in_the_chain_is_found() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let policy = Policy::new().discard_on::<io::Error>();
        assert_eq!(decide(&policy, Outer(io::Error::other("x")).into(), 0), Decision::Discard);
    }

    #[test]
    fn the_jobs_own_word_comes_first() {
        let policy = Policy::new().discard_on::<io::Error>();
        let minute = Duration::from_secs(60);
        let error = JobError::retry_in(minute, io::Error::other("x"));
        assert_eq!(decide(&policy, error, 9), Decision::Retry { wait: minute, rule: None });
        assert_eq!(decide(&policy, JobError::snooze(minute), 9), Decision::Snooze { wait: minute });
        assert_eq!(decide(&Policy::new(), JobError::discard("x"), 0), Decision::Discard);
    }

    #[test]
    fn waits_grow_as_active_jobs_do() {
        let waits = |backoff: Backoff| {
            let retry = Retry::unlimited().wait(backoff);
            (1..5).map(|n| retry.wait_after(n, 0.0).as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(waits(Backoff::Polynomial), [3, 18, 83, 258]);
        assert_eq!(waits(Backoff::Constant(Duration::from_secs(7))), [7, 7, 7, 7]);
        let (base, max) = (Duration::from_secs(2), Duration::from_secs(10));
        assert_eq!(waits(Backoff::Exponential { base, max }), [2, 4, 8, 10]);
        assert_eq!(waits(Backoff::Custom(|n| Duration::from_secs(n.into()))), [1, 2, 3, 4]);
        // r·n⁴·jitter on top of n⁴ + 2, so 3⁴ = 81 grows by 81 · 0.5 · 0.15 and 2 stays 2.
        let spread = Retry::unlimited().wait(Backoff::Polynomial).wait_after(3, 0.5);
        assert_eq!(spread, Duration::from_secs_f64(81.0 + 81.0 * 0.5 * 0.15 + 2.0));
    }

    proptest! {
        #[test]
        fn no_wait_overflows(failures in any::<u32>(), chance in 0.0..1.0f64, secs in any::<u64>()) {
            let long = Duration::from_secs(secs);
            for wait in [Backoff::Polynomial, Backoff::Constant(long),
                         Backoff::Exponential { base: long, max: Duration::MAX }] {
                prop_assert!(Retry::unlimited().wait(wait).wait_after(failures, chance) <= LONGEST_WAIT);
            }
        }
    }
}
