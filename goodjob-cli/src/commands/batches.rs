//! `goodjob batches`: finds batches, shows them, and retries them.

use std::fmt::Write;

use goodjob_core::{
    BatchEvent, BatchId, BatchQuery, BatchStore, BatchSummary, RetriedBatch, Timestamp,
};
use goodjob_postgres::PgStore;
use serde_json::{Value, json};

use super::Workplace;
use super::jobs::words::{harmless, jobs, moment, relative, short};
use crate::args::{BatchListArgs, BatchesCommand, WorkerSettings};
use crate::error::CliError;
use crate::output::{table, tell};

/// How much of a description fits beside the rest.
const DESCRIPTION_WIDTH: usize = 40;

pub(super) async fn batches(
    command: BatchesCommand,
    workplace: &Workplace,
) -> Result<(), CliError> {
    match command {
        BatchesCommand::List(args) => list(&args, workplace).await,
        BatchesCommand::Show { id } => show(id, workplace).await,
        BatchesCommand::Retry { ids } => retry(&ids, workplace).await,
    }
}

async fn list(args: &BatchListArgs, workplace: &Workplace) -> Result<(), CliError> {
    let store = PgStore::connect(workplace.database()?).await?;
    let query = args.query();
    if let Some(after) = query.after {
        find(&store, after).await?;
    }
    let mut found = store.batches(&query).await?;
    store.close().await;
    let more = found.len() > args.limit();
    found.truncate(args.limit());
    workplace.output().list(&found, || text_of_list(&found));
    if let (true, Some(last)) = (more, found.last()) {
        let next = format!("there are older ones; go on with --after {}", last.batch.id);
        tell("more", &next);
    }
    Ok(())
}

async fn find(store: &PgStore, id: BatchId) -> Result<BatchSummary, CliError> {
    let query = BatchQuery { id: Some(id), ..BatchQuery::default() };
    let found = store.batches(&query).await?.pop();
    found.ok_or_else(|| CliError::Failed(format!("there is no batch {id}")))
}

fn text_of_list(found: &[BatchSummary]) -> String {
    if found.is_empty() {
        return "no batches".to_owned();
    }
    let now = chrono::Utc::now();
    let headers = ["id", "description", "state", "made", "jobs", "open", "discarded"];
    let rows = found.iter().map(|found| {
        let description = found.batch.spec.description.as_deref().unwrap_or_default();
        [
            found.batch.id.to_string(),
            short(description, DESCRIPTION_WIDTH),
            found.state.to_string().replace('_', " "),
            relative(found.batch.created_at, now),
            found.jobs.to_string(),
            found.open_jobs.to_string(),
            found.discarded_jobs.to_string(),
        ]
    });
    table(headers, rows)
}

async fn show(id: BatchId, workplace: &Workplace) -> Result<(), CliError> {
    let store = PgStore::connect(workplace.database()?).await?;
    let found = find(&store, id).await?;
    store.close().await;
    workplace.output().result(&found, || text(&found));
    Ok(())
}

fn text(found: &BatchSummary) -> String {
    let (batch, now) = (&found.batch, chrono::Utc::now());
    let spec = &batch.spec;
    let time = |at: Option<Timestamp>| at.map(|at| moment(at, now));
    let counted = |all: u64, open: u64, discarded: u64| {
        let mut counted = format!("{all}, {open} not over");
        if discarded > 0 {
            counted.push_str(&format!(", {discarded} discarded"));
        }
        counted
    };
    let mut lines = vec![
        ("batch", Some(batch.id.to_string())),
        ("description", spec.description.clone()),
        ("state", Some(found.state.to_string().replace('_', " "))),
        ("jobs", Some(counted(found.jobs, found.open_jobs, found.discarded_jobs))),
        ("callbacks", Some(counted(found.callbacks, found.open_callbacks, 0))),
        ("made", time(Some(batch.created_at))),
        ("enqueued", time(batch.enqueued_at)),
        ("discarded", time(batch.discarded_at)),
        ("jobs over", time(batch.jobs_finished_at)),
        ("finished", time(batch.finished_at)),
    ];
    for (name, event) in [
        ("on discard", BatchEvent::Discard),
        ("on success", BatchEvent::Success),
        ("on finish", BatchEvent::Finish),
    ] {
        lines.push((name, spec.callback(event).map(str::to_owned)));
    }
    lines.push(("queue", spec.callback_queue.clone()));
    lines.push(("priority", spec.callback_priority.map(|priority| priority.to_string())));
    let mut text = String::new();
    for (name, value) in lines {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{name:13}{}",
                harmless(&value).replace('\n', &format!("\n{:13}", ""))
            );
        }
    }
    // Values of JSON can be written as JSON.
    let properties = spec.properties.as_ref().unwrap_or(&Value::Null);
    let properties = serde_json::to_string_pretty(properties).unwrap_or_default();
    let _ = write!(text, "\nproperties\n{}", harmless(&properties));
    text
}

async fn retry(ids: &[BatchId], workplace: &Workplace) -> Result<(), CliError> {
    let settings = workplace.settings(&WorkerSettings::default())?;
    let store = PgStore::connect(settings.database.ok_or(CliError::NoDatabase)?).await?;
    let (mut results, mut lines, mut missed) = (Vec::new(), Vec::new(), 0_u64);
    for id in ids {
        let (result, count) = match store.retry_batch(*id, &settings.callbacks).await? {
            RetriedBatch::Retried { jobs: count } => {
                lines.push(format!("retried {} of batch {id}", jobs(count, "")));
                ("done", count)
            }
            RetriedBatch::NotDiscarded => {
                tell("warning", &format!("no job of batch {id} was discarded"));
                missed += 1;
                ("wrong_state", 0)
            }
            RetriedBatch::Gone => {
                tell("warning", &format!("there is no batch {id}"));
                missed += 1;
                ("gone", 0)
            }
        };
        results.push(json!({ "id": id, "result": result, "jobs": count }));
    }
    store.close().await;
    workplace.output().list(&results, || lines.join("\n"));
    match missed {
        0 => Ok(()),
        1 => Err(CliError::Check("1 batch could not be retried".to_owned())),
        missed => Err(CliError::Check(format!("{missed} batches could not be retried"))),
    }
}
