//! How many jobs that belong together may be waiting or run at once, and how many in a while: as data.

use std::fmt;
use std::time::Duration;

/// The rules that a job's limits are made of. Every rule holds; they are looked at in order, and the first
/// one that is exceeded is the one that is told of.
///
/// ```
/// use std::time::Duration;
/// use goodjob_core::{Job, Limits, Rule};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Charge { shop: u64 }
///
/// impl Job for Charge {
///     const CLASS: &'static str = "ChargeJob";
///
///     fn limits(&self) -> Limits {
///         Limits::new()
///             // One at a time for each shop, and no more than ten in all.
///             .rule(Rule::by_key(format!("shop-{}", self.shop)).perform(1).total(10).strict())
///             // What the bank allows, over all shops.
///             .rule(Rule::by_label("bank").perform_throttle(100, Duration::from_secs(60)))
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    rules: Vec<Rule>,
}

impl Limits {
    /// No limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule. One whose key or label is blank limits nothing and is left out, as in the gem: so a
    /// key can switch its limits off.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        if !rule.scope.name().trim().is_empty() {
            self.rules.push(rule);
        }
        self
    }

    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The key that a job with these limits is stored with.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.rules.iter().find_map(|rule| match &rule.scope {
            Scope::Key(key) => Some(key.as_str()),
            Scope::Label(_) => None,
        })
    }

    /// The labels that a job with these limits is stored with, beside its own.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| match &rule.scope {
            Scope::Key(_) => None,
            Scope::Label(label) => Some(label.as_str()),
        })
    }

    /// Whether anything is counted before a job is stored.
    #[must_use]
    pub fn concern_enqueueing(&self) -> bool {
        self.rules.iter().any(Rule::concerns_enqueueing)
    }

    /// Whether the rules can be kept.
    ///
    /// # Errors
    /// [`LimitsError`], which names the rule, what was found and what was expected.
    pub fn check(&self) -> Result<(), LimitsError> {
        for rule in &self.rules {
            let throttles = [
                ("enqueue_throttle", rule.enqueue_throttle),
                ("perform_throttle", rule.perform_throttle),
            ];
            for (what, throttle) in throttles {
                if let Some(throttle) = throttle.filter(Throttle::is_zero) {
                    return Err(LimitsError::ZeroThrottle {
                        scope: rule.scope.clone(),
                        what,
                        throttle,
                    });
                }
            }
            match (&rule.scope, self.key()) {
                (Scope::Key(key), Some(first)) if key != first => {
                    return Err(LimitsError::TwoKeys {
                        first: first.to_owned(),
                        second: key.clone(),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl From<Rule> for Limits {
    fn from(rule: Rule) -> Self {
        Self::new().rule(rule)
    }
}

impl FromIterator<Rule> for Limits {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Self {
        rules.into_iter().fold(Self::new(), Self::rule)
    }
}

/// Limits of all jobs that have the same key or the same label, whatever their class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(crate) scope: Scope,
    total: Option<u32>,
    enqueue: Option<u32>,
    perform: Option<u32>,
    enqueue_throttle: Option<Throttle>,
    perform_throttle: Option<Throttle>,
    strict: bool,
}

impl Rule {
    /// Limits jobs with this key, which is stored in `concurrency_key`. A job has one key; further rules
    /// go by labels.
    #[must_use]
    pub fn by_key(key: impl Into<String>) -> Self {
        Self::of(Scope::Key(key.into()))
    }

    /// Limits jobs with this label, which the job is given.
    #[must_use]
    pub fn by_label(label: impl Into<String>) -> Self {
        Self::of(Scope::Label(label.into().trim().to_owned()))
    }

    fn of(scope: Scope) -> Self {
        Self {
            scope,
            total: None,
            enqueue: None,
            perform: None,
            enqueue_throttle: None,
            perform_throttle: None,
            strict: false,
        }
    }

    /// At most so many that are not finished; also how many run at once, and how many wait, where
    /// [`perform`](Self::perform) and [`enqueue`](Self::enqueue) say nothing.
    #[must_use]
    pub fn total(mut self, most: u32) -> Self {
        self.total = Some(most);
        self
    }

    /// At most so many that wait. Those that run are not counted.
    #[must_use]
    pub fn enqueue(mut self, most: u32) -> Self {
        self.enqueue = Some(most);
        self
    }

    /// At most so many that run at once. Others wait for their turn.
    #[must_use]
    pub fn perform(mut self, most: u32) -> Self {
        self.perform = Some(most);
        self
    }

    /// At most `count` that are enqueued within `period`.
    #[must_use]
    pub fn enqueue_throttle(mut self, count: u32, period: Duration) -> Self {
        self.enqueue_throttle = Some(Throttle { count, period });
        self
    }

    /// At most `count` that start within `period`. Others wait for their turn.
    #[must_use]
    pub fn perform_throttle(mut self, count: u32, period: Duration) -> Self {
        self.perform_throttle = Some(Throttle { count, period });
        self
    }

    /// Counts and stores under one lock, so that enqueues at the same time never exceed the limit. The
    /// gem counts first and stores afterwards, which lets some slip through (wire contract H12); so does
    /// a rule that is not strict. In a transaction of one's own the lock is held until its end.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Which jobs are counted.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether it counts and stores under one lock.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// How many may run at once.
    #[must_use]
    pub fn running(&self) -> Option<u32> {
        self.perform.or(self.total)
    }

    /// How many may start in a while.
    #[must_use]
    pub fn starting(&self) -> Option<Throttle> {
        self.perform_throttle
    }

    /// Whether anything is counted before a job is stored.
    #[must_use]
    pub fn concerns_enqueueing(&self) -> bool {
        self.waiting().is_some() || self.enqueue_throttle.is_some()
    }

    /// Whether anything is counted before a job begins.
    #[must_use]
    pub fn concerns_performing(&self) -> bool {
        self.running().is_some() || self.perform_throttle.is_some()
    }

    /// What is counted before a job is stored, and the bound that holds for it, in the gem's order.
    pub(crate) fn at_enqueue(&self) -> impl Iterator<Item = (Count, Bound)> {
        let limit = self.waiting().map(|(count, most)| (count, Bound::Limit(most)));
        let throttle = self
            .enqueue_throttle
            .map(|throttle| (Count::Since(throttle.period), Bound::Throttle(throttle)));
        limit.into_iter().chain(throttle)
    }

    fn waiting(&self) -> Option<(Count, u32)> {
        let unlocked = self.enqueue.map(|most| (Count::Unlocked, most));
        unlocked.or(self.total.map(|most| (Count::Unfinished, most)))
    }
}

/// Which jobs are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Those with this `concurrency_key`.
    Key(String),
    /// Those with this label among theirs.
    Label(String),
}

impl Scope {
    /// The key or the label.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Key(name) | Self::Label(name) => name,
        }
    }

    /// The text whose hash both runtimes lock while they count (wire contract 10.1).
    #[must_use]
    pub fn lock_name(&self) -> String {
        match self {
            Self::Key(key) => key.clone(),
            Self::Label(label) => format!("label:{label}"),
        }
    }

    /// Whether a job with this key and these labels is counted.
    #[must_use]
    pub fn has(&self, key: Option<&str>, labels: &[String]) -> bool {
        match self {
            Self::Key(wanted) => key == Some(wanted),
            Self::Label(wanted) => labels.contains(wanted),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key {key:?}"),
            Self::Label(label) => write!(f, "label {label:?}"),
        }
    }
}

/// What is counted before a job is stored (wire contract 10.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Count {
    /// Jobs that are not finished.
    Unfinished,
    /// Jobs that are not finished and that nobody has locked.
    Unlocked,
    /// Jobs that were enqueued within this time.
    Since(Duration),
}

/// So many within a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Throttle {
    /// How many.
    pub count: u32,
    /// Within how long.
    pub period: Duration,
}

