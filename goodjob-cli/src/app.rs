//! What an application brings to the command: its jobs, and its cron entries.

use goodjob_core::{CronEntry, Handlers, Registry};

/// An application's part of a worker. Its jobs alone will do wherever one is asked for.
///
/// ```no_run
/// use std::process::ExitCode;
/// use goodjob_cli::App;
/// use goodjob_core::{Context, CronEntry, Job, JobResult, Perform, Registry};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Report { format: String }
/// # impl Job for Report { const CLASS: &'static str = "ReportJob"; }
/// # impl Perform for Report { async fn perform(self, _: Context) -> JobResult { Ok(()) } }
///
/// #[tokio::main]
/// async fn main() -> ExitCode {
///     let report = Report { format: "pdf".into() };
///     let nightly = CronEntry::new("report", "0 3 * * * Europe/Paris", report).expect("an entry");
///     goodjob_cli::run(App::new(Registry::default().register::<Report>()).cron([nightly])).await
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct App {
    pub(crate) handlers: Handlers,
    pub(crate) cron: Vec<CronEntry>,
}

impl App {
    /// An application with these jobs.
    #[must_use]
    pub fn new(handlers: impl Into<Handlers>) -> Self {
        Self { handlers: handlers.into(), cron: Vec::new() }
    }

    /// Adds cron entries, beside those of `goodjob.toml` or `GOOD_JOB_CRON`, which may have none of their
    /// keys. A worker enqueues them where `enable_cron` is set.
    #[must_use]
    pub fn cron(mut self, entries: impl IntoIterator<Item = CronEntry>) -> Self {
        self.cron.extend(entries);
        self
    }
}

impl From<Handlers> for App {
    fn from(handlers: Handlers) -> Self {
        Self::new(handlers)
    }
}

impl<S: Clone + Send + Sync + 'static> From<Registry<S>> for App {
    fn from(registry: Registry<S>) -> Self {
        Self::new(registry)
    }
}
