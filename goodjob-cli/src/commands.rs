//! One file per command.

mod cleanup;
mod completions;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod enqueue;
mod exec;
mod jobs;
mod migrate;
mod start;
mod status;
mod workplace;

pub(crate) use workplace::{Workplace, all_jobs, settings_file};

use goodjob_core::Handlers;

use crate::args::{Command, ConfigCommand};
use crate::error::CliError;

/// Does the command.
pub(crate) async fn run(
    command: Command,
    workplace: &Workplace,
    handlers: Handlers,
) -> Result<(), CliError> {
    match command {
        Command::Start(args) => start::start(&args, workplace, handlers).await,
        Command::Migrate(args) => migrate::migrate(&args, workplace).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::demo(&args, workplace).await,
        Command::Doctor => doctor::doctor(workplace).await,
        Command::Enqueue(args) => enqueue::enqueue(&args, workplace).await,
        Command::Jobs(command) => jobs::jobs(command, workplace).await,
        Command::CleanupPreservedJobs(args) => cleanup::cleanup(&args, workplace).await,
        Command::Status(args) => status::status(&args, workplace).await,
        Command::Exec(args) => exec::exec(&args, workplace, handlers).await,
        Command::Config(ConfigCommand::Show(typed)) => config::show(&typed, workplace, &handlers),
        Command::Config(ConfigCommand::Check(typed)) => config::check(&typed, workplace, handlers),
        Command::Completions { shell } => {
            completions::completions(shell);
            Ok(())
        }
        Command::Man { directory } => completions::man(&directory),
    }
}
