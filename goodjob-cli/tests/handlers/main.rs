//! Handlers as a worker runs them: real commands, a real server on the loopback, real signals.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod command;
mod cutoff;
mod examples;
mod trial;
mod webhook;
