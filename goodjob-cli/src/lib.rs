//! The goodjob command, as a binary and as a library for workers with their own jobs.
//!
//! A worker of one's own is every command of `goodjob` plus the application's jobs:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use goodjob_core::{Context, Job, JobResult, Perform, Registry};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)] struct Hello { name: String }
//! # impl Job for Hello { const CLASS: &'static str = "HelloJob"; }
//! # impl Perform for Hello { async fn perform(self, _: Context) -> JobResult { Ok(()) } }
//!
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     goodjob_cli::run(Registry::default().register::<Hello>()).await
//! }
//! ```
//!
//! `app.rs` is what the application brings, `args.rs` is what was typed, `settings.rs` what that and the environment and `goodjob.toml` mean,
//! `commands/` what is then done, `error.rs` how it can fail and with which exit code. [`handlers`] are
//! jobs done by commands and servers instead of Rust. For an application's own servers there are
//! [`Configuration`], the same settings as a value, and [`probe`].

mod app;
mod args;
mod commands;
mod configuration;
mod environment;
mod error;
pub mod handlers;
mod logging;
mod output;
mod pidfile;
pub mod probe;
mod settings;
mod signals;
mod systemd;
#[cfg(feature = "otel")]
mod traces;

pub use app::App;
pub use configuration::{Configuration, ConfigurationError};
pub use environment::Environment;
pub use error::exit;
pub use signals::{Interrupt, Signals};

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use commands::Workplace;
use error::CliError;

/// Does what the command line says, with the application's jobs, or its jobs and cron entries ([`App`]).
///
/// Settings come from flags, then the environment, then `goodjob.toml`, then defaults. It logs
/// through a `tracing` subscriber of its own unless one is installed already.
pub async fn run(app: impl Into<App>) -> ExitCode {
    let invocation = Invocation {
        args: std::env::args_os().collect(),
        environment: Environment::of_process(),
        directory: PathBuf::from("."),
    };
    run_with(invocation, app).await
}

/// How the command was called, as a value.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The program's name and its arguments.
    pub args: Vec<OsString>,
    /// The environment.
    pub environment: Environment,
    /// Where `goodjob.toml` is looked for.
    pub directory: PathBuf,
}

/// [`run`] with the command line and environment given.
pub async fn run_with(invocation: Invocation, app: impl Into<App>) -> ExitCode {
    let cli = match Cli::try_parse_from(&invocation.args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" that go to stdout and end well.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE });
        }
    };
    let workplace = Workplace::new(cli.global, invocation.environment, invocation.directory);
    let ended = commands::run(cli.command, &workplace, app.into()).await;
    #[cfg(feature = "otel")]
    traces::flush().await;
    match ended {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) => {
            report(&error);
            ExitCode::from(error.code())
        }
    }
}

fn report(error: &CliError) {
    match error {
        CliError::Settings(problems) => {
            problems.0.iter().for_each(|problem| output::tell("error", problem));
        }
        error => output::tell("error", error),
    }
}

/// The code in the documents compiles. (Where a page or the README shows a whole program, that is an example or
/// a test, and `goodjob-cli/tests/project/snippets.rs` compares them.)
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../docs/async.md")]
    mod in_process {}
    #[doc = include_str!("../../docs/deploying.md")]
    mod deploying {}
    #[doc = include_str!("../../docs/cli.md")]
    mod cli {}
    #[doc = include_str!("../../docs/batches.md")]
    mod batches {}
    #[doc = include_str!("../../docs/cron.md")]
    mod cron {}
    #[doc = include_str!("../../docs/retries.md")]
    mod retries {}
    #[doc = include_str!("../../docs/hooks.md")]
    mod hooks {}
    #[doc = include_str!("../../docs/jobs.md")]
    mod jobs {}
    #[doc = include_str!("../../docs/queues.md")]
    mod queues {}
    #[doc = include_str!("../../docs/limits.md")]
    mod limits {}
    #[doc = include_str!("../../docs/promises.md")]
    mod promises {}
    #[doc = include_str!("../../docs/beside-ruby.md")]
    mod beside_ruby {}
    #[doc = include_str!("../../docs/explain.md")]
    mod explain {}
    #[doc = include_str!("../../docs/operations.md")]
    mod operations {}
    #[doc = include_str!("../../docs/moving.md")]
    mod moving {}
}
