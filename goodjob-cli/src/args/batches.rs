//! What `goodjob batches` takes.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use goodjob_core::{BatchId, BatchQuery, BatchState};

#[derive(Subcommand)]
pub(crate) enum BatchesCommand {
    /// List batches, newest first, with counts of their jobs
    #[command(after_help = LIST_HELP)]
    List(BatchListArgs),
    /// Show everything about a batch, with its properties
    #[command(after_help = "Example: goodjob batches show 0193f1c0-0000-7000-8000-000000000001")]
    Show {
        /// The batch
        #[arg(value_name = "ID")]
        id: BatchId,
    },
    /// Run the discarded jobs of batches again, and call back again when all are over
    #[command(after_help = RETRY_HELP)]
    Retry {
        /// The batches
        #[arg(value_name = "ID", required = true)]
        ids: Vec<BatchId>,
    },
}

const LIST_HELP: &str = "\
Jobs whose rows were deleted are not counted.

Examples:
  goodjob batches list --state discarded
  goodjob batches list --description 'import of June' --json
  goodjob batches list --after 0193f1c0-0000-7000-8000-000000000001";

const RETRY_HELP: &str = "\
Jobs that somebody has locked are left alone. Exits with 3 if a batch that was named was not retried, as \
none of its jobs was discarded or it is not there.

Example: goodjob batches retry 0193f1c0-0000-7000-8000-000000000001";

#[derive(Args)]
pub(crate) struct BatchListArgs {
    /// In this state
    #[arg(long, value_name = "STATE", value_parser = state_parser())]
    state: Option<BatchState>,
    /// With this text in the description, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How many batches at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Go on after this batch, the last of the page before
    #[arg(long, value_name = "ID")]
    after: Option<BatchId>,
}

impl BatchListArgs {
    /// What is asked for, and one more, to see whether there are others.
    pub(crate) fn query(&self) -> BatchQuery {
        BatchQuery {
            id: None,
            state: self.state,
            description: self.description.clone(),
            after: self.after,
            limit: self.limit + 1,
        }
    }

    /// How many are shown.
    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }
}

fn state_parser() -> impl TypedValueParser<Value = BatchState> {
    let names = BatchState::ALL.map(BatchState::name);
    PossibleValuesParser::new(names).try_map(move |name| {
        let state = BatchState::ALL.into_iter().find(|state| state.name() == name);
        state.ok_or_else(|| format!("expected one of {}", names.join(", ")))
    })
}
