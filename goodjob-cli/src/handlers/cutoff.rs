//! When an attempt has to end before its work is done.

use std::time::Duration;

use goodjob_core::{Context, JobError, TimedOut};
use tokio::time::Instant;

/// Waits until the attempt has to end, and says why. `limit` is the time limit of its class.
///
/// A capsule cancels an attempt whose time is up. A trial has nobody to do so, which is why the
/// deadline is watched here too.
pub(super) async fn cut_off(cx: &Context, limit: Option<Duration>) -> JobError {
    match cx.deadline() {
        None => cx.cancelled().await,
        Some(deadline) => tokio::select! {
            () = cx.cancelled() => {}
            () = tokio::time::sleep_until(deadline) => {}
        },
    }
    match cx.deadline().filter(|deadline| *deadline <= Instant::now()) {
        Some(_) => JobError::from(TimedOut { after: limit.unwrap_or_default() }),
        None => JobError::from("cancelled").with_class("Cancelled"),
    }
}

/// Whether [`cut_off`] gave this error because the time was up.
pub(super) fn timed_out(error: &JobError) -> bool {
    error.source().is::<TimedOut>()
}
