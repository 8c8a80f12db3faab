//! Attempts that are claimed before there is a slot for them, so that slots whose jobs last microseconds
//! do not wait for the store between any two of them.
//!
//! Only as many as the slots will get through in a few milliseconds, by what recent attempts took. Nothing is
//! read ahead before that is known, nor for jobs that last.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Attempt;

/// How much work may be ahead: about what one search and one settlement take. Less would leave slots idle
/// in between, more would only keep jobs from other workers.
const WORK: Duration = Duration::from_millis(5);
/// Attempts that may be ahead, however short they are.
const MOST: usize = 1_500;
/// The queue has stalled when no attempt left it for so long: a job came that lasts.
const STALLED: Duration = Duration::from_millis(25);
/// The weight of a new measure in the mean is one over this: a dozen attempts replace what was known.
const INERTIA: u32 = 8;

/// The queue of one pool.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    waiting: VecDeque<Attempt>,
    /// How long an attempt takes, as a moving mean.
    mean: Option<Duration>,
    /// When the queue was last filled or an attempt last left it.
    moved: Option<Instant>,
}

impl Ahead {
    /// Takes note of how long an attempt took.
    pub(crate) fn measure(&mut self, took: Duration) {
        let mean = |known: Duration| (known * (INERTIA - 1) + took) / INERTIA;
        self.mean = Some(self.mean.map_or(took, mean));
    }

    /// How many attempts may be claimed when so many of these slots are free and so many attempts may be
    /// coming: for the slots that they and what waits leave free, and ahead of them. None ahead while the
    /// queue is two thirds full, so that a search is worth its while.
    pub(crate) fn room(&self, slots: usize, free: usize, coming: usize) -> usize {
        let waiting = self.waiting.len() + coming;
        let (free, waiting) = (free.saturating_sub(waiting), waiting.saturating_sub(free));
        let Some(mean) = self.mean else { return free };
        let most = WORK.as_nanos() * slots as u128 / mean.as_nanos().max(1);
        let most = usize::try_from(most).unwrap_or(MOST).min(MOST);
        free + if waiting > most / 3 * 2 { 0 } else { most - waiting }
    }

    pub(crate) fn push(&mut self, attempt: Attempt) {
        if self.waiting.is_empty() {
            self.moved = Some(Instant::now());
        }
        self.waiting.push_back(attempt);
    }

    pub(crate) fn pop(&mut self) -> Option<Attempt> {
        let next = self.waiting.pop_front()?;
        self.moved = Some(Instant::now());
        Some(next)
    }

    /// Gives the attempts back of which this holds. To drop one that never began is to give it back.
    pub(crate) fn give_back(&mut self, mut which: impl FnMut(&Attempt) -> bool) {
        self.waiting.retain(|attempt| !which(attempt));
    }

    /// Waits until the queue has stalled. Cancel safe.
    pub(crate) async fn stalled(&self) {
        match self.moved {
            Some(moved) if !self.waiting.is_empty() => {
                tokio::time::sleep_until(moved + STALLED).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Gives everything back, and forgets what was measured.
    pub(crate) fn reset(&mut self) {
        self.waiting.clear();
        self.mean = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_attempts_make_room_and_long_ones_none() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.room(10, 3, 0), 3, "nothing was measured");
        ahead.measure(Duration::from_micros(500));
        assert_eq!(ahead.room(10, 3, 0), 103);
        assert_eq!(ahead.room(10, 3, 2), 101);
        assert_eq!(ahead.room(10, 3, 13), 90);
        ahead.measure(Duration::from_secs(1));
        assert_eq!(ahead.room(10, 3, 0), 3);
        for _ in 0..200 {
            ahead.measure(Duration::from_micros(10));
        }
        assert_eq!(ahead.room(10, 0, 0), MOST);
        assert_eq!(ahead.room(1, 0, 0), 500);
        ahead.reset();
        assert_eq!(ahead.room(10, 0, 0), 0);
    }

    #[test]
    fn an_attempt_that_took_no_time_is_no_division_by_zero() {
        let mut ahead = Ahead::default();
        ahead.measure(Duration::ZERO);
        assert_eq!(ahead.room(3, 0, 0), MOST);
    }
}
