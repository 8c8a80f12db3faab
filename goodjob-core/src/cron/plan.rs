//! Which ticks of an entry are due now, and how long to sleep until the next one. Knows neither store nor
//! timers: the present is a parameter.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::TimeDelta;

use super::schedule::Schedule;
use super::zone::Zone;
use crate::clock::Timestamp;
use crate::trouble::{Trouble, TroubleKind};

/// Ticks that are made up for at once, or wait for a store that is away: the newest of an entry.
pub(super) const MOST_MISSED: usize = 1_000;
/// A clock that goes back further than this was wrong before; less is drift.
const DRIFT: TimeDelta = TimeDelta::minutes(1);
/// The longest sleep. The clock may be set meanwhile, and a sleep would not notice.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// Between ticks of a function, which may say that one after another is past.
const BETWEEN_TICKS: Duration = Duration::from_secs(1);

/// The ticks of one entry, as time goes on.
#[derive(Debug)]
pub(super) struct Plan {
    schedule: Schedule,
    zone: Zone,
    /// Ticks that were missed this recently are made up for.
    grace: TimeDelta,
    /// The last tick that was due.
    last: Option<Timestamp>,
    next: Option<Timestamp>,
    seen: Timestamp,
    /// What went wrong and nobody was told of.
    troubles: Vec<Trouble>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Ticks to store now, in order.
    pub(super) due: Vec<Timestamp>,
    /// When to look again.
    pub(super) sleep: Duration,
}

impl Plan {
    /// A plan from `now` on. `last` is the last tick that is stored.
    pub(super) fn new(
        schedule: Schedule,
        zone: Zone,
        grace: Duration,
        last: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let next = schedule.next(now, last, zone);
        let grace = TimeDelta::from_std(grace).unwrap_or(TimeDelta::MAX);
        Self { schedule, zone, grace, last, next, seen: now, troubles: Vec::new() }
    }

    /// What was missed before `now`, when the process starts: as far back as the grace goes.
    pub(super) fn missed(&mut self, now: Timestamp) -> Vec<Timestamp> {
        if self.schedule.is_function() || self.grace.is_zero() {
            return Vec::new();
        }
        // The bounds belong to it: a tick may be due in this very second.
        let start = now.checked_sub_signed(self.grace).unwrap_or(Timestamp::MIN_UTC);
        let missed = self.between(start - TimeDelta::nanoseconds(1), now);
        self.last = missed.last().copied().or(self.last);
        missed
    }

    /// Looks at the clock.
    pub(super) fn step(&mut self, now: Timestamp) -> Step {
        if self.seen - now > DRIFT {
            let by = (self.seen - now).num_seconds();
            let what = format!("the clock went back by {by} s; ticks of cron are planned anew");
            self.troubles.push(Trouble::new(TroubleKind::ClockOff, what));
            self.next = None;
        }
        self.seen = now;
        if self.next.is_none() {
            self.next = self.schedule.next(now, self.last, self.zone);
        }
        let due = self.due(now);
        let until =
            self.next.map_or(LONGEST_SLEEP, |next| (next - now).to_std().unwrap_or_default());
        let least = match self.schedule.is_function() && !due.is_empty() {
            true => BETWEEN_TICKS,
            false => Duration::ZERO,
        };
        Step { due, sleep: until.clamp(least, LONGEST_SLEEP) }
    }

    /// What went wrong since the last call.
    pub(super) fn troubles(&mut self) -> Vec<Trouble> {
        std::mem::take(&mut self.troubles)
    }

    /// The tick that was planned, however late it is, and those after it within the grace. A clock that
    /// jumped over a thousand others makes none of them.
    fn due(&mut self, now: Timestamp) -> Vec<Timestamp> {
        let Some(planned) = self.next.filter(|next| *next <= now) else { return Vec::new() };
        let mut due = vec![planned];
        if !self.schedule.is_function() && !self.grace.is_zero() {
            let start = now.checked_sub_signed(self.grace).unwrap_or(Timestamp::MIN_UTC);
            due.extend(self.between(planned.max(start), now));
        }
        self.last = due.last().copied();
        self.next = self.schedule.next(planned.max(now), self.last, self.zone);
        due
    }

