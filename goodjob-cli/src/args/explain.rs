//! What is to be explained: a job, or a queue string.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand};
use goodjob_core::JobId;

pub(super) const HELP: &str = "\
The first line is the verdict; the reasons follow, each with what shows it and the earliest start, if that \
can be known. Nothing is written.

Examples:
  goodjob explain 0193f1c0-0000-7000-8000-000000000001
  goodjob explain 0193f1c0-0000-7000-8000-000000000001 --json";

const QUEUES_HELP: &str = "\
Shows what each pool takes of the queues in the table, which queues nobody takes, which short jobs share \
slots with much longer ones everywhere, and the connections needed. Nothing is written.

Examples:
  goodjob queues explain \"mice:2;elephants:1\"
  goodjob queues explain \"-elephants\" --max-threads 10 --json
  goodjob queues explain                                         # the setting";

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub(crate) id: JobId,
}

#[derive(Subcommand)]
pub(crate) enum QueuesCommand {
    /// Say what a queue string comes to, held against the queues in the table
    #[command(after_help = QUEUES_HELP)]
    Explain(QueuesExplainArgs),
}

#[derive(Args)]
pub(crate) struct QueuesExplainArgs {
    /// The queue string; without it that of the settings
    #[arg(value_name = "STRING", allow_hyphen_values = true)]
    pub(crate) string: Option<String>,
    /// Jobs that a pool without a number of its own runs at once; without it that of the settings
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_threads: Option<NonZeroUsize>,
}
