//! Due times known ahead, so that a future job starts at its time and not at the next poll.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// A timer rings this much after its time: our idea of the store's clock may be a fraction of a
/// millisecond ahead of it, and a search that comes too early finds nothing and is not repeated.
const SLACK: Duration = Duration::from_millis(2);

/// The soonest due times, at most `max` of them.
#[derive(Debug)]
pub(crate) struct Timetable {
    times: BTreeSet<Timestamp>,
    max: usize,
    clock: Clock,
    /// Whether a time was dropped for want of room; the store has to be asked again.
    overflowed: bool,
}

impl Timetable {
    pub(crate) fn new(max: usize, clock: Clock) -> Self {
        Self { times: BTreeSet::new(), max, clock, overflowed: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn insert(&mut self, at: Timestamp) {
        self.times.insert(at);
        if self.times.len() > self.max {
            self.times.pop_last();
            self.overflowed = true;
        }
    }

    /// Takes the store's answer to the question for `max` times. A full answer may have left some out.
    pub(crate) fn refill(&mut self, times: Vec<Timestamp>) {
        self.overflowed |= times.len() >= self.max;
        times.into_iter().for_each(|at| self.insert(at));
    }

    /// Waits for the next due time and removes all that have come. Cancel safe.
    pub(crate) async fn due(&mut self) {
        loop {
            let Some(next) = self.times.first() else {
                break std::future::pending().await;
            };
            let rung = self.clock.now() - SLACK;
            if *next <= rung {
                self.times = self.times.split_off(&rung);
                self.times.remove(&rung);
                return;
            }
            tokio::time::sleep(self.clock.until(*next + SLACK)).await;
        }
    }

    /// Whether the table ran empty although more times were known; true once per overflow.
    pub(crate) fn wants_refill(&mut self) -> bool {
        self.times.is_empty() && std::mem::take(&mut self.overflowed)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_wakes_at_each_time_and_keeps_the_soonest() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let clock = Clock::starting_at(start);
        let mut table = Timetable::new(2, clock.clone());
        for seconds in [30, 10, 20] {
            table.insert(start + TimeDelta::seconds(seconds));
        }
        assert_eq!(table.len(), 2);
        table.due().await;
        assert_eq!(clock.now(), start + TimeDelta::seconds(10) + SLACK);
        assert!(!table.wants_refill());
        table.due().await;
        assert_eq!(clock.now(), start + TimeDelta::seconds(20) + SLACK);
        assert!(table.wants_refill(), "the third was dropped");
        assert!(!table.wants_refill());
        let nothing = tokio::time::timeout(Duration::from_secs(99), table.due()).await;
        assert!(nothing.is_err(), "an empty table never wakes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_answer_is_asked_for_again_and_a_short_one_is_not() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        for (answer, expected) in [(1, false), (2, true)] {
            let mut table = Timetable::new(2, Clock::starting_at(start));
            // Two jobs due at the same time are one entry in the table.
            table.refill(vec![start + TimeDelta::seconds(5); answer]);
            table.due().await;
            assert_eq!(table.wants_refill(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_room_at_all_keeps_nothing() {
        let mut table = Timetable::new(0, Clock::system());
        table.insert(Timestamp::MIN_UTC);
        assert_eq!(table.len(), 0);
    }
}
