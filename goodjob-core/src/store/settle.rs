//! The one function that decides what an attempt did to its job. Stores only write the result.

use std::time::Duration;

use super::claim::Claim;
use super::record::ErrorEvent;
use crate::job::{Decision, Defaults, ErrorNote, JobError, Payload, Policy, Unhandled};

/// How an attempt ended.
#[derive(Debug)]
pub enum Outcome {
    /// The job returned without an error.
    Succeeded,
    /// It returned an error, panicked, or took too long.
    Failed(JobError),
    /// Its worker stopped it: it lost the job's lock, or shut down and waited no longer.
    CutOff,
    /// It was not begun: this many attempts in a row had killed their process.
    Poisoned {
        /// How many.
        interruptions: u32,
    },
}

/// What is to be written about an attempt that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// What becomes of the job.
    pub job: Fate,
    /// Whether the job keeps its row if it is over. One that will run again keeps it anyway, and so
    /// does one of cron, which the store sees by its row.
    pub keep: bool,
    /// How long the attempt took by the monotonic clock.
    pub duration: Duration,
}

impl Settlement {
    /// Whether the job and its attempts are to be deleted instead of updated.
    #[must_use]
    pub fn deletes(&self) -> bool {
        !self.keep && self.job.is_over()
    }
}

/// What becomes of a job after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Over, without an error.
    Succeed,
    /// Due again `wait` from now by the store's clock; `payload` carries the raised counts.
    Retry {
        /// How long until it is due.
        wait: Duration,
        /// The envelope to store.
        payload: Payload,
        /// The error, unless it was no failure.
        error: Option<ErrorNote>,
    },
    /// Claimable at once, with its due time and counts as before the attempt.
    PutBack {
        /// What the attempt is marked with, and the job until its next outcome.
        error: ErrorNote,
    },
    /// Over, with an error. Nothing runs it again by itself.
    Discard {
        /// The error.
        error: ErrorNote,
    },
}

impl Fate {
    /// Whether nothing runs the job again by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Succeed | Self::Discard { .. })
    }

    /// The error that the attempt and the job are marked with.
    #[must_use]
    pub fn error(&self) -> Option<&ErrorNote> {
        match self {
            Self::Succeed => None,
            Self::Retry { error, .. } => error.as_ref(),
            Self::PutBack { error } | Self::Discard { error } => Some(error),
        }
    }
}

/// Decides what an attempt that took `duration` does to its job, and whether that keeps its row.
///
/// Pure: the same claim, outcome, policy, defaults and `chance` (uniform in [0, 1), spreads the waits)
/// give the same settlement. The rows it leads to are those of wire contract 4.4, with two additions:
/// a snooze, and the end of a job that keeps killing its process.
#[must_use]
pub fn settle(
    claim: &Claim,
    outcome: &Outcome,
    policy: &Policy,
    defaults: Defaults,
    duration: Duration,
    chance: f64,
) -> Settlement {
    let job = fate(claim, outcome, policy, defaults.unhandled, chance);
    let preserve = policy.preserved().unwrap_or(defaults.preserve);
    let keep = !job.is_over() || preserve.keeps(&claim.job, job.error());
    Settlement { job, keep, duration }
}

fn fate(
    claim: &Claim,
    outcome: &Outcome,
    policy: &Policy,
    unhandled: Unhandled,
    chance: f64,
) -> Fate {
    let error = match outcome {
        Outcome::Succeeded => return Fate::Succeed,
        Outcome::CutOff => {
            return Fate::PutBack { error: cut_off(claim) };
        }
        Outcome::Poisoned { interruptions } => {
            return Fate::Discard { error: poisoned(claim, *interruptions) };
        }
        Outcome::Failed(error) => error,
    };
    let payload = &claim.job.payload;
    let again = |wait, payload, error| Fate::Retry { wait, payload, error };
    match policy.decide(error, |rule| payload.exception_executions(rule), chance) {
        Decision::Retry { wait, rule } => {
            let mut payload = payload.clone();
            payload.count_retry(rule.as_deref());
            again(wait, payload, Some(error.note(ErrorEvent::Retried)))
        }
        Decision::Snooze { wait } => {
            let mut payload = payload.clone();
            payload.requeue();
            again(wait, payload, None)
        }
        Decision::Stop => Fate::Discard { error: error.note(ErrorEvent::RetryStopped) },
        Decision::Discard => Fate::Discard { error: error.note(ErrorEvent::Discarded) },
        Decision::Unhandled => {
            let error = error.note(error.event_unhandled());
            match unhandled {
                Unhandled::Discard => Fate::Discard { error },
                // The gem leaves due time and counts as they were here (`retry_on_unhandled_error`).
                Unhandled::RetryAtOnce => Fate::PutBack { error },
            }
        }
    }
}

