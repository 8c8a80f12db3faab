//! The command line, as typed.

mod batches;
#[cfg(feature = "demo")]
mod bench;
mod cleanup;
mod cron;
// Commands that are measured and shown are among those of the documents.
#[cfg(all(test, feature = "demo"))]
mod documents;
mod enqueue;
mod explain;
mod jobs;
mod pauses;
mod setting_flags;

pub(crate) use batches::{BatchListArgs, BatchesCommand};
#[cfg(feature = "demo")]
pub(crate) use bench::{
    BacklogArgs, BacklogKind, BenchCommand, DrainArgs, EnqueueArgs as BenchEnqueueArgs,
    LatencyArgs, SustainedArgs, Work,
};
pub(crate) use cleanup::CleanupArgs;
pub(crate) use cron::CronCommand;
pub(crate) use enqueue::{ArgumentsJson, EnqueueArgs};
pub(crate) use explain::{ExplainArgs, QueuesCommand, QueuesExplainArgs};
pub(crate) use jobs::{Choice, JobsCommand, ListArgs};
pub(crate) use pauses::PauseArgs;
pub(crate) use setting_flags::{GlobalSettings, WorkerSettings};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Background jobs on Postgres, in the tables of Ruby's GoodJob.
#[derive(Parser)]
#[command(
    name = "goodjob",
    version,
    propagate_version = true,
    after_help = "Settings come from flags, then the environment, then goodjob.toml, then defaults.\n\
                  Exit codes: 0 done, 1 failed, 2 usage, 3 a check failed, 4 jobs were cut off,\n\
                  69 database not reachable, 78 configuration or tables, 130/143 second signal."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The heading in help of what every command takes.
const EVERYWHERE: &str = "Options of every command";

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = EVERYWHERE)]
pub(crate) struct Global {
    /// Print results as JSON on stdout; everything else is on stderr anyway
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log warnings and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more; twice for everything. RUST_LOG has the last word
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The settings file [default: goodjob.toml, if it is there] [env: GOOD_JOB_CONFIG]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: GlobalSettings,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run jobs until told to stop
    #[command(visible_alias = "worker", after_help = START_HELP)]
    Start(StartArgs),
    /// Make the tables, or bring them up to date
    #[command(after_help = "Example: goodjob migrate --sql > db/migrate/goodjob.sql")]
    Migrate(MigrateArgs),
    /// Look for what is wrong with the database, and say how to mend it
    #[command(after_help = "Example: goodjob doctor --database-url postgres://localhost/app")]
    Doctor,
    /// Store a job
    #[command(after_help = enqueue::HELP)]
    Enqueue(EnqueueArgs),
    /// Find jobs, and retry, discard, reschedule or delete them
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Find batches, and retry those with discarded jobs
    #[command(subcommand)]
    Batches(BatchesCommand),
    /// Say why a job is not running
    #[command(after_help = explain::HELP)]
    Explain(ExplainArgs),
    /// Look at queue strings
    #[command(subcommand)]
    Queues(QueuesCommand),
    /// See the cron entries, switch them on and off, run one now
    #[command(subcommand)]
    Cron(CronCommand),
    /// Show queues, processes and jobs that nobody takes
    #[command(after_help = "Example, for a container's health check: goodjob status --check")]
    Status(StatusArgs),
    /// Keep workers from taking jobs of a queue, a class or a label
    #[command(after_help = pauses::PAUSE_HELP)]
    Pause(PauseArgs),
    /// Let workers take them again
    #[command(after_help = pauses::UNPAUSE_HELP)]
    Unpause(PauseArgs),
    /// Show what is paused
    #[command(after_help = "Example: goodjob pauses --json")]
    Pauses,
    /// Delete finished jobs that are old enough
    #[command(visible_alias = "cleanup_preserved_jobs", after_help = cleanup::HELP)]
    CleanupPreservedJobs(CleanupArgs),
    /// See slow and quick jobs share a worker without waiting for each other
    #[cfg(feature = "demo")]
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// Measure how fast jobs are stored, found and done here
    #[cfg(feature = "demo")]
    #[command(subcommand, after_help = bench::HELP)]
    Bench(BenchCommand),
    /// Try a job's handler without a database
    #[command(after_help = "Example: goodjob exec --class HelloJob --args '{\"name\": \"Ada\"}'")]
    Exec(ExecArgs),
    /// Show or check the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell
    #[command(after_help = "Example: goodjob completions bash > /etc/bash_completion.d/goodjob")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write manual pages into a directory
    #[command(after_help = "Example: goodjob man /usr/local/share/man/man1")]
    Man {
        /// The directory, which has to exist
        directory: PathBuf,
    },
}

const START_HELP: &str = "\
The first SIGINT or SIGTERM takes no new jobs and waits as --shutdown-timeout says; the second does \
not wait.

Examples:
  goodjob start
  goodjob start --queues \"mice:2;elephants:1\" --shutdown-timeout 30
  goodjob start --once";

#[cfg(feature = "demo")]
const DEMO_HELP: &str = "\
Brings its own Postgres unless a database is set, and leaves nothing behind. Exits with 0 only if every \
job ran exactly once.

Example: goodjob demo --json";

/// The load of the demo.
#[cfg(feature = "demo")]
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// How many quick jobs
    #[arg(long, default_value_t = 200)]
    pub(crate) mice: usize,
    /// How many slow jobs
    #[arg(long, default_value_t = 5)]
    pub(crate) elephants: usize,
    /// How long a quick job takes, in milliseconds
    #[arg(long, default_value_t = 10, value_name = "MILLISECONDS")]
    pub(crate) mouse_millis: u64,
    /// How long a slow job takes, in seconds
    #[arg(long, default_value_t = 2.5, value_name = "SECONDS")]
    pub(crate) elephant_seconds: f64,
}

#[derive(Args)]
pub(crate) struct StartArgs {
    /// Run what is due, then exit; cron stays off
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) settings: WorkerSettings,
}

#[derive(Args)]
pub(crate) struct MigrateArgs {
    /// Show what would be done and which tables and indexes that adds, and do nothing
    #[arg(long, conflicts_with = "sql")]
    pub(crate) dry_run: bool,
    /// As --dry-run, and exit with 3 if there is anything to do: for CI
    #[arg(long, conflicts_with = "sql")]
    pub(crate) check: bool,
    /// Print the SQL for another tool; needs no database
    #[arg(long)]
    pub(crate) sql: bool,
    /// Make all of the gem's indexes, which its dashboard uses; by default only what workers need
    #[arg(long)]
    pub(crate) gem_indexes: bool,
    /// Make a table that not everybody needs, besides; may be repeated
    #[arg(long, value_enum, value_name = "TABLE")]
    pub(crate) with: Vec<OptIn>,
}

/// A table that is made by name only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OptIn {
    /// goodjob_notes: progress and results that jobs say of themselves, for `goodjob jobs show`
    Notes,
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Exit with 3 unless a process is alive and takes every class that has due jobs
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Args)]
pub(crate) struct ExecArgs {
    /// The job's class
    #[arg(long)]
    pub(crate) class: String,
    #[command(flatten)]
    pub(crate) arguments: ArgumentsJson,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, its value and where that comes from; secrets are left out
    #[command(after_help = "Example: goodjob config show --queues \"mice:2;elephants:1\"")]
    Show(WorkerSettings),
    /// Exit with 3 if a setting is wrong or looks mistyped
    #[command(after_help = "Example: goodjob --config deploy/goodjob.toml config check")]
    Check(WorkerSettings),
}
