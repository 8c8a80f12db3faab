//! Whether an attempt may begin, and how long it and those behind it wait if not.

use std::time::Duration;

use goodjob_core::{
    Admission, Bound, Claim, Exceeded, Limits, ProcessId, Rule, Scope, StoreError, waits_for_room,
};
use sqlx::{PgConnection, Postgres, Transaction};

use super::room::Room;
use super::{Limited, Statements};
use crate::error::store_error;
use crate::sessions::within;
use crate::settle::tokens;
use crate::sql;

/// How long one statement outside of the counting may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often the locks are tried for, and the time in between: whoever counts is done in a moment.
const TRIES: u32 = 100;
const TRY_AGAIN: Duration = Duration::from_millis(10);
/// How soon a job that waits for room looks again by itself, should nobody tell it: the gem's first wait.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// Time between the looks of jobs that wait for the same room: this bounds what looking costs, however many
/// there are.
const LOOKS_APART: Duration = Duration::from_millis(100);
/// Rows of a lane behind a job that had to wait which are put off with it.
const WINDOW: i64 = 2_000;

/// What stops an attempt.
struct Stop {
    by: Exceeded,
    /// The time until room that time alone makes.
    wait: Duration,
}

impl Limited {
    /// As [`LimitStore::admit`](goodjob_core::LimitStore::admit).
    pub(crate) async fn admit(
        &self,
        process: ProcessId,
        claim: &Claim,
        limits: &Limits,
    ) -> Result<Admission, StoreError> {
        let rules = applying(claim, limits);
        if rules.is_empty() {
            return Ok(Admission::Granted);
        }
        if rules.iter().any(|(_, rule)| rule.starting().is_some()) {
            self.open_execution(process, claim).await?;
        }
        let stop =
            within(DEADLINE, self.judge(claim, limits, &rules)).await.map_err(store_error)?;
        let rooms = |(scope, rule): &(Scope, &Rule)| {
            let most = rule.running()?;
            Some(Room { scope: scope.clone(), class: claim.job.class.clone(), most })
        };
        match stop {
            Verdict::Begun => {
                let rooms = rules.iter().filter_map(rooms).collect();
                self.memory().judged.insert(claim.token.execution, rooms);
                Ok(Admission::Granted)
            }
            Verdict::Overtaken => {
                Err(StoreError::unavailable("the attempt is not the current one any more"))
            }
            Verdict::Stopped(Stop { by, wait }) => {
                // While it was judged it stood before others itself: whoever has to wait looks after its end.
                let room = rules.iter().filter(|(scope, _)| *scope == by.scope).filter_map(rooms);
                if matches!(by.bound, Bound::Limit(_)) {
                    self.memory().judged.insert(claim.token.execution, room.collect());
                }
                let wait = self.put_off(claim, &by, wait).await;
                Ok(Admission::Exceeded { by, wait })
            }
        }
    }

    /// Shows that the attempt runs: throttles count executions.
    async fn open_execution(&self, process: ProcessId, claim: &Claim) -> Result<(), StoreError> {
        let token = tokens([&claim.token].into_iter());
        let query = sqlx::query(self.0.dialect.sql(sql::EXECUTIONS_OPEN))
            .bind(token.jobs)
            .bind(token.executions)
            .bind(token.performed_at)
            .bind(token.counts)
            .bind(process.as_uuid());
        self.0
            .stand
            .within(DEADLINE, async |connection| query.execute(connection).await.map(drop))
            .await
    }

    async fn judge(
        &self,
        claim: &Claim,
        limits: &Limits,
        rules: &[(Scope, &Rule)],
    ) -> sqlx::Result<Verdict> {
        let mut counting = self.locked(rules).await?;
        for (scope, rule) in rules {
            if let Some(stop) = self.stop(&mut counting, claim, scope, rule).await? {
                counting.rollback().await?;
                return Ok(Verdict::Stopped(stop));
            }
        }
        let begun = sqlx::query(self.0.dialect.sql(sql::LIMIT_ADMIT))
            .bind(claim.token.job.as_uuid())
            .bind(claim.token.performed_at)
            .bind(claim.token.executions_count)
            .bind(limits.key())
            .fetch_optional(&mut *counting)
            .await?;
        counting.commit().await?;
        Ok(if begun.is_some() { Verdict::Begun } else { Verdict::Overtaken })
    }