/// The gem's class for an attempt that vanished (since 4.18.0).
const INTERRUPTED: &str = "GoodJob::InterruptedError";

fn cut_off(claim: &Claim) -> ErrorNote {
    let started = claim.token.performed_at.format("%Y-%m-%d %H:%M:%S UTC");
    let message = format!("Cut off by its worker after starting perform at '{started}'");
    ErrorNote::new(INTERRUPTED, &message, Vec::new(), ErrorEvent::Interrupted)
}

fn poisoned(claim: &Claim, interruptions: u32) -> ErrorNote {
    let last = claim.job.error.as_deref().unwrap_or("its process ended without a word");
    let message =
        format!("{interruptions} attempts in a row ended without an outcome; last: {last}");
    ErrorNote::new(INTERRUPTED, &message, Vec::new(), ErrorEvent::Interrupted)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::ids::{ExecutionId, JobId};
    use crate::job::{Backoff, Preserve, Retry, Ties};
    use crate::store::{JobRecord, Token};

    fn claim(payload: serde_json::Value) -> Claim {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let id = JobId::generate();
        let token = Token {
            job: id,
            execution: ExecutionId::generate(),
            performed_at: at,
            executions_count: 1,
        };
        let job = JobRecord {
            id,
            class: "A".into(),
            queue: Some("default".into()),
            priority: Some(0),
            payload: Payload::from_value(payload),
            labels: vec![],
            ties: Ties::default(),
            created_at: at,
            scheduled_at: Some(at),
            performed_at: Some(at),
            finished_at: None,
            error: None,
            error_event: None,
            executions_count: 1,
            locked_by: None,
        };
        Claim { job, token, interruptions: 0 }
    }

    fn decide(claim: &Claim, outcome: &Outcome, policy: &Policy, defaults: Defaults) -> Settlement {
        settle(claim, outcome, policy, defaults, Duration::ZERO, 0.0)
    }

    fn fate(payload: serde_json::Value, error: JobError, policy: &Policy) -> Fate {
        decide(&claim(payload), &Outcome::Failed(error), policy, Defaults::default()).job
    }

    fn event(fate: &Fate) -> Option<ErrorEvent> {
        fate.error().map(ErrorNote::event)
    }

    #[test]
    fn success_succeeds() {
        let took = Duration::from_secs(7);
        let policy = Policy::new();
        let claim = claim(json!({}));
        let settled = settle(&claim, &Outcome::Succeeded, &policy, Defaults::default(), took, 0.5);
        assert_eq!(settled, Settlement { job: Fate::Succeed, keep: true, duration: took });
    }

    #[test]
    fn a_retry_raises_the_counts_until_the_attempts_are_used_up() {
        let policy =
            Policy::new().retry_on::<std::fmt::Error>(Retry::attempts(3).wait(Backoff::Polynomial));
        let first = fate(json!({"executions": 0, "kept": 1}), std::fmt::Error.into(), &policy);
        let Fate::Retry { wait, payload, error } = first else { panic!("{first:?}") };
        assert_eq!(wait, Duration::from_secs(3));
        assert_eq!(
            payload.clone().into_value(),
            json!({"executions": 1, "exception_executions": {"[core::fmt::Error]": 1}, "kept": 1})
        );
        assert_eq!(error.unwrap().event(), ErrorEvent::Retried);

        let second = fate(payload.into_value(), std::fmt::Error.into(), &policy);
        let Fate::Retry { wait, payload, .. } = second else { panic!("{second:?}") };
        assert_eq!(wait, Duration::from_secs(18));
        let third = fate(payload.into_value(), std::fmt::Error.into(), &policy);
        assert!(matches!(third, Fate::Discard { .. }));
        assert_eq!(event(&third), Some(ErrorEvent::RetryStopped));
    }

    #[test]
    fn an_unhandled_error_ends_the_job_or_makes_it_due_at_once() {
        let ended = fate(json!({}), "boom".into(), &Policy::new());
        assert_eq!(event(&ended), Some(ErrorEvent::Unhandled));
        assert!(matches!(ended, Fate::Discard { .. }));

        let failed = Outcome::Failed("boom".into());
        let claim = claim(json!({"executions": 4}));
        let defaults = Defaults { unhandled: Unhandled::RetryAtOnce, ..Defaults::default() };
        let again = decide(&claim, &failed, &Policy::new(), defaults).job;
        let Fate::PutBack { error } = again else { panic!("{again:?}") };
        assert_eq!(error.event(), ErrorEvent::Unhandled);
    }

    #[test]
    fn a_discard_and_a_snooze_do_as_the_job_says() {
        let over = fate(json!({}), JobError::discard("enough"), &Policy::new());
        assert_eq!(event(&over), Some(ErrorEvent::Discarded));
        let minute = Duration::from_secs(60);
        let later = fate(json!({"executions": 2}), JobError::snooze(minute), &Policy::new());
        assert_eq!(
            later,
            Fate::Retry {
                wait: minute,
                payload: Payload::from_value(json!({"executions": 2})),
                error: None
            }
        );
    }

    #[test]
    fn a_shutdown_puts_back_and_a_poisonous_job_ends() {
        let claim = claim(json!({}));
        let decide = |outcome| decide(&claim, &outcome, &Policy::new(), Defaults::default()).job;
        let Fate::PutBack { error } = decide(Outcome::CutOff) else { panic!() };
        assert_eq!(
            error.text(),
            "GoodJob::InterruptedError: Cut off by its worker after starting perform at \
             '2027-01-15 08:00:00 UTC'"
        );
        let Fate::Discard { error } = decide(Outcome::Poisoned { interruptions: 3 }) else {
            panic!()
        };
        assert_eq!(error.event(), ErrorEvent::Interrupted);
        assert!(error.text().contains("3 attempts in a row"), "{}", error.text());
    }
    /// Every way for an attempt to end, with the policy that leads to it.
    fn endings() -> Vec<(&'static str, Outcome, Policy)> {
        let twice = || Policy::new().retry_on_any(Retry::attempts(2));
        let failed = |error: JobError| Outcome::Failed(error);
        vec![
            ("success", Outcome::Succeeded, Policy::new()),
            ("unhandled", failed("boom".into()), Policy::new()),
            ("stopped", failed("boom".into()), Policy::new().retry_on_any(Retry::attempts(1))),
            ("poisoned", Outcome::Poisoned { interruptions: 3 }, Policy::new()),
            ("discarded", failed(JobError::discard("enough")), Policy::new()),
            ("retried", failed("boom".into()), twice()),
            ("snoozed", failed(JobError::snooze(Duration::from_secs(1))), Policy::new()),
            ("cut off", Outcome::CutOff, Policy::new()),
        ]
    }

    /// The endings after which a job is deleted.
    fn deleted(preserve: Preserve) -> Vec<&'static str> {
        let defaults = Defaults { preserve, ..Defaults::default() };
        let deletes = |(name, outcome, policy): (_, Outcome, Policy)| {
            decide(&claim(json!({})), &outcome, &policy, defaults).deletes().then_some(name)
        };
        endings().into_iter().filter_map(deletes).collect()
    }

    #[test]
    fn only_what_is_over_is_deleted_and_only_if_it_is_not_preserved() {
        assert_eq!(deleted(Preserve::Always), [""; 0]);
        let over = ["success", "unhandled", "stopped", "poisoned", "discarded"];
        assert_eq!(deleted(Preserve::Never), over);
        assert_eq!(deleted(Preserve::OnUnhandledError), ["success", "discarded"]);
        let failures = Preserve::When(|job, error| job.class == "A" && error.is_some());
        assert_eq!(deleted(failures), ["success"]);
        assert_eq!(deleted(Preserve::When(|_, _| panic!("undecided"))), [""; 0]);
    }

    #[test]
    fn the_word_of_a_class_comes_before_that_of_the_worker() {
        let (claim, success) = (claim(json!({})), Outcome::Succeeded);
        let never = Defaults { preserve: Preserve::Never, ..Defaults::default() };
        for (preserve, kept) in [(None, false), (Some(Preserve::Always), true)] {
            let policy = preserve.into_iter().fold(Policy::new(), Policy::preserve);
            assert_eq!(decide(&claim, &success, &policy, never).keep, kept);
        }
        let policy = Policy::new().preserve(Preserve::Never);
        assert!(decide(&claim, &success, &policy, Defaults::default()).deletes());
    }
}
