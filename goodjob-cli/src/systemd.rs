//! What systemd is told of a service with `Type=notify`: ready, stopping, and that it still works.
//!
//! The variables are read from the process's own environment, where systemd puts them. Without them nothing
//! is told.

use std::time::Duration;

use goodjob_core::Capsule;
use sd_notify::NotifyState;
use tokio_util::task::AbortOnDropHandle;

/// Says that the worker takes jobs.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that it will take no more.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Keeps the watchdog quiet, at half its interval, as long as every loop of the capsule turns; also while a
/// shutdown waits for jobs. `None` when no watchdog is set.
pub(crate) fn watchdog(capsule: &Capsule) -> Option<AbortOnDropHandle<()>> {
    let pause = sd_notify::watchdog_enabled().filter(|span| !span.is_zero())? / 2;
    let capsule = capsule.clone();
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            if works(&capsule, pause).await {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!(
                    "a loop of the worker stands still: the watchdog is not told otherwise"
                );
            }
            tokio::time::sleep(pause).await;
        }
    })))
}

async fn works(capsule: &Capsule, patience: Duration) -> bool {
    tokio::time::timeout(patience, capsule.pulse()).await.unwrap_or(false)
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
