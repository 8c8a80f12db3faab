//! Numbers about what this capsule does, for whoever installed a recorder of the `metrics` facade.
//!
//! Every handle is asked for once, when the capsule starts: without a recorder it is empty then, and using
//! it costs a look at an `Option`. Labels are classes, which the registry bounds, and queues, of which only
//! so many are told apart: a queue per customer must not become a time series per customer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::limits::LimitExceeded;
use crate::store::{Claim, Fate, Outcome, Settlement};

/// Queues with a series of their own; the others share one.
const MOST_QUEUES: usize = 100;
/// The label of all queues beyond that. No queue string can name it.
const OTHER_QUEUES: &str = "(other)";
/// The label of jobs without a queue.
const NO_QUEUE: &str = "";

pub(crate) struct Meter {
    claims: Counter,
    notices: Counter,
    classes: HashMap<String, ClassMeter>,
    queues: Mutex<HashMap<String, Histogram>>,
}

/// What is measured of one class.
struct ClassMeter {
    run_time: Histogram,
    succeeded: Counter,
    retried: Counter,
    put_off: Counter,
    snoozed: Counter,
    put_back: Counter,
    discarded: Counter,
}

impl ClassMeter {
    fn of(class: &str) -> Self {
        let class = || class.to_owned();
        let outcome = |outcome| counter!("goodjob_jobs_ended_total", "class" => class(), "outcome" => outcome);
        Self {
            run_time: histogram!("goodjob_job_duration_seconds", "class" => class()),
            succeeded: outcome("succeeded"),
            retried: outcome("retried"),
            put_off: outcome("put_off"),
            snoozed: outcome("snoozed"),
            put_back: outcome("put_back"),
            discarded: outcome("discarded"),
        }
    }
}

impl Meter {
    pub(crate) fn of(classes: &[String]) -> Self {
        Self {
            claims: counter!("goodjob_claims_total"),
            notices: counter!("goodjob_notices_total"),
            classes: classes.iter().map(|c| (c.clone(), ClassMeter::of(c))).collect(),
            queues: Mutex::default(),
        }
    }

    /// A search brought so many jobs.
    pub(crate) fn claimed(&self, jobs: usize) {
        self.claims.increment(jobs as u64);
    }

    /// A notice was heard.
    pub(crate) fn noticed(&self) {
        self.notices.increment(1);
    }

    /// A job begins: how long it was due before, by the store's clock (wire contract 15.3).
    pub(crate) fn began(&self, claim: &Claim) {
        let due = claim.job.scheduled_at.unwrap_or(claim.job.created_at);
        let waited = (claim.token.performed_at - due).to_std().unwrap_or(Duration::ZERO);
        self.latency_of(claim.job.queue.as_deref().unwrap_or(NO_QUEUE)).record(waited);
    }

    /// An attempt ended; whether that is written yet does not matter here.
    pub(crate) fn ended(&self, claim: &Claim, outcome: &Outcome, settlement: &Settlement) {
        let Some(class) = self.classes.get(&claim.job.class) else { return };
        class.run_time.record(settlement.duration);
        match &settlement.job {
            Fate::Succeed => &class.succeeded,
            Fate::Retry { .. } if is_put_off(outcome) => &class.put_off,
            Fate::Retry { error: Some(_), .. } => &class.retried,
            Fate::Retry { error: None, .. } => &class.snoozed,
            Fate::PutBack { .. } => &class.put_back,
            Fate::Discard { .. } => &class.discarded,
        }
        .increment(1);
    }

    fn latency_of(&self, queue: &str) -> Histogram {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = queues.get(queue) {
            return known.clone();
        }
        let queue = if queues.len() < MOST_QUEUES { queue } else { OTHER_QUEUES };
        let made = || histogram!("goodjob_queue_latency_seconds", "queue" => queue.to_owned());
        queues.entry(queue.to_owned()).or_insert_with(made).clone()
    }
}

/// Whether a limit kept the job from beginning.
fn is_put_off(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(error) if LimitExceeded::behind(error).is_some())
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_queues_are_told_apart() {
        let meter = Meter::of(&[]);
        for queue in 0..2 * MOST_QUEUES {
            let _ = meter.latency_of(&format!("customer {queue}"));
        }
        let queues = meter.queues.lock().unwrap();
        assert_eq!(queues.len(), MOST_QUEUES + 1);
        assert!(queues.contains_key("customer 0") && queues.contains_key(OTHER_QUEUES));
    }
}
