//! Limits in memory: everything is counted under the one lock, so that every rule is strict.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{MemoryStore, Rows};
use crate::clock::Timestamp;
use crate::ids::{ExecutionId, JobId};
use crate::job::{Bound, Count, Exceeded, Limits, NewJob, Rule, Scope, Throttle};
use crate::limits::{Admission, LimitStore, Question, Tally, waits_for_room};
use crate::store::{Claim, JobRecord, StoreError, Token};

/// What the attempts that were judged leave room for when they end.
#[derive(Debug, Default)]
pub(super) struct Begun {
    begun: HashSet<ExecutionId>,
    judged: HashMap<ExecutionId, Vec<(Scope, u32)>>,
}

impl Rows {
    /// For each job the limit that stops it, if one does.
    pub(super) fn judge(&self, jobs: &[NewJob], now: Timestamp) -> Vec<Option<Exceeded>> {
        let mut tally = Tally::of(jobs);
        let questions: Vec<Question> = tally.questions().cloned().collect();
        for question in questions {
            let (scope, count) = &question;
            let counted =
                self.jobs.values().filter(|job| scope.has_record(job)).filter(|job| match count {
                    Count::Unfinished => job.finished_at.is_none(),
                    Count::Unlocked => job.finished_at.is_none() && job.locked_by.is_none(),
                    Count::Since(period) => job.created_at > before(now, *period),
                });
            tally.count(&question, counted.count() as u64);
        }
        tally
            .judge(&jobs.iter().map(|job| job.id).filter(|id| self.jobs.contains_key(id)).collect())
    }

    /// Makes the next jobs due of the scopes that an attempt was judged by; returns those.
    pub(super) fn make_room(&mut self, token: &Token, now: Timestamp) -> Vec<JobRecord> {
        self.limited.begun.remove(&token.execution);
        let judged = self.limited.judged.remove(&token.execution).unwrap_or_default();
        judged.iter().flat_map(|(scope, most)| self.next_of(scope, *most, now)).collect()
    }

    fn next_of(&mut self, scope: &Scope, most: u32, now: Timestamp) -> Vec<JobRecord> {
        let unfinished = |job: &&JobRecord| job.finished_at.is_none() && scope.has_record(job);
        let running = self.jobs.values().filter(unfinished).filter(|j| j.performed_at.is_some());
        let free = (most as usize).saturating_sub(running.count());
        let mark = waits_for_room(&Bound::Limit(most));
        let waits = |job: &&JobRecord| {
            job.performed_at.is_none()
                && (job.scheduled_at.is_some_and(|at| at <= now)
                    || job.error.as_ref() == Some(&mark))
        };
        let mut next: Vec<(Option<i32>, Timestamp, JobId)> = self
            .jobs
            .values()
            .filter(unfinished)
            .filter(waits)
            .map(|job| (job.priority, job.created_at, job.id))
            .collect();
        next.sort_unstable();
        let mut moved = Vec::new();
        for (_, created_at, id) in next.into_iter().take(free) {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            if job.scheduled_at.is_some_and(|at| at > now) {
                job.scheduled_at = Some(created_at.min(now));
                moved.push(job.clone());
            }
        }
        moved
    }

    /// How many attempts stand before this one: those that have begun, and those claimed earlier.
    fn before(&self, token: &Token, attempt: ExecutionId, started: Timestamp) -> bool {
        let earlier = (started, attempt) < (token.performed_at, token.execution);
        attempt != token.execution && (earlier || self.limited.begun.contains(&attempt))
    }

    fn running_before(&self, token: &Token, scope: &Scope) -> u64 {
        let running = self.jobs.values().filter(|job| job.finished_at.is_none());
        let counted = running.filter(|job| scope.has_record(job)).filter(|job| {
            let last = self.executions.get(&job.id).and_then(|attempts| attempts.last());
            match (job.performed_at, last) {
                (Some(started), Some(last)) => self.before(token, last.id, started),
                (Some(_), None) => job.id != token.job,
                (None, _) => false,
            }
        });
        counted.count() as u64
    }