impl Throttle {
    fn is_zero(&self) -> bool {
        self.count == 0 || self.period.is_zero()
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}s", self.count, self.period.as_secs_f64())
    }
}

/// A limit or a throttle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At most so many.
    Limit(u32),
    /// At most so many in a while.
    Throttle(Throttle),
}

impl Bound {
    /// Whether one more is too many beside `counted` others.
    #[must_use]
    pub fn stops(&self, counted: u64) -> bool {
        let most = match self {
            Self::Limit(most) => *most,
            Self::Throttle(throttle) => throttle.count,
        };
        counted >= u64::from(most)
    }
}

/// Which limit is exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub scope: Scope,
    /// What it is.
    pub bound: Bound,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bound {
            Bound::Limit(most) => {
                write!(f, "the limit of {most} for the {} is reached", self.scope)
            }
            Bound::Throttle(throttle) => {
                write!(f, "the throttle of {throttle} for the {} is reached", self.scope)
            }
        }
    }
}

/// Limits that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// A throttle lets nothing through.
    #[error("{what} of the {scope}: found {throttle}, expected at least 1 in more than 0s")]
    ZeroThrottle {
        /// Whose.
        scope: Scope,
        /// Which.
        what: &'static str,
        /// What was found.
        throttle: Throttle,
    },
    /// A job has one key.
    #[error(
        "limits: found the keys {first:?} and {second:?}, expected one; further rules go by labels"
    )]
    TwoKeys {
        /// The first.
        first: String,
        /// Another.
        second: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_throttle_of_zero_and_a_second_key_are_refused() {
        let zero = |rule: Rule| Limits::from(rule).check().unwrap_err().to_string();
        assert_eq!(
            zero(Rule::by_key("k").perform_throttle(0, MINUTE)),
            "perform_throttle of the key \"k\": found 0 in 60s, expected at least 1 in more than 0s"
        );
        assert!(zero(Rule::by_label("l").enqueue_throttle(1, Duration::ZERO)).contains("1 in 0s"));
        let two = Limits::new().rule(Rule::by_key("a")).rule(Rule::by_key("b"));
        assert!(two.check().unwrap_err().to_string().contains("\"a\" and \"b\""));
        let fine = Limits::new().rule(Rule::by_key("a").total(0)).rule(Rule::by_label("b"));
        assert_eq!(fine.check(), Ok(()));
    }

    #[test]
    fn a_blank_key_switches_its_limits_off() {
        assert!(Limits::from(Rule::by_key(" ").total(1)).is_empty());
    }

    #[test]
    fn total_stands_in_for_both_and_the_narrower_word_wins() {
        let waiting = |rule: Rule| rule.at_enqueue().collect::<Vec<_>>();
        assert_eq!(waiting(Rule::by_key("k").total(3)), [(Count::Unfinished, Bound::Limit(3))]);
        let rule = Rule::by_key("k").total(3).enqueue(2).perform(1);
        assert_eq!(rule.running(), Some(1));
        assert_eq!(waiting(rule), [(Count::Unlocked, Bound::Limit(2))]);
        assert_eq!(Rule::by_key("k").total(3).running(), Some(3));
        assert!(!Rule::by_key("k").perform(1).concerns_enqueueing());
    }
}
