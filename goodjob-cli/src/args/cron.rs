//! What `goodjob cron` takes.

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum CronCommand {
    /// List the cron entries with their next and last ticks
    #[command(after_help = LIST_HELP)]
    List,
    /// Switch an entry on, for all processes
    #[command(after_help = "Counts from the next tick on.\n\nExample: goodjob cron enable nightly")]
    Enable {
        /// The entry
        key: String,
    },
    /// Switch an entry off, for all processes
    #[command(after_help = DISABLE_HELP)]
    Disable {
        /// The entry
        key: String,
    },
    /// Enqueue the job of an entry now, whether it is switched on or not
    #[command(after_help = RUN_HELP)]
    Run {
        /// The entry
        key: String,
    },
}

const LIST_HELP: &str = "\
Entries are those of goodjob.toml, of GOOD_JOB_CRON and of the program. Times are in UTC.

Examples:
  goodjob cron list
  goodjob cron list --json | jq -r 'select(.enabled | not) | .key'";

const DISABLE_HELP: &str = "\
Counts from the next tick on; jobs that are stored already are run.

Example: goodjob cron disable nightly";

const RUN_HELP: &str = "\
Its ticks go on as if it had not been run.

Example: goodjob jobs show $(goodjob cron run nightly)";
