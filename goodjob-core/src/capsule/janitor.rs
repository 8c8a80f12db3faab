//! Deletes finished jobs that were kept long enough, from time to time while there is work.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::scheduler::PoolState;
use crate::backend::Backend;
use crate::config::Cleanup;
use crate::store::{Cleaned, Store};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// Jobs deleted at once, as in the gem: few enough that nobody has to wait for it.
const BATCH: usize = 1_000;
/// Time between looks at the pools, which may end thousands of attempts a second.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Watches how many attempts have ended, as the gem's cleanup tracker does: an idle worker does not
/// clean up.
pub(crate) struct Janitor {
    cleanup: Cleanup,
    store: Arc<dyn Store>,
    troubles: Troubles,
    pools: Vec<watch::Receiver<PoolState>>,
    /// Attempts that had ended in each pool at the last look, and at the last clean-up.
    seen: Vec<u64>,
    cleaned: Vec<u64>,
    cleaned_at: Instant,
}

impl Janitor {
    pub(crate) fn new(
        cleanup: Cleanup,
        backend: &Backend,
        pools: Vec<watch::Receiver<PoolState>>,
    ) -> Self {
        let none = vec![0; pools.len()];
        Self {
            cleanup,
            store: Arc::clone(backend.store()),
            troubles: backend.troubles().clone(),
            pools,
            seen: none.clone(),
            cleaned: none,
            cleaned_at: Instant::now(),
        }
    }

    /// Works until `stop`, even if that comes in the middle of a clean-up.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let works = self.cleanup.interval_jobs.is_some() || self.cleanup.interval.is_some();
        if works {
            // It ends by itself only when the pools do.
            let _ = stop.run_until_cancelled(self.work()).await;
        }
    }

    async fn work(&mut self) {
        while self.attempt_ended().await {
            if self.is_time() {
                self.clean_up().await;
                self.cleaned.clone_from(&self.seen);
                self.cleaned_at = Instant::now();
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Waits until an attempt has ended since the last look; false when a pool has.
    async fn attempt_ended(&mut self) -> bool {
        loop {
            let ended: Vec<u64> = self.pools.iter_mut().map(ended).collect();
            if ended != self.seen {
                self.seen = ended;
                return true;
            }
            let changes = self.pools.iter_mut().map(|pool| Box::pin(pool.changed()));
            if select_all(changes).await.0.is_err() {
                return false;
            }
        }
    }

    fn is_time(&self) -> bool {
        let by_jobs = self.cleanup.interval_jobs.is_some_and(|jobs| {
            self.seen.iter().zip(&self.cleaned).any(|(seen, cleaned)| seen - cleaned > jobs)
        });
        by_jobs || self.cleanup.interval.is_some_and(|span| self.cleaned_at.elapsed() >= span)
    }

    async fn clean_up(&self) {
        let mut all = Cleaned::default();
        loop {
            match self.store.clean_up(&self.cleanup.retention, BATCH).await {
                Ok(cleaned) => {
                    all += cleaned;
                    // Jobs that became old meanwhile are left to the next time.
                    if !cleaned.is_full(BATCH) {
                        break;
                    }
                }
                Err(error) => {
                    let what = "old jobs cannot be deleted; the next clean-up tries again";
                    let trouble = Trouble::new(TroubleKind::CleanUpFailed, what);
                    self.troubles.report(trouble.because(error));
                    break;
                }
            }
        }
        if !all.is_empty() {
            let Cleaned { jobs, executions, batches } = all;
            tracing::info!(jobs, executions, batches, "deleted old jobs");
        }
    }
}

fn ended(pool: &mut watch::Receiver<PoolState>) -> u64 {
    let state = pool.borrow_and_update();
    state.succeeded + state.errored
}
