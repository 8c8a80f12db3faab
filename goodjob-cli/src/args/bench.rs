//! What `goodjob bench` takes.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

pub(super) const HELP: &str = "\
Measures on a throwaway server, or on the database that is set: there it works in queues of its own, \
goodjob-bench-…, and removes its rows at the end, also when it is interrupted.

Figures belong to the machine and the moment. Compare what one call measured: with --limit, goodjob's \
figure and that of raw SQL.

Examples:
  goodjob bench drain --limit
  goodjob bench drain --slots 10,500 --queues 1,100
  goodjob bench latency --limit --json
  goodjob bench backlog --rows 1000000 --kinds due,finished";

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// How fast a worker gets through jobs that wait
    Drain(DrainArgs),
    /// How long a job waits between being enqueued and starting, on an idle worker
    Latency(LatencyArgs),
    /// How fast jobs are stored: one by one, by four at once, many in one call
    Enqueue(EnqueueArgs),
    /// How fast a worker is while jobs keep coming
    Sustained(SustainedArgs),
    /// How fast a worker is while other rows are in the tables
    Backlog(BacklogArgs),
}

impl BenchCommand {
    /// What all of them take.
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Drain(DrainArgs { common, .. })
            | Self::Latency(LatencyArgs { common, .. })
            | Self::Enqueue(EnqueueArgs { common, .. })
            | Self::Sustained(SustainedArgs { common, .. })
            | Self::Backlog(BacklogArgs { common, .. }) => common,
        }
    }
}

#[derive(Args)]
pub(crate) struct Common {
    /// Measure raw SQL of the same work too, in turns with goodjob, and show the ratio
    #[arg(long)]
    pub(crate) limit: bool,
    /// How often each is measured; the median counts
    #[arg(long, default_value = "3", value_name = "NUMBER")]
    pub(crate) runs: NonZeroUsize,
    /// On the throwaway server: make all of the gem's indexes
    #[arg(long)]
    pub(crate) gem_indexes: bool,
}

/// How jobs are done.
#[derive(Args)]
pub(crate) struct Work {
    /// How many jobs a worker runs at once
    #[arg(long, default_value = "10", value_delimiter = ',', value_name = "NUMBER,…")]
    pub(crate) slots: Vec<NonZeroUsize>,
    /// Do not keep finished jobs, as with --preserve-job-records false
    #[arg(long)]
    pub(crate) no_history: bool,
    /// Let the worker take every queue and not only those of the bench
    #[arg(long)]
    pub(crate) every_queue: bool,
}

#[derive(Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) work: Work,
    /// How many jobs each measurement drains
    #[arg(long, default_value = "40000", value_name = "NUMBER")]
    pub(crate) jobs: NonZeroU64,
    /// How many workers share the work
    #[arg(long, default_value = "1", value_delimiter = ',', value_name = "NUMBER,…")]
    pub(crate) processes: Vec<NonZeroUsize>,
    /// Over how many queues the jobs are spread
    #[arg(long, default_value = "1", value_delimiter = ',', value_name = "NUMBER,…")]
    pub(crate) queues: Vec<NonZeroU64>,
    /// Over how many priorities the jobs are spread
    #[arg(long, default_value = "1", value_delimiter = ',', value_name = "NUMBER,…")]
    pub(crate) priorities: Vec<NonZeroU64>,
}

#[derive(Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) work: Work,
    /// How many jobs each measurement enqueues
    #[arg(long, default_value = "300", value_name = "NUMBER")]
    pub(crate) jobs: NonZeroU64,
    /// Time between two jobs
    #[arg(long, default_value = "20ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) gap: Duration,
}

#[derive(Args)]
pub(crate) struct EnqueueArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many jobs are stored one by one
    #[arg(long, default_value = "3000", value_name = "NUMBER")]
    pub(crate) jobs: NonZeroU64,
    /// How many jobs are stored in one call
    #[arg(long, default_value = "10000", value_name = "NUMBER")]
    pub(crate) many: NonZeroU64,
}

#[derive(Args)]
pub(crate) struct SustainedArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) work: Work,
    /// How long each measurement lasts
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) time: Duration,
    /// How many jobs may wait: more are enqueued when half of them are gone
    #[arg(long, default_value = "2000", value_name = "NUMBER")]
    pub(crate) waiting: NonZeroU64,
}

#[derive(Args)]
pub(crate) struct BacklogArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) work: Work,
    /// How many jobs each measurement drains
    #[arg(long, default_value = "40000", value_name = "NUMBER")]
    pub(crate) jobs: NonZeroU64,
    /// How many rows of each kind are in the way
    #[arg(long, default_value = "200000", value_delimiter = ',', value_name = "NUMBER,…")]
    pub(crate) rows: Vec<NonZeroU64>,
    /// Which rows are in the way
    #[arg(
        long,
        default_value = "future,due,finished,all",
        value_delimiter = ',',
        value_name = "KIND,…"
    )]
    pub(crate) kinds: Vec<BacklogKind>,
    /// Over how many queues rows in the way are spread
    #[arg(long, default_value = "1", value_name = "NUMBER")]
    pub(crate) backlog_queues: NonZeroU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BacklogKind {
    /// Due from an hour from now on
    Future,
    /// Due, in another queue, of a class that nobody has
    Due,
    /// Finished, with an attempt each
    Finished,
    /// Each of the three
    All,
}
