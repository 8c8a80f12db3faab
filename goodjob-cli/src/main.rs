//! The stock `goodjob` binary: every command, and the jobs that `goodjob.toml` lists.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    goodjob_cli::run(goodjob_core::Handlers::default()).await
}
