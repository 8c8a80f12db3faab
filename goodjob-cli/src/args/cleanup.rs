//! What `goodjob cleanup-preserved-jobs` takes.

use clap::Args;

use super::WorkerSettings;

pub(crate) const HELP: &str = "\
Deletes 1,000 jobs at a time, each batch for good as soon as it is done; running it again goes on where \
it ended. Workers do the same by themselves, while they run jobs.

Examples:
  goodjob cleanup-preserved-jobs --dry-run
  goodjob cleanup-preserved-jobs --before-seconds-ago 86400 --keep-discarded";

#[derive(Args)]
pub(crate) struct CleanupArgs {
    /// Delete what ended at least this long ago, such as 86400 or 14d [default: the setting
    /// cleanup_preserved_jobs_before_seconds_ago, 1209600]
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    before_seconds_ago: Option<String>,
    /// Leave jobs that ended with an error [default: the setting cleanup_discarded_jobs]
    #[arg(long, conflicts_with = "include_discarded")]
    keep_discarded: bool,
    /// Delete jobs that ended with an error too
    #[arg(long)]
    include_discarded: bool,
    /// Count what would be deleted, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl CleanupArgs {
    /// What was typed, as settings that beat all others.
    pub(crate) fn settings(&self) -> WorkerSettings {
        let age = self.before_seconds_ago.clone();
        let discarded = match (self.include_discarded, self.keep_discarded) {
            (true, _) => Some("true".to_owned()),
            (false, true) => Some("false".to_owned()),
            (false, false) => None,
        };
        let typed = [
            ("cleanup_preserved_jobs_before_seconds_ago", age),
            ("cleanup_discarded_jobs", discarded),
        ];
        WorkerSettings(typed.into_iter().filter_map(|(name, text)| Some((name, text?))).collect())
    }
}
