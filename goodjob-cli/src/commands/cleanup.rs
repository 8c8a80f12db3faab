//! `goodjob cleanup-preserved-jobs`: deletes finished jobs that are old enough, once.

use goodjob_core::{Cleaned, Retention, Store};
use goodjob_postgres::PgStore;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Workplace;
use crate::args::CleanupArgs;
use crate::error::CliError;

/// Jobs deleted at once, as in the gem.
const BATCH: usize = 1_000;

pub(super) async fn cleanup(args: &CleanupArgs, workplace: &Workplace) -> Result<(), CliError> {
    let settings = workplace.settings(&args.settings())?;
    let keep = settings.cleanup.retention;
    let store = PgStore::connect(settings.database.ok_or(CliError::NoDatabase)?).await?;
    let cleaned = match args.dry_run {
        true => store.count_old(&keep).await?,
        false => delete(&store, &keep).await?,
    };
    store.close().await;
    let report = Report::new(&keep, cleaned, args.dry_run);
    workplace.output().result(&report, || report.text(&keep));
    Ok(())
}

async fn delete(store: &PgStore, keep: &Retention) -> Result<Cleaned, CliError> {
    let bar = bar(store, keep).await?;
    let mut all = Cleaned::default();
    loop {
        let cleaned = store.clean_up(keep, BATCH).await?;
        all += cleaned;
        bar.inc(cleaned.jobs);
        // Jobs that became old meanwhile are left to the next time, lest it never end.
        if !cleaned.is_full(BATCH) {
            bar.finish_and_clear();
            return Ok(all);
        }
    }
}

/// A bar that grows with the jobs, on a terminal; elsewhere none, and nothing is counted for it.
async fn bar(store: &PgStore, keep: &Retention) -> Result<ProgressBar, CliError> {
    let style = "deleting {bar:40.cyan/dim} {human_pos} of {human_len} jobs, {eta} left";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    if !bar.is_hidden() {
        bar.set_length(store.count_old(keep).await?.jobs);
    }
    Ok(bar)
}

/// What was deleted, or would be, under the names of the gem's event (wire contract 15.1).
#[derive(Serialize)]
struct Report {
    /// Seconds.
    older_than: f64,
    include_discarded: bool,
    dry_run: bool,
    destroyed_jobs_count: u64,
    destroyed_executions_count: u64,
    destroyed_batches_count: u64,
    destroyed_records_count: u64,
}

impl Report {
    fn new(keep: &Retention, cleaned: Cleaned, dry_run: bool) -> Self {
        let Cleaned { jobs, executions, batches } = cleaned;
        Self {
            older_than: keep.age.as_secs_f64(),
            include_discarded: !keep.keep_discarded,
            dry_run,
            destroyed_jobs_count: jobs,
            destroyed_executions_count: executions,
            destroyed_batches_count: batches,
            destroyed_records_count: jobs + executions + batches,
        }
    }

    fn text(&self, keep: &Retention) -> String {
        format!(
            "{}: jobs {}, attempts {}, batches {} (ended {} ago or earlier{})",
            if self.dry_run { "would delete" } else { "deleted" },
            self.destroyed_jobs_count,
            self.destroyed_executions_count,
            self.destroyed_batches_count,
            humantime::format_duration(keep.age),
            if keep.keep_discarded { ", discarded ones left" } else { "" },
        )
    }
}
