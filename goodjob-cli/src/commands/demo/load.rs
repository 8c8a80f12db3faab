//! The demo's jobs, and what is known of them while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use goodjob_core::{
    Adapter, Context, EnqueueError, Job, JobId, JobResult, Options, Perform, Registry,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::args::DemoArgs;

/// The time between two mice.
const BETWEEN_MICE: Duration = Duration::from_millis(50);

/// What is enqueued.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) mice: usize,
    pub(super) elephants: usize,
    mouse: Duration,
    elephant: Duration,
}

impl From<&DemoArgs> for Load {
    fn from(args: &DemoArgs) -> Self {
        Self {
            mice: args.mice,
            elephants: args.elephants,
            mouse: Duration::from_millis(args.mouse_millis),
            elephant: Duration::from_secs_f64(args.elephant_seconds),
        }
    }
}

impl Load {
    pub(super) fn description(&self) -> String {
        format!(
            "{} elephants of {:?} at once, then {} mice of {:?}, one each {BETWEEN_MICE:?}",
            self.elephants, self.elephant, self.mice, self.mouse
        )
    }

    pub(super) fn jobs(&self) -> usize {
        self.mice + self.elephants
    }

    /// Enqueues all of it. Ids come back by queue: mice, then elephants.
    pub(super) async fn enqueue(
        &self,
        adapter: &Adapter,
    ) -> Result<(Vec<JobId>, Vec<JobId>), EnqueueError> {
        let (mut mice, mut elephants) = (Vec::new(), Vec::new());
        for _ in 0..self.elephants {
            elephants
                .push(adapter.enqueue(Elephant { seconds: self.elephant.as_secs_f64() }).await?);
        }
        let mut rhythm = tokio::time::interval(BETWEEN_MICE);
        for _ in 0..self.mice {
            rhythm.tick().await;
            mice.push(adapter.enqueue(Mouse { seconds: self.mouse.as_secs_f64() }).await?);
        }
        Ok((mice, elephants))
    }
}

/// How many jobs of each kind have started and ended in this process.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) mice: Count,
    pub(super) elephants: Count,
    changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Count {
    started: AtomicUsize,
    ended: AtomicUsize,
}

impl Count {
    pub(super) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    pub(super) fn running(&self) -> usize {
        self.started.load(Ordering::Relaxed).saturating_sub(self.ended())
    }
}

impl Stage {
    /// Waits until `jobs` bodies have ended.
    pub(super) async fn ended(&self, jobs: usize) {
        loop {
            let changed = self.changed.notified();
            if self.mice.ended() + self.elephants.ended() >= jobs {
                return;
            }
            changed.await;
        }
    }

    async fn act(&self, count: &Count, seconds: f64) -> JobResult {
        count.started.fetch_add(1, Ordering::Relaxed);
        let length = Duration::try_from_secs_f64(seconds)?;
        tokio::time::sleep(length).await;
        count.ended.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
        Ok(())
    }
}

pub(super) fn registry(stage: Arc<Stage>) -> Registry<Arc<Stage>> {
    Registry::new(stage).register::<Mouse>().register::<Elephant>()
}

#[derive(Serialize, Deserialize)]
struct Mouse {
    seconds: f64,
}

impl Job for Mouse {
    const CLASS: &'static str = "GoodjobDemoMouse";

    fn defaults() -> Options {
        Options::new().queue("mice")
    }
}

impl Perform<Arc<Stage>> for Mouse {
    async fn perform(self, cx: Context<Arc<Stage>>) -> JobResult {
        cx.state().act(&cx.state().mice, self.seconds).await
    }
}

#[derive(Serialize, Deserialize)]
struct Elephant {
    seconds: f64,
}

impl Job for Elephant {
    const CLASS: &'static str = "GoodjobDemoElephant";

    fn defaults() -> Options {
        Options::new().queue("elephants")
    }
}

impl Perform<Arc<Stage>> for Elephant {
    async fn perform(self, cx: Context<Arc<Stage>>) -> JobResult {
        cx.state().act(&cx.state().elephants, self.seconds).await
    }
}
