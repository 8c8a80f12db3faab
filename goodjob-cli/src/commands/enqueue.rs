//! `goodjob enqueue`: stores one job.

use goodjob_postgres::PgStore;
use serde_json::json;

use super::Workplace;
use crate::args::EnqueueArgs;
use crate::error::CliError;

pub(super) async fn enqueue(args: &EnqueueArgs, workplace: &Workplace) -> Result<(), CliError> {
    // First, so that a job that cannot be is not blamed on the database.
    let job = args.job()?;
    let id = job.id;
    let store = PgStore::connect(workplace.database()?).await?;
    store.adapter().enqueue_all([job]).await?;
    workplace.output().result(&json!({ "id": id }), || id.to_string());
    Ok(())
}
