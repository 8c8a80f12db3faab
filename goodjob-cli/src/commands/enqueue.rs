//! `goodjob enqueue`: stores one job.

use goodjob_core::{EnqueueError, Inserted, NewJob};
use goodjob_postgres::PgStore;
use serde_json::json;

use super::Workplace;
use crate::args::{EnqueueArgs, WorkerSettings};
use crate::error::CliError;
use crate::settings::Settings;

pub(super) async fn enqueue(args: &EnqueueArgs, workplace: &Workplace) -> Result<(), CliError> {
    // First, so that a job that cannot be is not blamed on the database.
    let job = args.job()?;
    let id = job.id;
    let settings = workplace.settings(&WorkerSettings::default())?;
    let job = limited(job, &settings)?;
    let store = PgStore::connect(settings.database.ok_or(CliError::NoDatabase)?).await?;
    let answers = store.adapter().enqueue_all([job]).await?;
    store.close().await;
    if let Some(Inserted::Stopped { by, .. }) = answers.into_iter().next() {
        return Err(EnqueueError::LimitExceeded(by).into());
    }
    workplace.output().result(&json!({ "id": id }), || id.to_string());
    Ok(())
}

/// The job with the limits that the settings file has for its class. Those of a program's own jobs hold where
/// that program enqueues them.
fn limited(job: NewJob, settings: &Settings) -> Result<NewJob, CliError> {
    let Some(class) = settings.jobs.get(&job.class) else { return Ok(job) };
    let failed = |error: String| CliError::Failed(error);
    let templates = class.limits(&job.class).map_err(|error| failed(error.to_string()))?;
    let limits = templates.of(&job.arguments).map_err(|error| failed(error.to_string()))?;
    Ok(job.limited(limits)?)
}
