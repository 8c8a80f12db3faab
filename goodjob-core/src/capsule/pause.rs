//! The waits between tries of something that fails for now.

use std::time::Duration;

use tokio::time::Instant;

/// A wait that gets longer each time in a row.
#[derive(Debug)]
pub(crate) struct Pause {
    first: Duration,
    next: Duration,
}

impl Pause {
    /// The longest wait for a store that is away.
    pub(crate) const LONGEST: Duration = Duration::from_secs(5);

    pub(crate) fn starting_at(first: Duration) -> Self {
        Self { first, next: first }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait now: half of the wait to all of it, so that many workers do not come back at
    /// once. The next one is twice as long, and `longest` at most.
    pub(crate) fn lengthen(&mut self, longest: Duration) -> Duration {
        let now = self.next.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        self.next = (self.next * 2).min(longest);
        now
    }
}

/// Waits until then; for ever without a time.
pub(crate) async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_the_longest_and_starts_over_after_a_reset() {
        let second = Duration::from_secs(1);
        let mut pause = Pause::starting_at(second);
        for whole in [1, 2, 4, 5, 5] {
            let wait = pause.lengthen(Pause::LONGEST);
            assert!((second * whole / 2..=second * whole).contains(&wait), "{wait:?} of {whole} s");
        }
        pause.reset();
        assert!(pause.lengthen(Pause::LONGEST) <= second);
    }
}
