//! An action on all that a filter finds, batch by batch.

use goodjob_core::{JobId, StoreError, Timestamp};
use serde::Serialize;
use sqlx::Row;
use uuid::Uuid;

use super::actions::{Acted, Action, BATCH};
use super::filter::Filter;
use crate::error::store_error;
use crate::rows::Moment;
use crate::sql;
use crate::store::PgStore;

/// An action on all jobs that a filter finds, in the order of their ids, 500 at a time.
///
/// It comes to an end while new jobs arrive and retried ones fail again: it takes only jobs that were
/// enqueued before it began, and none of them twice. A job whose `created_at` lies in the future, by the
/// clock of a host that is ahead, counts as one that comes later.
#[derive(Debug)]
pub struct Bulk {
    store: PgStore,
    filter: Filter,
    action: Action,
    matched: u64,
    start: Timestamp,
    after: Option<JobId>,
    ended: bool,
}

/// How many jobs became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The action is committed.
    pub done: u64,
    /// Somebody runs them, has them locked or is just writing them.
    pub busy: u64,
    /// Their state has changed since they were found.
    pub wrong_state: u64,
    /// They are not there any more.
    pub gone: u64,
}

impl Tally {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.done + self.busy + self.wrong_state + self.gone
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.done += other.done;
        self.busy += other.busy;
        self.wrong_state += other.wrong_state;
        self.gone += other.gone;
    }
}

impl Extend<Acted> for Tally {
    fn extend<I: IntoIterator<Item = Acted>>(&mut self, acted: I) {
        for acted in acted {
            match acted {
                Acted::Done => self.done += 1,
                Acted::Busy => self.busy += 1,
                Acted::WrongState => self.wrong_state += 1,
                Acted::Gone => self.gone += 1,
            }
        }
    }
}

impl FromIterator<Acted> for Tally {
    fn from_iter<I: IntoIterator<Item = Acted>>(acted: I) -> Self {
        let mut tally = Self::default();
        tally.extend(acted);
        tally
    }
}

impl PgStore {
    /// Counts what there is to do, of the jobs in a state for which the action is, and does nothing yet.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn bulk(&self, filter: Filter, action: Action) -> Result<Bulk, StoreError> {
        let filter = filter.only(action.states());
        let row = filter.query(self.sql(sql::JOBS_COUNT)).fetch_one(self.pool()).await;
        let row = row.map_err(store_error)?;
        let matched: i64 = row.try_get("enqueued").map_err(store_error)?;
        let start = row.try_get::<Moment, _>("now").map_err(store_error)?.0;
        let matched = u64::try_from(matched).unwrap_or(0);
        Ok(Bulk { store: self.clone(), filter, action, matched, start, after: None, ended: false })
    }
}

impl Bulk {
    /// How many jobs there were at the start.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.matched
    }

    /// The action.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Does the next jobs; `None` when there are no more. Each batch is committed for itself.
    ///
    /// # Errors
    /// When the database cannot be asked. Asked again, it goes on with the same batch.
    pub async fn next_batch(&mut self) -> Result<Option<Tally>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let ids = self.next_ids().await.map_err(store_error)?;
        let acted = self.store.act(&ids, &self.action).await?;
        self.ended = ids.len() < BATCH;
        self.after = ids.last().copied().or(self.after);
        Ok((!ids.is_empty()).then(|| acted.into_iter().map(|(_, acted)| acted).collect()))
    }

    async fn next_ids(&self) -> sqlx::Result<Vec<JobId>> {
        let rows = self
            .filter
            .query(self.store.sql(sql::JOBS_NEXT))
            .bind(self.start)
            .bind(self.after.map(|id| id.as_uuid()))
            .bind(BATCH as i64)
            .fetch_all(self.store.pool())
            .await?;
        rows.iter().map(|row| Ok(row.try_get::<Uuid, _>("id")?.into())).collect()
    }
}
