//! `goodjob status`: queues, processes, and due jobs that nobody takes.

use std::time::Duration;

use goodjob_postgres::PgStore;
use goodjob_postgres::status::{
    COUNTED_UP_TO, ProcessStatus, QueueStatus, Status, Unserved, status as read,
};

use super::Workplace;
use crate::args::StatusArgs;
use crate::error::CliError;
use crate::output::table;

pub(super) async fn status(args: &StatusArgs, workplace: &Workplace) -> Result<(), CliError> {
    let store = PgStore::connect(workplace.database()?).await?;
    let status = read(&store).await?;
    store.close().await;
    workplace.output().result(&status, || text(&status));
    if args.check { check(&status) } else { Ok(()) }
}

/// Whether due jobs are being taken care of. A Ruby process does not say which classes it can do, so
/// while one is alive no class counts as unserved.
fn check(status: &Status) -> Result<(), CliError> {
    let mut alive = status.processes.iter().filter(|process| process.alive).peekable();
    if alive.peek().is_none() {
        return Err(CliError::Check("no worker is alive; run `goodjob start`".to_owned()));
    }
    match status.unserved.first() {
        Some(unserved) if alive.all(|process| process.runtime.is_some()) => {
            Err(CliError::Check(format!("{} due jobs wait: {}", unserved.due, unserved.reason)))
        }
        _ => Ok(()),
    }
}

fn text(status: &Status) -> String {
    let queues = ["queue", "scheduled", "retried", "queued", "running", "oldest due"];
    let processes = ["process", "host", "pid", "title", "queues", "last beat", "up"];
    let sections = [
        section("no unfinished jobs", queues, status.queues.iter().map(queue)),
        format!(
            "finished: {} succeeded, {} discarded",
            counted(status.succeeded),
            counted(status.discarded)
        ),
        section("no processes", processes, status.processes.iter().map(process)),
        status.unserved.iter().map(unserved).collect(),
    ];
    sections.join("\n\n")
}

fn section<const N: usize>(
    nothing: &str,
    headers: [&str; N],
    rows: impl ExactSizeIterator<Item = [String; N]>,
) -> String {
    if rows.len() == 0 { nothing.to_owned() } else { table(headers, rows) }
}

fn queue(queue: &QueueStatus) -> [String; 6] {
    [
        queue.queue.clone().unwrap_or_else(|| "(none)".to_owned()),
        queue.scheduled.to_string(),
        queue.retried.to_string(),
        queue.queued.to_string(),
        queue.running.to_string(),
        queue.oldest_due_seconds.map(span).unwrap_or_default(),
    ]
}

fn process(process: &ProcessStatus) -> [String; 7] {
    let beat = span(process.beat_seconds_ago);
    [
        process.id.to_string(),
        process.hostname.clone().unwrap_or_default(),
        process.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        process.title.clone().unwrap_or_default(),
        process.queues.join(";"),
        if process.alive { format!("{beat} ago") } else { format!("{beat} ago, dead") },
        span(process.up_seconds),
    ]
}

fn unserved(unserved: &Unserved) -> String {
    let queue = unserved.queue.as_deref().unwrap_or("(none)");
    let class = unserved.class.as_deref().unwrap_or("(none)");
    let age = span(unserved.oldest_due_seconds);
    format!("waiting: {} {class} on {queue} for {age}: {}\n", unserved.due, unserved.reason)
}

fn counted(jobs: i64) -> String {
    if jobs > COUNTED_UP_TO { format!("more than {COUNTED_UP_TO}") } else { jobs.to_string() }
}

/// Whole seconds, which is as fine as a person wants it.
fn span(seconds: f64) -> String {
    // Saturates, and is 0 for what a clock that was set back makes negative.
    humantime::format_duration(Duration::from_secs(seconds as u64)).to_string()
}
