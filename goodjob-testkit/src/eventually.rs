//! Waiting until something has come true, without guessing how long that takes.

use std::fmt::Display;
use std::time::Duration;

use goodjob_core::{Claims, Store, Wanted};
use tokio::time::{Instant, sleep, timeout_at};

/// Pauses between looks: short at first, so that a fast thing is seen fast.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What a look has seen: the thing awaited, or something else that can be told.
pub trait Sight {
    /// The thing awaited.
    type Found;

    /// The thing awaited, or else a description of what was there instead.
    ///
    /// # Errors
    /// When the thing is not there yet.
    fn found(self) -> Result<Self::Found, String>;
}

impl<T> Sight for Option<T> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Sight for Result<T, E> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.map_err(|seen| seen.to_string())
    }
}

/// Looks again and again until `look` finds what is awaited, and returns it.
///
/// A look answers with an `Option`, or with a `Result` whose error says what is there instead. It is
/// cut off at the deadline, so it must not hold anything that a dropped future would leak. A last
/// look is taken at the deadline itself. Works with paused time too, which then passes at once.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
/// use goodjob_testkit::eventually;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let door = AtomicU32::new(0);
/// let knocks = eventually("three knocks", Duration::from_secs(5), async || {
///     match door.fetch_add(1, Ordering::Relaxed) + 1 {
///         knocks @ 3.. => Ok(knocks),
///         fewer => Err(format!("{fewer} knocks")),
///     }
/// })
/// .await;
/// assert_eq!(knocks, 3);
/// # }
/// ```
///
/// # Panics
/// At the deadline, naming `what` and what was last seen.
pub async fn eventually<S: Sight>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> S,
) -> S::Found {
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    let mut last = "nothing, since the first look did not come to an end".to_owned();
    loop {
        let is_last = Instant::now() >= end;
        let in_time = match timeout_at(end, look()).await {
            Ok(sight) => match sight.found() {
                Ok(found) => return found,
                Err(seen) => {
                    last = seen;
                    true
                }
            },
            Err(_elapsed) => false,
        };
        assert!(in_time && !is_last, "awaited {what} for {deadline:?}; last seen: {last}");
        sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What a store claims as soon as it can: that it is [transiently](goodjob_core::StoreError::is_transient) unable is waited out,
/// since the sessions of a process that has only just begun to beat may still be opening.
///
/// # Panics
/// When the store is still unable after ten seconds, or for good.
pub async fn claims<S: Store + ?Sized>(store: &S, wanted: &Wanted, max: usize) -> Claims {
    let claims = eventually("a claim", Duration::from_secs(10), async || {
        match store.claim(wanted, max).await {
            Err(error) if error.is_transient() => Err(error.to_string()),
            answer => Ok(answer),
        }
    });
    claims.await.expect("a store that claims")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_true_in_time_is_returned() {
        let start = Instant::now();
        let found = eventually("a second", Duration::from_secs(9), async || {
            (start.elapsed() >= Duration::from_secs(1)).then_some(7)
        });
        assert_eq!(found.await, 7);
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "awaited a green light for 2s; last seen: a red one")]
    async fn the_deadline_names_what_was_awaited_and_what_was_seen() {
        eventually("a green light", Duration::from_secs(2), async || {
            Err::<(), _>("a red one".to_owned())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "awaited an answer for 1s; last seen: nothing, since")]
    async fn a_look_that_hangs_does_not_outlast_the_deadline() {
        eventually("an answer", Duration::from_secs(1), async || {
            std::future::pending::<Option<()>>().await
        })
        .await;
    }
}
