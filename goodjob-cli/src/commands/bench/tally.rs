//! The jobs of a bench: they do nothing but be counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use goodjob_core::{Arguments, BareContext, Handler, Policy, Running};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// What a job carries.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) i: u64,
    /// When its enqueue began, in nanoseconds of the tally's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
}

impl Load {
    pub(super) fn number(i: u64) -> Self {
        Self { i, at: None }
    }
}

/// Counts jobs as they start.
#[derive(Debug)]
pub(super) struct Tally {
    target: u64,
    done: AtomicU64,
    reached: Notify,
    first: OnceLock<Instant>,
    /// The beginning of its clock.
    made: Instant,
    waits: Mutex<Vec<Duration>>,
}

impl Tally {
    /// One that waits for so many jobs.
    pub(super) fn of(target: u64) -> Arc<Self> {
        Arc::new(Self {
            target,
            done: AtomicU64::new(0),
            reached: Notify::new(),
            first: OnceLock::new(),
            made: Instant::now(),
            waits: Mutex::default(),
        })
    }

    /// A job whose enqueue begins now.
    pub(super) fn load(&self, i: u64) -> Load {
        Load { i, at: u64::try_from(self.made.elapsed().as_nanos()).ok() }
    }

    /// The handler of such jobs.
    pub(super) fn handler(self: &Arc<Self>) -> Handler {
        let tally = Arc::clone(self);
        let run = move |arguments: Option<Arguments>, _: BareContext| -> Running {
            let tally = Arc::clone(&tally);
            Box::pin(async move {
                let load: Load = arguments.ok_or("a job of the bench has arguments")?.decode()?;
                tally.count(load);
                Ok(())
            })
        };
        Handler { policy: Policy::new(), run: Arc::new(run) }
    }

    fn count(&self, load: Load) {
        self.first.get_or_init(Instant::now);
        if let Some(at) = load.at {
            let wait = self.made.elapsed().saturating_sub(Duration::from_nanos(at));
            self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(wait);
        }
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.target {
            self.reached.notify_waiters();
        }
    }

    /// How many have started.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until all of them have.
    pub(super) async fn reached(&self) {
        loop {
            let reached = self.reached.notified();
            if self.done() >= self.target {
                return;
            }
            reached.await;
        }
    }

    /// How long ago the first one started.
    pub(super) fn elapsed(&self) -> Duration {
        self.first.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// How long jobs waited from the beginning of their enqueue to their start.
    pub(super) fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
