//! One file per command.

mod batches;
#[cfg(feature = "demo")]
mod bench;
mod cleanup;
mod completions;
mod config;
mod cron;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod enqueue;
mod exec;
mod explain;
mod jobs;
mod migrate;
mod pauses;
#[cfg(feature = "demo")]
mod place;
mod queues;
mod start;
mod status;
mod workplace;

pub(crate) use workplace::{Workplace, all_entries, all_jobs, settings_file};

use crate::app::App;
use crate::args::{Command, ConfigCommand, QueuesCommand};
use crate::error::CliError;

/// Does the command.
pub(crate) async fn run(command: Command, workplace: &Workplace, app: App) -> Result<(), CliError> {
    let App { handlers, cron: entries } = app;
    match command {
        Command::Start(args) => start::start(&args, workplace, handlers, entries).await,
        Command::Migrate(args) => migrate::migrate(&args, workplace).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::demo(&args, workplace).await,
        #[cfg(feature = "demo")]
        Command::Bench(command) => bench::bench(&command, workplace).await,
        Command::Doctor => doctor::doctor(workplace).await,
        Command::Enqueue(args) => enqueue::enqueue(&args, workplace).await,
        Command::Explain(args) => explain::explain(args.id, workplace).await,
        Command::Queues(QueuesCommand::Explain(args)) => queues::explain(&args, workplace).await,
        Command::Cron(command) => cron::cron(command, workplace, entries).await,
        Command::Jobs(command) => jobs::jobs(command, workplace).await,
        Command::Batches(command) => batches::batches(command, workplace).await,
        Command::Pause(args) => pauses::pause(&args, workplace).await,
        Command::Unpause(args) => pauses::unpause(&args, workplace).await,
        Command::Pauses => pauses::list(workplace).await,
        Command::CleanupPreservedJobs(args) => cleanup::cleanup(&args, workplace).await,
        Command::Status(args) => status::status(&args, workplace).await,
        Command::Exec(args) => exec::exec(&args, workplace, handlers).await,
        Command::Config(ConfigCommand::Show(typed)) => config::show(&typed, workplace, &handlers),
        Command::Config(ConfigCommand::Check(typed)) => {
            config::check(&typed, workplace, handlers, entries)
        }
        Command::Completions { shell } => {
            completions::completions(shell);
            Ok(())
        }
        Command::Man { directory } => completions::man(&directory),
    }
}
