//! Attempts whose execution is still to be opened: one that lasts gets its row while it runs, so that pages
//! show it; one that does not, when it ends (ADR 0016).

use std::collections::VecDeque;
use std::time::Duration;

use goodjob_core::Token;
use tokio::time::Instant;

/// How long an attempt runs before its execution is written.
const LASTING: Duration = Duration::from_millis(250);
/// Time between statements that open some.
const RHYTHM: Duration = Duration::from_millis(50);

/// Attempts in the order in which they were claimed. Those that ended meanwhile are still among them.
#[derive(Debug, Default)]
pub(super) struct Openings {
    waiting: VecDeque<(Instant, Token)>,
    /// When some were last taken out.
    taken: Option<Instant>,
}

impl Openings {
    pub(super) fn add(&mut self, tokens: impl Iterator<Item = Token>) {
        let now = Instant::now();
        self.waiting.extend(tokens.map(|token| (now, token)));
    }

    /// Waits until some are due. Cancel safe.
    pub(super) async fn due(&self) {
        let Some((claimed, _)) = self.waiting.front() else {
            return std::future::pending().await;
        };
        let not_before = self.taken.map_or(*claimed, |taken| taken + RHYTHM);
        tokio::time::sleep_until((*claimed + LASTING).max(not_before)).await;
    }

    /// Takes out those that have waited long enough.
    pub(super) fn take_due(&mut self) -> Vec<Token> {
        let now = Instant::now();
        self.taken = Some(now);
        let due = self.waiting.partition_point(|(claimed, _)| *claimed + LASTING <= now);
        self.waiting.drain(..due).map(|(_, token)| token).collect()
    }

    /// Puts some back that could not be written.
    pub(super) fn put_back(&mut self, tokens: Vec<Token>) {
        // As if claimed so long ago that they are due.
        let claimed = Instant::now() - LASTING;
        tokens.into_iter().rev().for_each(|token| self.waiting.push_front((claimed, token)));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use goodjob_core::{ExecutionId, JobId};

    use super::*;

    fn token() -> Token {
        Token {
            job: JobId::generate(),
            execution: ExecutionId::generate(),
            performed_at: DateTime::from_timestamp(0, 0).unwrap(),
            executions_count: 1,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_last_are_taken_in_crowds() {
        let begun = Instant::now();
        let (first, second, third) = (token(), token(), token());
        let mut openings = Openings::default();
        openings.add([first].into_iter());
        tokio::time::advance(Duration::from_millis(10)).await;
        openings.add([second, third].into_iter());
        openings.due().await;
        assert!(begun.elapsed() >= LASTING);
        assert_eq!(openings.take_due(), [first]);
        openings.due().await;
        assert!(begun.elapsed() >= LASTING + RHYTHM);
        assert_eq!(openings.take_due(), [second, third]);
        assert_eq!(openings.take_due(), []);
        openings.put_back(vec![second]);
        openings.due().await;
        assert_eq!(openings.take_due(), [second]);
        assert!(tokio::time::timeout(LASTING, openings.due()).await.is_err(), "there are none");
    }
}
