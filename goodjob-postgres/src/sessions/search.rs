//! Looks for jobs on the lock session: by lanes where there is an index to read them by, else by the
//! gem's own order.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use goodjob_core::{QueueSelector, Wanted};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Common, DEADLINE, within};
use crate::claim::{self, Catch, Found, Search, Suspects, Taken};
use crate::lanes::{Lanes, UNSURE, Yield};
use crate::options::{DequeueOrder, LockStrategy};
use crate::pauses::Pauses;
use crate::sql;

/// Jobs looked at beyond those wanted, at least.
const LEAST_REACH: usize = 16;

/// What is searched for, beside the pool and how much it wants.
pub(super) struct Terms<'a> {
    pub(super) secret: &'a str,
    pub(super) suspects: Suspects,
    /// Jobs that this process has in hand.
    pub(super) known: &'a [Uuid],
    /// These alone, if it is about certain jobs: whatever is paused, and wherever they are.
    pub(super) jobs: Option<&'a [Uuid]>,
}

/// What one search leaves behind for the next.
pub(super) struct Searcher {
    common: Common,
    lanes: HashMap<QueueSelector, Lanes>,
    /// Jobs looked at beyond those wanted: the more, the more others take from the same lanes.
    reach: usize,
    /// Whether anything was paused when jobs were last looked for.
    paused: bool,
}

impl Searcher {
    pub(super) fn new(common: Common) -> Self {
        Self { common, lanes: HashMap::new(), reach: LEAST_REACH, paused: false }
    }

    /// Looks whether lanes can be read here.
    pub(super) async fn survey(&mut self, session: &mut PgConnection) -> sqlx::Result<()> {
        let query = sqlx::query_scalar(self.common.dialect.sql(sql::HAS_LANES)).fetch_one(session);
        let has_lanes = within(DEADLINE, query).await?;
        self.common.has_lanes.store(has_lanes, Ordering::Relaxed);
        self.forget();
        Ok(())
    }

    /// A row was given back: it may lie below the floors.
    pub(super) fn forget(&mut self) {
        self.lanes.values_mut().for_each(Lanes::forget);
    }

    pub(super) async fn search(
        &mut self,
        session: &mut PgConnection,
        wanted: &Wanted,
        max: usize,
        terms: &Terms<'_>,
    ) -> sqlx::Result<Catch> {
        let most = self.most();
        let max = max.min(most.max(1));
        if max == 0 {
            return Ok(Catch::default());
        }
        if terms.jobs.is_some() {
            return Ok(self.claim(session, wanted, max, 0, None, terms).await?.catch);
        }
        let Some(wanted) = self.unpaused(session, wanted).await? else {
            return Ok(Catch::default());
        };
        if !self.goes_by_lanes() {
            return Ok(self.claim(session, &wanted, max, most, None, terms).await?.catch);
        }
        let mut lanes = self.lanes.remove(&wanted.queues).unwrap_or_default();
        let found = self.search_lanes(session, &wanted, max, &mut lanes, terms).await;
        self.lanes.insert(wanted.queues.clone(), lanes);
        found
    }

    /// Starts from the floors, and looks at the beginnings when they yield nothing.
    async fn search_lanes(
        &mut self,
        session: &mut PgConnection,
        wanted: &Wanted,
        max: usize,
        lanes: &mut Lanes,
        terms: &Terms<'_>,
    ) -> sqlx::Result<Catch> {
        if terms.suspects == Suspects::Only {
            lanes.forget();
            lanes.meet_others();
        }
        let most = self.most();
        let mut looks = lanes.are_stale() || lanes.lanes.is_empty() && lanes.wait().is_zero();
        loop {
            let begun = Instant::now();
            if looks {
                let looking = Lanes::look(session, &self.common.dialect, wanted);
                lanes.begin(within(DEADLINE, looking).await?);
            }
            if lanes.are_too_many() {
                return Ok(self.claim(session, wanted, max, most, None, terms).await?.catch);
            }
            let slack = match terms.suspects {
                Suspects::PassOver => self.reach,
                // It was seen by somebody who wanted more.
                Suspects::Only => most,
            };
            let mut found = self.claim(session, wanted, max, slack, Some(lanes), terms).await?;
            if found.others {
                lanes.meet_others();
                found = self.claim(session, wanted, max, slack, Some(lanes), terms).await?;
            }
            if looks {
                lanes.cost(begun.elapsed());
            }
            let Found { mut catch, at, exhausted, .. } = found;
            let more = exhausted.contains('0');
            let full = catch.taken.len() >= max;
            if terms.suspects == Suspects::Only {
                lanes.forget();
                return Ok(catch);
            }
            let places: Vec<_> =
                catch.taken.iter().map(Taken::place).collect::<sqlx::Result<_>>()?;
            lanes.advance(&Yield { taken: &places, exhausted: &exhausted, at, full });
            self.reach(catch.contended > 0 || more && !full);
            catch.look_again = match (more || full, looks, catch.taken.is_empty()) {
                (true, _, _) => Some(Duration::ZERO),
                (false, true, _) => None,
                (false, false, false) => Some(UNSURE),
                (false, false, true) => match lanes.wait() {
                    Duration::ZERO => {
                        looks = true;
                        continue;
                    }
                    wait => Some(wait),
                },
            };
            return Ok(catch);
        }
    }

    /// Rows that one search looks at, at most.
    fn most(&self) -> usize {
        usize::try_from(self.common.options.queue_select_limit).unwrap_or(usize::MAX)
    }

    async fn claim(
        &mut self,
        session: &mut PgConnection,
        wanted: &Wanted,
        max: usize,
        slack: usize,
        lanes: Option<&Lanes>,
        terms: &Terms<'_>,
    ) -> sqlx::Result<Found> {
        let Terms { secret, suspects, known, jobs } = *terms;
        let Common { options, dialect, process, .. } = &self.common;
        let search = Search { wanted, max, suspects, known, slack, lanes, jobs };
        let claiming = claim::claim(session, options, dialect, *process, secret, &search);
        let found = within(DEADLINE, claiming).await?;
        self.paused = found.paused;
        Ok(found)
    }

    /// What of this is not paused altogether; `None` when nothing is left.
    async fn unpaused<'a>(
        &mut self,
        session: &mut PgConnection,
        wanted: &'a Wanted,
    ) -> sqlx::Result<Option<Cow<'a, Wanted>>> {
        if !self.paused {
            return Ok(Some(Cow::Borrowed(wanted)));
        }
        let pauses = within(DEADLINE, Pauses::read(session, &self.common.dialect)).await?;
        self.paused = pauses.something;
        Ok(pauses.leave_of(wanted).map(Cow::Owned))
    }

    /// The lock strategy `advisory` takes rows that others own, which no lane holds; another order than that
    /// of due times cannot be read from lanes.
    fn goes_by_lanes(&self) -> bool {
        let options = &self.common.options;
        options.lock_strategy != LockStrategy::Advisory
            && options.order == DequeueOrder::ScheduledAt
            && self.common.has_lanes.load(Ordering::Relaxed)
    }

    /// Looks further next time if others were in the way, and less far if not.
    fn reach(&mut self, in_the_way: bool) {
        let most = self.most();
        let next = if in_the_way { self.reach.saturating_mul(4) } else { self.reach / 2 };
        self.reach = next.max(LEAST_REACH).min(most);
    }
}
