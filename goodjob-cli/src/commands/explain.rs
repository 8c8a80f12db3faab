//! `goodjob explain`: why a job is not running.

mod sentences;

use goodjob_core::{JobId, Timestamp};
use goodjob_postgres::PgStore;
use goodjob_postgres::jobs::{Explanation, Reason};

use super::Workplace;
use super::jobs::words::{harmless, moment};
use crate::error::CliError;

pub(super) async fn explain(id: JobId, workplace: &Workplace) -> Result<(), CliError> {
    let store = PgStore::connect(workplace.database()?).await?;
    let explained = store.explain(id).await?;
    store.close().await;
    let explained = explained.ok_or_else(|| CliError::Failed(format!("there is no job {id}")))?;
    workplace.output().result(&explained, || text(&explained));
    Ok(())
}

fn text(explained: &Explanation) -> String {
    let mut lines = Vec::new();
    for (place, reason) in explained.reasons.iter().enumerate() {
        let sentence = sentences::sentence(&reason.why, explained.now);
        lines.push(match place {
            0 => format!("job {} ({}): {sentence}", explained.id, explained.state),
            _ => format!("also: {sentence}"),
        });
        let evidence = sentences::evidence(&reason.why, explained.now);
        lines.extend(evidence.iter().map(|line| format!("  {line}")));
        lines.extend(earliest(reason, explained.now).map(|line| format!("  {line}")));
    }
    harmless(&lines.join("\n"))
}

fn earliest(reason: &Reason, now: Timestamp) -> Option<String> {
    Some(format!("earliest start: {}", moment(reason.earliest_start?, now)))
}
