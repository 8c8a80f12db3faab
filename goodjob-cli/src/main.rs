//! The stock `goodjob` binary: every command, and the jobs that `goodjob.toml` lists.

fn main() {}
