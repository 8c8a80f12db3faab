//! `goodjob jobs show`: everything about a job.

use std::fmt::Write;

use goodjob_core::{ExecutionRecord, JobId, JobNotes, Progress, Timestamp, Trace};
use goodjob_postgres::PgStore;
use goodjob_postgres::jobs::{JobDetails, LockHolder, Owner};

use super::words::{harmless, moment};
use crate::commands::Workplace;
use crate::error::CliError;

pub(super) async fn show(id: JobId, workplace: &Workplace) -> Result<(), CliError> {
    let store = PgStore::connect(workplace.database()?).await?;
    let shown = store.show(id).await?;
    store.close().await;
    let shown = shown.ok_or_else(|| CliError::Failed(format!("there is no job {id}")))?;
    workplace.output().result(&shown, || text(&shown));
    Ok(())
}

fn text(shown: &JobDetails) -> String {
    let (job, now) = (&shown.job, shown.now);
    let time = |at: Option<Timestamp>| at.map(|at| moment(at, now));
    let mut lines = Lines(String::new());
    lines.add("job", Some(job.id.to_string()));
    lines.add("class", Some(job.class.clone()));
    lines.add("state", Some(shown.state.to_string()));
    lines.add("queue", Some(job.queue.clone().unwrap_or_else(|| "(none)".to_owned())));
    lines.add("priority", job.priority.map(|priority| priority.to_string()));
    lines.add("labels", (!job.labels.is_empty()).then(|| job.labels.join(", ")));
    lines.add("enqueued", time(Some(job.created_at)));
    let parent = Trace::of(&job.payload).parent();
    lines.add("enqueued by", parent.map(|parent| format!("job {parent}")));
    lines.add("due", time(job.scheduled_at));
    lines.add("started", time(job.performed_at));
    lines.add("finished", time(job.finished_at));
    lines.add("attempts", Some(job.executions_count.to_string()));
    lines.add("error", job.error.clone());
    lines.add("progress", shown.notes.as_ref().and_then(|notes| progress(notes, now)));
    lines.add("batch", job.ties.batch.map(|batch| batch.to_string()));
    lines.add("callback of", job.ties.batch_callback.map(|batch| batch.to_string()));
    lines.add("cron", job.ties.tick.as_ref().map(|tick| tick.key.clone()));
    lines.add("cron tick", time(job.ties.tick.as_ref().and_then(|tick| tick.at)));
    lines.add("concurrency", job.ties.concurrency_key.clone());
    lines.add("owner", shown.owner.as_ref().map(owner));
    lines.add("since", shown.owner.as_ref().and_then(|_| time(shown.locked_at)));
    for lock in &shown.locks {
        lines.add("lock", Some(holder(lock)));
    }
    let mut text = lines.0;
    let arguments = match job.payload.get("arguments") {
        // Values of JSON can be written as JSON.
        Some(arguments) => serde_json::to_string_pretty(arguments).unwrap_or_default(),
        None => "none can be read".to_owned(),
    };
    let _ = write!(text, "\narguments\n{}\n", harmless(&arguments));
    if let Some(result) = shown.notes.as_ref().and_then(|notes| notes.result.as_ref()) {
        let result = serde_json::to_string_pretty(result).unwrap_or_default();
        let _ = write!(text, "\nresult\n{}\n", harmless(&result));
    }
    for (n, attempt) in shown.executions.iter().enumerate() {
        text.push('\n');
        text.push_str(&attempt_text(n + 1, attempt, now));
    }
    text
}

/// Names on the left, values on the right; what there is not is left out.
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            // Further lines of an error stand below its first.
            let value = harmless(&value).replace('\n', &format!("\n{:13}", ""));
            // Writing to a String cannot fail.
            let _ = writeln!(self.0, "{name:13}{value}");
        }
    }
}

/// How far it was, when, and whether a former attempt said so.
fn progress(notes: &JobNotes, now: Timestamp) -> Option<String> {
    let said = &notes.progress;
    let when = moment(notes.noted_at, now);
    (*said != Progress::default())
        .then(|| format!("{said}\nnoted {when}, at start {}", notes.attempt))
}

fn owner(owner: &Owner) -> String {
    let what = match (owner.known, owner.alive) {
        (false, _) => "no process of that id is known",
        (true, true) => "alive",
        (true, false) => "dead",
    };
    let host = owner.hostname.as_deref().map(|host| format!(" on {host}")).unwrap_or_default();
    let pid = owner.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    format!("process {}{host}{pid}: {what}", owner.id)
}

pub(in crate::commands) fn holder(lock: &LockHolder) -> String {
    let verb = if lock.held { "held by" } else { "awaited by" };
    let pid = lock.pid.map(|pid| format!(" (pid {pid} of the server)")).unwrap_or_default();
    let name = lock.application.as_deref().filter(|name| !name.is_empty());
    let name = name.unwrap_or("a session without a name");
    let from = lock.client.as_deref().map(|client| format!(" from {client}")).unwrap_or_default();
    format!("{verb} {name}{from}{pid}")
}

fn attempt_text(number: usize, attempt: &ExecutionRecord, now: Timestamp) -> String {
    let end = match (attempt.finished_at, &attempt.error, attempt.error_event) {
        (None, ..) => "not ended".to_owned(),
        (Some(_), None, _) => "succeeded".to_owned(),
        // As in the JSON, with the words of the gem.
        (Some(_), Some(_), Some(event)) => serde_json::to_value(event)
            .ok()
            .and_then(|event| event.as_str().map(|name| name.replace('_', " ")))
            .unwrap_or_default(),
        (Some(_), Some(_), None) => "failed".to_owned(),
    };
    let mut lines = Lines(format!("attempt {number}: {end}\n"));
    lines.add("  started", Some(moment(attempt.started_at, now)));
    lines
        .add("  took", attempt.duration.map(|duration| format!("{:.3} s", duration.as_secs_f64())));
    lines.add("  process", attempt.process.map(|process| process.to_string()));
    lines.add("  error", attempt.error.clone());
    for frame in &attempt.backtrace {
        lines.add("", Some(frame.clone()));
    }
    lines.0
}