    /// A transaction that holds the locks of these scopes.
    async fn locked(&self, rules: &[(Scope, &Rule)]) -> sqlx::Result<Transaction<'_, Postgres>> {
        let names: Vec<String> = rules.iter().map(|(scope, _)| scope.lock_name()).collect();
        for _ in 0..TRIES {
            let mut counting = self.0.pool.begin().await?;
            let locked: bool = sqlx::query_scalar(self.0.dialect.sql(sql::LIMIT_TRY_LOCK))
                .bind(&names)
                .fetch_one(&mut *counting)
                .await?;
            if locked {
                return Ok(counting);
            }
            counting.rollback().await?;
            tokio::time::sleep(TRY_AGAIN).await;
        }
        Err(sqlx::Error::Protocol(format!("somebody holds the lock of {}", names.join(" or "))))
    }

    /// What stops the attempt under this rule.
    async fn stop(
        &self,
        connection: &mut PgConnection,
        claim: &Claim,
        scope: &Scope,
        rule: &Rule,
    ) -> sqlx::Result<Option<Stop>> {
        let (statements, token) = (Statements::of(scope), &claim.token);
        let exceeded = |bound, seconds| {
            let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            Some(Stop { by: Exceeded { scope: scope.clone(), bound }, wait })
        };
        if let Some(bound) = rule.running().map(Bound::Limit) {
            let before: i64 = sqlx::query_scalar(self.0.dialect.sql(statements.running))
                .bind(scope.name())
                .bind(token.job.as_uuid())
                .bind(token.performed_at)
                .fetch_one(&mut *connection)
                .await?;
            if bound.stops(u64::try_from(before).unwrap_or(0)) {
                return Ok(exceeded(bound, 0.0));
            }
        }
        let Some(throttle) = rule.starting() else { return Ok(None) };
        let (before, wait): (i64, f64) = sqlx::query_as(self.0.dialect.sql(statements.started))
            .bind(scope.name())
            .bind(token.job.as_uuid())
            .bind(token.performed_at)
            .bind(token.execution.as_uuid())
            .bind(throttle.period.as_secs_f64())
            .bind(i64::from(throttle.count))
            .fetch_one(connection)
            .await?;
        let bound = Bound::Throttle(throttle);
        Ok(if bound.stops(u64::try_from(before).unwrap_or(0)) {
            exceeded(bound, wait)
        } else {
            None
        })
    }

    /// Puts off those behind an attempt that has to wait; says for how long it waits itself.
    async fn put_off(&self, claim: &Claim, by: &Exceeded, wait: Duration) -> Duration {
        let (first, step) = match by.bound {
            Bound::Limit(_) => (FIRST_LOOK, LOOKS_APART),
            // They become due at the rate at which they may start.
            Bound::Throttle(throttle) => (wait, throttle.period / throttle.count.max(1)),
        };
        let wait = self.memory().reserve(&by.scope, first, step, 1);
        if self.memory().parking.insert(by.scope.clone()) {
            let parking = Parking { limited: self, scope: &by.scope };
            match self.park(claim, by, wait, step).await {
                Ok(parked) => {
                    let places = u32::try_from(parked).unwrap_or(0);
                    self.memory().reserve(&by.scope, Duration::ZERO, step, places);
                }
                // They are met one by one.
                Err(error) => self.warn("cannot put off jobs that wait", &by.scope, &error),
            }
            drop(parking);
        }
        wait
    }

    async fn park(
        &self,
        claim: &Claim,
        by: &Exceeded,
        first: Duration,
        step: Duration,
    ) -> Result<i64, StoreError> {
        let job = &claim.job;
        let (key, label) = match &by.scope {
            Scope::Key(key) => (Some(key), None),
            Scope::Label(label) => (None, Some(label)),
        };
        let query = sqlx::query_scalar(self.0.dialect.sql(sql::LIMIT_PARK))
            .bind(&job.queue)
            .bind(job.priority)
            .bind(job.scheduled_at)
            .bind(WINDOW)
            .bind(&job.class)
            .bind(key)
            .bind(label)
            .bind(first.as_secs_f64())
            .bind(step.as_secs_f64())
            .bind(waits_for_room(&by.bound));
        self.0.stand.within(DEADLINE, async |connection| query.fetch_one(connection).await).await
    }
}

enum Verdict {
    Begun,
    /// The row is that of another attempt by now.
    Overtaken,
    Stopped(Stop),
}

/// A scope whose jobs are being put off; others leave that to this one.
struct Parking<'a> {
    limited: &'a Limited,
    scope: &'a Scope,
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        self.limited.memory().parking.remove(self.scope);
    }
}

/// The rules that hold for a claimed job, each with what it counts. The key is that of the row, if it has one
/// already; a label that the row lacks limits nothing, as in the gem (wire contract 10.1).
fn applying<'a>(claim: &Claim, limits: &'a Limits) -> Vec<(Scope, &'a Rule)> {
    let rules = limits.rules().iter().filter(|rule| rule.concerns_performing());
    let scope = |rule: &'a Rule| match rule.scope() {
        Scope::Key(key) => {
            let stored = claim.job.ties.concurrency_key.as_ref();
            Some((Scope::Key(stored.unwrap_or(key).clone()), rule))
        }
        Scope::Label(label) => {
            claim.job.labels.contains(label).then(|| (rule.scope().clone(), rule))
        }
    };
    rules.filter_map(scope).collect()
}
