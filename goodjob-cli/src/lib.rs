//! The goodjob command, as a binary and as a library for workers with their own jobs.

pub mod handlers;
