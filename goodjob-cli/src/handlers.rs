//! Jobs that are done elsewhere: by a command, or by a server that is posted to.
//!
//! | file | what happens |
//! |---|---|
//! | `settings.rs` | a `[jobs."ClassName"]` table, as written |
//! | `build.rs` | the table is checked and becomes a [`Handler`](goodjob_core::Handler) |
//! | `limits.rs` | how many of its jobs wait and run, by keys made of their arguments |
//! | `input.rs` | the job becomes the JSON object that every handler is given |
//! | `command.rs` | a process is started, fed, listened to and judged by its exit code |
//! | `webhook.rs` | a request is signed, sent and judged by its status |
//! | `answer.rs` | what both may say about an error, as JSON |
//! | `cutoff.rs` | when an attempt has to end before its time |
//!
//! The contract for those who write such commands and servers is in `docs/handlers.md`.

mod answer;
mod build;
mod command;
mod cutoff;
mod input;
mod limits;
mod problem;
mod settings;
mod webhook;

pub use build::{
    DEFAULT_ATTEMPTS, DEFAULT_COMMAND_TIMEOUT, DEFAULT_KILL_AFTER, DEFAULT_URL_TIMEOUT,
};
pub use problem::HandlerError;
pub use settings::HandlerSettings;
