//! What a person can do about jobs that are named.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use goodjob_core::{Due, JobId, JobState, StoreError};
use serde::Serialize;
use sqlx::Row;
use uuid::Uuid;

use crate::error::commit_error;
use crate::sql;
use crate::store::PgStore;

/// How many jobs are locked and written at once. Each takes an entry in the server's table of locks,
/// and keeps its row from a worker for as long as the statement lasts.
pub(super) const BATCH: usize = 500;

/// Something to do about jobs. A job that somebody runs or has locked is left alone, and so is one in
/// another state than the action is for.
///
/// What the gem's dashboard leaves undone is left undone here, too: no batch goes on because its last
/// job was discarded or deleted (wire contract 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs discarded jobs again, now. It counts as one more attempt; the error stays until it succeeds.
    Retry,
    /// Ends unfinished jobs with an error that says so.
    Discard {
        /// Why, for those who find the error.
        reason: Option<String>,
    },
    /// Moves the time of unfinished jobs. Times are by the database's clock.
    Reschedule(Due),
    /// Deletes finished jobs with their attempts.
    Delete,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Acted {
    /// The action is committed.
    Done,
    /// Somebody runs it, has it locked or is just writing it.
    Busy,
    /// It is in a state for which the action is not.
    WrongState,
    /// There is no such job.
    Gone,
}

impl Action {
    /// The states for which it is.
    #[must_use]
    pub fn states(&self) -> &'static [JobState] {
        match self {
            Self::Retry => &[JobState::Discarded],
            Self::Delete => &[JobState::Succeeded, JobState::Discarded],
            Self::Discard { .. } | Self::Reschedule(_) => {
                &[JobState::Scheduled, JobState::Retried, JobState::Queued, JobState::Running]
            }
        }
    }

    /// As `act_on.sql` knows the states.
    fn precondition(&self) -> &'static str {
        match self {
            Self::Retry => "discarded",
            Self::Delete => "finished",
            Self::Discard { .. } | Self::Reschedule(_) => "unfinished",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "retry",
            Self::Discard { .. } => "discard",
            Self::Reschedule(_) => "reschedule",
            Self::Delete => "delete",
        })
    }
}

/// Whether lock and owner are heeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    No,
    Yes,
}

impl PgStore {
    /// Does this to jobs that are named, each at once or not at all; answers in the order asked, once
    /// for each id. Many are done in batches of 500, each committed for itself.
    ///
    /// # Errors
    /// When the database cannot be asked. Earlier batches are then done, and repeating the call is
    /// safe: what was done is in another state.
    pub async fn act(
        &self,
        ids: &[JobId],
        action: &Action,
    ) -> Result<Vec<(JobId, Acted)>, StoreError> {
        self.act_with(ids, action, Force::No).await
    }

