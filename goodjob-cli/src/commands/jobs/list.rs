//! `goodjob jobs list`: a page of jobs, newest first.

use goodjob_core::JobId;
use goodjob_postgres::PgStore;
use goodjob_postgres::jobs::{Cursor, Filter, JobList, JobSummary, Page};

use super::words::{harmless, relative, short};
use crate::args::ListArgs;
use crate::commands::Workplace;
use crate::error::CliError;
use crate::output::{table, tell};

/// How much of an error fits beside the rest.
const ERROR_WIDTH: usize = 60;

pub(super) async fn list(args: &ListArgs, workplace: &Workplace) -> Result<(), CliError> {
    // First, so that what cannot be asked for is not blamed on the database.
    let filter = args.filter.filter()?;
    let store = PgStore::connect(workplace.database()?).await?;
    let after = match args.after {
        Some(id) => Some(cursor(&store, id).await?),
        None => None,
    };
    let list = store.jobs(&filter, Page { limit: args.limit, after }).await?;
    store.close().await;
    workplace.output().list(&list.jobs, || text(&list));
    if let Some(next) = list.next {
        tell("more", &format!("there are older ones; go on with --after {}", next.id));
    }
    Ok(())
}

async fn cursor(store: &PgStore, id: JobId) -> Result<Cursor, CliError> {
    let found = store.jobs(&Filter::new().ids([id]), Page::first(1)).await?;
    found.jobs.first().map(JobSummary::cursor).ok_or_else(|| {
        CliError::Failed(format!("--after: there is no job {id} any more; begin without it"))
    })
}

fn text(list: &JobList) -> String {
    let headers = ["id", "class", "queue", "state", "when", "attempts", "error"];
    if list.jobs.is_empty() {
        return "no jobs".to_owned();
    }
    table(headers, list.jobs.iter().map(|job| row(job, list)))
}

fn row(job: &JobSummary, list: &JobList) -> [String; 7] {
    [
        job.id.to_string(),
        harmless(&job.class),
        job.queue.as_deref().map_or_else(|| "(none)".to_owned(), harmless),
        job.state.to_string(),
        relative(job.at(), list.now),
        job.executions_count.to_string(),
        job.error.as_deref().map(|error| short(error, ERROR_WIDTH)).unwrap_or_default(),
    ]
}
