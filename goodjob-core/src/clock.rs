//! The one place that reads the time of day. Everything else is handed a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// An instant in UTC. The tables keep microseconds, and so does every value that this crate makes.
pub type Timestamp = DateTime<Utc>;

/// Tells the time of day by tokio's monotonic clock, corrected towards the store's clock.
///
/// Due times are judged by the store alone, so a worker must arm its timers by the store's idea of
/// now; [`follow`](Self::follow) is called with it at each heartbeat. Because it is built on
/// [`tokio::time::Instant`], a test that pauses tokio's time pauses this clock too.
#[derive(Clone, Debug)]
pub struct Clock {
    /// `None` in one that stands still.
    zero: Option<Instant>,
    /// Microseconds since the epoch at `zero`.
    base: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that starts from the host's time of day.
    #[must_use]
    pub fn system() -> Self {
        Self::starting_at(Utc::now())
    }

    /// A clock that shows `now` at this moment.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        Self { zero: Some(Instant::now()), ..Self::standing_at(now) }
    }

    /// A clock that shows `now` until it is set: for tests that are about certain times.
    #[must_use]
    pub fn standing_at(now: Timestamp) -> Self {
        Self { zero: None, base: Arc::new(AtomicI64::new(now.timestamp_micros())) }
    }

    /// The present time, in whole microseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let micros = self.base.load(Ordering::Relaxed) + self.since_zero();
        DateTime::from_timestamp_micros(micros).unwrap_or_default()
    }

    /// Sets the clock, and every clone of it, to the store's time. Returns how far it was off.
    pub fn follow(&self, store_now: Timestamp) -> TimeDelta {
        let off = store_now - self.now();
        self.base.store(store_now.timestamp_micros() - self.since_zero(), Ordering::Relaxed);
        off
    }

    /// How long until `at`; zero when it is past.
    #[must_use]
    pub fn until(&self, at: Timestamp) -> Duration {
        (at - self.now()).to_std().unwrap_or_default()
    }

    fn since_zero(&self) -> i64 {
        let elapsed = self.zero.map(|zero| zero.elapsed()).unwrap_or_default();
        i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_with_tokios_time_and_follows_the_store() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let clock = Clock::starting_at(start);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), start + TimeDelta::seconds(90));

        let copy = clock.clone();
        let off = clock.follow(start + TimeDelta::seconds(100));
        assert_eq!(off, TimeDelta::seconds(10));
        assert_eq!(copy.now(), start + TimeDelta::seconds(100));
        assert_eq!(copy.until(start + TimeDelta::seconds(103)), Duration::from_secs(3));
        assert_eq!(copy.until(start), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stands_still_moves_only_when_it_is_set() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let clock = Clock::standing_at(start);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), start);
        clock.follow(start + TimeDelta::days(3));
        assert_eq!(clock.clone().now(), start + TimeDelta::days(3));
    }
}