    /// When the attempts within the period began that count before this one, oldest first.
    fn started_before(
        &self,
        token: &Token,
        scope: &Scope,
        throttle: Throttle,
        now: Timestamp,
    ) -> Vec<Timestamp> {
        let mark = waits_for_room(&Bound::Throttle(throttle));
        let attempts = self.jobs.values().filter(|job| scope.has_record(job));
        let attempts = attempts.flat_map(|job| self.executions.get(&job.id).into_iter().flatten());
        let counted = attempts.filter(|attempt| {
            attempt.started_at > before(now, throttle.period)
                && attempt.error.as_ref() != Some(&mark)
                && (self.before(token, attempt.id, attempt.started_at)
                    || (attempt.id != token.execution && attempt.finished_at.is_some()))
        });
        let mut starts: Vec<Timestamp> = counted.map(|attempt| attempt.started_at).collect();
        starts.sort_unstable();
        starts
    }

    /// What stops the attempt, and for how long at least.
    fn exceeded(&self, token: &Token, rule: &Rule, now: Timestamp) -> Option<(Bound, Duration)> {
        if let Some(bound) = rule.running().map(Bound::Limit)
            && bound.stops(self.running_before(token, rule.scope()))
        {
            return Some((bound, Duration::ZERO));
        }
        let throttle = rule.starting()?;
        let starts = self.started_before(token, rule.scope(), throttle, now);
        let bound = Bound::Throttle(throttle);
        bound.stops(starts.len() as u64).then(|| {
            let leaves = starts.len().saturating_sub(throttle.count as usize);
            let free = starts.get(leaves).map(|at| *at + span(throttle.period) - now);
            (bound, free.and_then(|wait| wait.to_std().ok()).unwrap_or_default())
        })
    }
}

impl Scope {
    fn has_record(&self, job: &JobRecord) -> bool {
        self.has(job.ties.concurrency_key.as_deref(), &job.labels)
    }
}

fn span(period: Duration) -> TimeDelta {
    TimeDelta::from_std(period).unwrap_or(TimeDelta::MAX)
}

fn before(now: Timestamp, period: Duration) -> Timestamp {
    now.checked_sub_signed(span(period)).unwrap_or(Timestamp::MIN_UTC)
}

#[async_trait]
impl LimitStore for MemoryStore {
    async fn admit(&self, claim: &Claim, limits: &Limits) -> Result<Admission, StoreError> {
        let now = self.shared.clock.now();
        let (token, mut rows) = (&claim.token, self.rows());
        let Some(job) = rows.fenced(token) else {
            return Err(StoreError::unavailable("the attempt is not the current one any more"));
        };
        // As a row of somebody who knows nothing of keys may be.
        if job.ties.concurrency_key.is_none() {
            job.ties.concurrency_key = limits.key().map(str::to_owned);
        }
        let job = job.clone();
        let own = |rule: &&Rule| match rule.scope() {
            Scope::Key(_) => true,
            label @ Scope::Label(_) => label.has_record(&job),
        };
        for rule in limits.rules().iter().filter(own) {
            let Some((bound, wait)) = rows.exceeded(token, rule, now) else { continue };
            if let Bound::Limit(most) = bound {
                let judged = vec![(rule.scope().clone(), most)];
                rows.limited.judged.insert(token.execution, judged);
            }
            let by = Exceeded { scope: rule.scope().clone(), bound };
            return Ok(Admission::Exceeded { by, wait });
        }
        let judged = limits.rules().iter().filter(own);
        let judged = judged.filter_map(|rule| Some((rule.scope().clone(), rule.running()?)));
        rows.limited.judged.insert(token.execution, judged.collect());
        rows.limited.begun.insert(token.execution);
        Ok(Admission::Granted)
    }
}
