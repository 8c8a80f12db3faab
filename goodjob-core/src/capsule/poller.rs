//! Looks for jobs now and then, whatever the notices say.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Ticks at once and then at each interval; never, when polling is off.
#[derive(Debug)]
pub(crate) struct Poller {
    /// The first look is due whether polling is on or not.
    first: bool,
    interval: Option<Interval>,
}

impl Poller {
    pub(crate) fn new(every: Option<Duration>) -> Self {
        let interval = every.map(|every| {
            let mut interval = interval_at(Instant::now() + every, every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self { first: true, interval }
    }

    /// Waits for the next tick. Cancel safe.
    pub(crate) async fn tick(&mut self) {
        if std::mem::take(&mut self.first) {
            return;
        }
        match &mut self.interval {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