    /// Runs a discarded job again, now.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn retry(&self, id: JobId) -> Result<Acted, StoreError> {
        self.act_on_one(id, &Action::Retry, Force::No).await
    }

    /// Ends an unfinished job. `reason` becomes part of its error.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn discard(&self, id: JobId, reason: Option<&str>) -> Result<Acted, StoreError> {
        let action = Action::Discard { reason: reason.map(str::to_owned) };
        self.act_on_one(id, &action, Force::No).await
    }

    /// Ends an unfinished job even while somebody runs it, which is not stopped: if that run fails, its
    /// error is written over this one, and however it ends, the job stays over (wire contract 4.7). Only
    /// for jobs by name; a worker that still runs a job is better asked to stop.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn force_discard(
        &self,
        id: JobId,
        reason: Option<&str>,
    ) -> Result<Acted, StoreError> {
        let action = Action::Discard { reason: reason.map(str::to_owned) };
        self.act_on_one(id, &action, Force::Yes).await
    }

    /// Moves the time of an unfinished job.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn reschedule(&self, id: JobId, due: Due) -> Result<Acted, StoreError> {
        self.act_on_one(id, &Action::Reschedule(due), Force::No).await
    }

    /// Deletes a finished job with its attempts.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn delete(&self, id: JobId) -> Result<Acted, StoreError> {
        self.act_on_one(id, &Action::Delete, Force::No).await
    }

    async fn act_on_one(
        &self,
        id: JobId,
        action: &Action,
        force: Force,
    ) -> Result<Acted, StoreError> {
        let acted = self.act_with(&[id], action, force).await?;
        Ok(acted.first().map_or(Acted::Gone, |(_, acted)| *acted))
    }

    async fn act_with(
        &self,
        ids: &[JobId],
        action: &Action,
        force: Force,
    ) -> Result<Vec<(JobId, Acted)>, StoreError> {
        let mut seen = BTreeSet::new();
        let ids: Vec<JobId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        let mut acted = Vec::with_capacity(ids.len());
        for batch in ids.chunks(BATCH) {
            acted.extend(self.act_at_once(batch, action, force).await?);
        }
        Ok(acted)
    }

    /// One statement, which is one transaction.
    async fn act_at_once(
        &self,
        ids: &[JobId],
        action: &Action,
        force: Force,
    ) -> Result<Vec<(JobId, Acted)>, StoreError> {
        let statement = match action {
            Action::Retry => sql::RETRY_JOBS,
            Action::Discard { .. } => sql::DISCARD_JOBS,
            Action::Reschedule(_) => sql::RESCHEDULE_JOBS,
            Action::Delete => sql::DELETE_JOBS,
        };
        let query = sqlx::query(self.sql(statement))
            .bind(ids.iter().map(JobId::as_uuid).collect::<Vec<_>>())
            .bind(action.precondition())
            .bind(force == Force::Yes);
        let query = match action {
            Action::Retry | Action::Delete => query,
            Action::Discard { reason } => query.bind(discarded(force, reason.as_deref())),
            Action::Reschedule(due) => {
                let (at, wait) = match due {
                    Due::Now => (None, None),
                    Due::In(wait) => (None, Some(wait.as_secs_f64())),
                    Due::At(at) => (Some(*at), None),
                };
                query.bind(at).bind(wait)
            }
        };
        let mut found = HashMap::new();
        for row in query.fetch_all(self.pool()).await.map_err(commit_error)? {
            let read = || -> sqlx::Result<_> {
                Ok((row.try_get::<Uuid, _>("id")?, row.try_get("fits")?, row.try_get("done")?))
            };
            let (id, fits, done) = read().map_err(commit_error)?;
            let acted = match (done, fits) {
                (true, _) => Acted::Done,
                (false, true) => Acted::Busy,
                (false, false) => Acted::WrongState,
            };
            found.insert(id, acted);
        }
        let acted = |id: &JobId| found.get(&id.as_uuid()).copied().unwrap_or(Acted::Gone);
        Ok(ids.iter().map(|id| (*id, acted(id))).collect())
    }
}

/// The error of a discarded job. The class is the gem's, which groups errors by it.
fn discarded(force: Force, reason: Option<&str>) -> String {
    let mut error = match force {
        Force::No => "GoodJob::Job::DiscardJobError: Discarded through goodjob".to_owned(),
        Force::Yes => "GoodJob::Job::DiscardJobError: Force discarded through goodjob".to_owned(),
    };
    if let Some(reason) = reason.map(str::trim).filter(|reason| !reason.is_empty()) {
        error.push_str(": ");
        // Postgres holds no NUL.
        error.push_str(&reason.replace('\0', "\u{fffd}"));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_who_discarded_and_why() {
        assert_eq!(
            discarded(Force::No, None),
            "GoodJob::Job::DiscardJobError: Discarded through goodjob"
        );
        assert_eq!(
            discarded(Force::Yes, Some(" wrong\0 customer ")),
            "GoodJob::Job::DiscardJobError: Force discarded through goodjob: wrong\u{fffd} customer"
        );
        assert_eq!(discarded(Force::No, Some(" ")), discarded(Force::No, None));
    }
}
