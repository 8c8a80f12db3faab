//! A worker of one's own: every command of `goodjob`, and the jobs that are registered here.
//!
//! Try it without a database: `cargo run --example worker -- exec --class HelloJob --args '{"name":"Ada"}'`

use std::process::ExitCode;

use goodjob_core::{Context, Job, JobResult, Perform, Registry};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Hello {
    name: String,
}

impl Job for Hello {
    const CLASS: &'static str = "HelloJob";
}

impl Perform for Hello {
    async fn perform(self, _: Context) -> JobResult {
        println!("hello, {}", self.name);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    goodjob_cli::run(Registry::default().register::<Hello>()).await
}
