//! What of the gem's configuration the stand-in knows.

use std::time::Duration;

use goodjob_core::QueueSelector;

/// The gem's `lock_strategy` (wire contract 3.4 to 3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GemStrategy {
    /// The advisory lock alone excludes; the row is stamped at the start. The gem's default.
    #[default]
    Advisory,
    /// The row alone excludes.
    SkipLocked,
    /// Both do.
    Hybrid,
}

impl GemStrategy {
    /// The name in the gem's configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Advisory => "advisory",
            Self::SkipLocked => "skiplocked",
            Self::Hybrid => "hybrid",
        }
    }
}

/// How a [`GemWorker`](crate::GemWorker) is configured; the defaults are the gem's.
#[derive(Clone, Debug)]
pub struct GemOptions {
    /// How jobs are locked. Default [`GemStrategy::Advisory`].
    pub strategy: GemStrategy,
    /// Jobs at a time, each on a connection of its own. Default 5.
    pub threads: usize,
    /// Which queues. `InOrder` is taken as `Only`. Default all.
    pub queues: QueueSelector,
    /// Time between polls; `None` never polls. Default 10 seconds.
    pub poll_interval: Option<Duration>,
    /// `queue_select_limit`: candidates of an advisory claim. Default 1000.
    pub queue_select_limit: u32,
    /// `preserve_job_records`: whether jobs are kept when they are over. Default true.
    pub preserve_job_records: bool,
    /// `retry_on_unhandled_error`: whether a job that raised is claimable again. Default false.
    pub retry_on_unhandled_error: bool,
    /// The classes that this process knows; others end with a `NameError`. Default every class.
    pub classes: Option<Vec<String>>,
    /// Waits so long between the claim of a job and its start, where Ruby takes a moment: it widens
    /// the window in which an advisory worker's job has no owner (H2). Default zero.
    pub pause_before_start: Duration,
}

impl Default for GemOptions {
    fn default() -> Self {
        Self {
            strategy: GemStrategy::default(),
            threads: 5,
            queues: QueueSelector::All,
            poll_interval: Some(Duration::from_secs(10)),
            queue_select_limit: 1000,
            preserve_job_records: true,
            retry_on_unhandled_error: false,
            classes: None,
            pause_before_start: Duration::ZERO,
        }
    }
}

impl GemOptions {
    /// The defaults with this strategy.
    #[must_use]
    pub fn locking_by(strategy: GemStrategy) -> Self {
        Self { strategy, ..Self::default() }
    }

    /// The kind of selector and its names, for the statements that claim.
    pub(super) fn selector(&self) -> (&'static str, &[String]) {
        match &self.queues {
            QueueSelector::All => ("all", &[]),
            QueueSelector::Only(names) | QueueSelector::InOrder(names) => ("only", names),
            QueueSelector::Except(names) => ("except", names),
        }
    }

    pub(super) fn knows(&self, class: Option<&str>) -> bool {
        let Some(classes) = &self.classes else { return class.is_some() };
        class.is_some_and(|class| classes.iter().any(|known| known == class))
    }
}