    /// The newest ticks after `start`, until `end` and with it.
    fn between(&mut self, start: Timestamp, end: Timestamp) -> Vec<Timestamp> {
        let next = |at: &Timestamp| self.schedule.next(*at, None, self.zone);
        let ticks = std::iter::successors(next(&start), next).take_while(|at| *at <= end);
        let mut newest = VecDeque::new();
        let mut dropped = 0_u64;
        for at in ticks {
            newest.push_back(at);
            if newest.len() > MOST_MISSED {
                newest.pop_front();
                dropped += 1;
            }
        }
        if dropped > 0 {
            let what =
                format!("{dropped} ticks of cron were missed beyond those that are made up for");
            self.troubles.push(Trouble::new(TroubleKind::TickLost, what));
        }
        newest.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(text: &str) -> Timestamp {
        format!("2026-11-27T{text}Z").parse().unwrap()
    }

    fn plan(line: &str, grace: Duration, now: &str) -> Plan {
        Plan::new(line.parse().unwrap(), Zone::UTC, grace, None, at(now))
    }

    fn none() -> Vec<Timestamp> {
        Vec::new()
    }

    fn kinds(plan: &mut Plan) -> Vec<TroubleKind> {
        plan.troubles().iter().map(|trouble| trouble.kind).collect()
    }

    #[test]
    fn each_tick_is_due_once() {
        let mut plan = plan("* * * * *", Duration::ZERO, "12:00:00");
        assert_eq!(plan.step(at("12:00:50")), Step { due: none(), sleep: Duration::from_secs(10) });
        assert_eq!(plan.step(at("12:00:59.5")).sleep, Duration::from_millis(500));
        assert_eq!(plan.step(at("12:01:00.001")).due, [at("12:01:00")]);
        assert_eq!(plan.step(at("12:01:00.002")).due, none());
        // The clock drifts back over a tick that was.
        assert_eq!(plan.step(at("12:00:59.9")).due, none());
        assert_eq!(plan.step(at("12:01:00")).due, none());
        assert_eq!(plan.step(at("12:02:00")).due, [at("12:02:00")]);
    }

    #[test]
    fn no_sleep_is_so_long_that_a_set_clock_would_not_be_noticed() {
        let mut plan = plan("@yearly", Duration::ZERO, "12:00:00");
        assert_eq!(plan.step(at("12:00:00")), Step { due: none(), sleep: LONGEST_SLEEP });
    }

    #[test]
    fn a_clock_that_jumps_forwards_brings_the_planned_tick_and_no_flood() {
        let mut without = plan("* * * * *", Duration::ZERO, "00:00:30");
        assert_eq!(without.step(at("23:10:30")).due, [at("00:01:00")]);
        assert_eq!(without.step(at("23:11:00")).due, [at("23:11:00")]);
        let mut with = plan("* * * * *", 3 * MINUTE, "00:00:30");
        let due = [at("00:01:00"), at("23:08:00"), at("23:09:00"), at("23:10:00")];
        assert_eq!(with.step(at("23:10:30")).due, due);
        let mut many = plan("* * * * * *", Duration::from_secs(24 * 60 * 60), "00:00:30");
        let due = many.step(at("23:00:00")).due;
        assert_eq!(due.len(), MOST_MISSED + 1);
        assert_eq!(kinds(&mut many), [TroubleKind::TickLost]);
        assert_eq!(due.last(), Some(&at("23:00:00")));
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_stall() {
        let mut plan = plan("0 * * * *", Duration::ZERO, "20:30:00");
        assert_eq!(plan.step(at("21:00:00")).due, [at("21:00:00")]);
        assert_eq!(kinds(&mut plan), []);
        assert_eq!(plan.step(at("08:30:00")).due, none());
        assert_eq!(kinds(&mut plan), [TroubleKind::ClockOff]);
        assert_eq!(plan.step(at("09:00:00")).due, [at("09:00:00")]);
    }

    #[test]
    fn what_was_missed_is_made_up_for_as_far_as_the_grace_goes() {
        let now = at("12:00:00");
        let missed = |grace| plan("* * * * *", grace, "12:00:00").missed(now);
        assert_eq!(missed(Duration::ZERO), none());
        assert_eq!(missed(2 * MINUTE), [at("11:58:00"), at("11:59:00"), at("12:00:00")]);
        let mut later = plan("* * * * *", MINUTE, "12:00:00");
        later.missed(now);
        assert_eq!(later.step(at("12:01:00")).due, [at("12:01:00")], "none twice");
        assert_eq!(plan("@yearly", MINUTE, "12:00:00").missed(now), none());
        assert_eq!(plan("* * * * * *", Duration::MAX, "12:00:00").grace, TimeDelta::MAX);
    }

    #[test]
    fn a_function_reckons_from_the_last_tick_and_may_be_late_once_a_second() {
        let every_hour = Schedule::function(|last| Some(last? + TimeDelta::hours(1)));
        let now = at("12:30:00");
        let mut plan = Plan::new(every_hour, Zone::UTC, 5 * MINUTE, Some(at("10:00:00")), now);
        assert_eq!(plan.missed(now), none());
        assert_eq!(plan.step(now), Step { due: vec![at("11:00:00")], sleep: BETWEEN_TICKS });
        assert_eq!(plan.step(at("12:30:01")).due, [at("12:00:00")]);
        assert_eq!(plan.step(at("12:30:02")), Step { due: none(), sleep: LONGEST_SLEEP });
        assert_eq!(plan.step(at("13:00:00")).due, [at("13:00:00")]);
    }

    #[test]
    fn a_function_that_says_nothing_is_asked_again() {
        let silent = Schedule::function(|_| None);
        let mut plan = Plan::new(silent, Zone::UTC, Duration::ZERO, None, at("12:00:00"));
        assert_eq!(plan.step(at("12:00:00")), Step { due: none(), sleep: LONGEST_SLEEP });
        let stuck = Schedule::function(|_| Some(at("11:00:00")));
        let mut plan = Plan::new(stuck, Zone::UTC, Duration::ZERO, None, at("12:00:00"));
        assert_eq!(plan.step(at("12:00:00")).due, [at("11:00:00")]);
        assert_eq!(plan.step(at("12:00:01")).due, none(), "it does not go on");
    }
}
