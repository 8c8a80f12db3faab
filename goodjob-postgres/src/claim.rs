//! The claim: which statement for which selection, and what it brought.

use std::time::Duration;

use goodjob_core::{Claim, Claims, ProcessId, QueueSelector, StoreError, Timestamp, Token, Wanted};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::store_error;
use crate::lanes::Lanes;
use crate::options::{DequeueOrder, LockStrategy, PgOptions};
use crate::{rows, sql};

/// Jobs that vanished with their process twice in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspects {
    /// All but these are looked for.
    PassOver,
    /// These alone are looked for.
    Only,
}

/// What a claim looks for.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) max: usize,
    pub(crate) suspects: Suspects,
    /// Jobs that this process has in hand. They are passed over.
    pub(crate) known: &'a [Uuid],
    /// Jobs looked at beyond those wanted, should somebody hold them.
    pub(crate) slack: usize,
    /// Where to look; `None` where there is no index to read lanes by.
    pub(crate) lanes: Option<&'a Lanes>,
    /// These alone, if it is about certain jobs.
    pub(crate) jobs: Option<&'a [Uuid]>,
}

/// A job that was claimed. Of its row only as much is read as the lock session has to know: while it reads,
/// the server waits.
pub(crate) struct Taken {
    pub(crate) token: Token,
    row: PgRow,
}

impl Taken {
    /// Where it was found: queue, priority and place in their lane.
    pub(crate) fn place(&self) -> sqlx::Result<Place<'_>> {
        let at = rows::moment(&self.row, "scheduled_at")?;
        let (queue, priority) = (self.row.try_get("queue_name")?, self.row.try_get("priority")?);
        Ok(Place { queue, priority, at, id: self.token.job.as_uuid() })
    }
}

/// A job's place in the order of claims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) queue: Option<&'a str>,
    pub(crate) priority: Option<i32>,
    pub(crate) at: Option<Timestamp>,
    pub(crate) id: Uuid,
}

/// Claimed jobs on their way to whoever asked for them.
#[derive(Default)]
pub(crate) struct Catch {
    pub(crate) taken: Vec<Taken>,
    pub(crate) contended: usize,
    /// Jobs seen on the way that vanished with their process twice in a row.
    pub(crate) suspects: usize,
    pub(crate) look_again: Option<Duration>,
}

impl Catch {
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.taken.iter().map(|taken| taken.token)
    }

    /// Reads the rows. An UPDATE returns them in no order; jobs start in the order in which they were
    /// looked for.
    pub(crate) fn read(
        self,
        wanted: &Wanted,
        process: ProcessId,
        order: DequeueOrder,
    ) -> Result<Claims, StoreError> {
        let read = |taken: Taken| rows::claim(&taken.row, taken.token, process);
        let mut taken = self
            .taken
            .into_iter()
            .map(read)
            .collect::<Result<Vec<Claim>, _>>()
            .map_err(store_error)?;
        match order {
            // Cached, because claims are large: each is moved once.
            DequeueOrder::ScheduledAt => taken.sort_by_cached_key(|claim| wanted.rank(&claim.job)),
            DequeueOrder::CreatedAt => {
                taken.sort_by_cached_key(|claim| wanted.rank_by(&claim.job, claim.job.created_at));
            }
        }
        Ok(Claims { taken, contended: self.contended, look_again: self.look_again })
    }
}

/// What a claim brought.
pub(crate) struct Found {
    pub(crate) catch: Catch,
    /// A claim of plain jobs took nothing, although there are jobs: one of those that come first is not plain, or
    /// somebody else has the locks of all of them. It looked no further.
    pub(crate) others: bool,
    /// Whether anything is paused, whatever it is.
    pub(crate) paused: bool,
    /// The server's time.
    pub(crate) at: Timestamp,
    /// For each lane 2 if nothing was seen in it, 1 if all that there was, else 0.
    pub(crate) exhausted: String,
}

/// Claims on `lock_session`, which will hold the advisory locks.
pub(crate) async fn claim(
    lock_session: &mut PgConnection,
    options: &PgOptions,
    dialect: &Dialect,
    process: ProcessId,
    session: &str,
    search: &Search<'_>,
) -> sqlx::Result<Found> {
    let Search { wanted, max, suspects, known, slack, lanes, jobs } = *search;
    let strategy = options.lock_strategy;
    let (mode, names) = selection(&wanted.queues);
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let lane = lanes.filter(|_| jobs.is_none()).and_then(|lanes| lanes.only(max));
    let statement = match (jobs, lane, lanes) {
        (Some(_), _, _) => sql::CLAIM_JOBS,
        (_, Some(_), _) => sql::CLAIM_PLAIN,
        (_, _, Some(_)) => sql::CLAIM_LANES,
        (None, None, None) => statement(strategy, &wanted.queues),
    };
    let query = sqlx::query(dialect.sql(statement))
        .bind(&wanted.classes)
        .bind(count(max))
        .bind(count(slack))
        .bind(names.filter(|_| lanes.is_none()))
        .bind(process.as_uuid())
        .bind(strategy.code())
        .bind(session)
        .bind(suspects == Suspects::Only)
        .bind(known);
    let query = match (jobs, lane, lanes) {
        (Some(_), _, _) => query.bind(jobs),
        (_, Some(lane), _) => query
            .bind(lane.queue)
            .bind(lane.priority)
            .bind(lane.floor.map(|(at, _)| at))
            .bind(lane.floor.map(|(_, id)| id))
            .bind(count(lane.depth)),
        (_, _, Some(all @ Lanes { lanes, .. })) => query
            .bind(lanes.iter().map(|lane| lane.queue.as_deref()).collect::<Vec<_>>())
            .bind(lanes.iter().map(|lane| lane.priority).collect::<Vec<_>>())
            .bind(lanes.iter().map(|lane| lane.floor.map(|(at, _)| at)).collect::<Vec<_>>())
            .bind(lanes.iter().map(|lane| lane.floor.map(|(_, id)| id)).collect::<Vec<_>>())
            .bind(all.depths(max + slack).map(count).collect::<Vec<_>>())
            .bind(lanes.iter().map(|lane| lane.turn).collect::<Vec<_>>()),
        _ if strategy == LockStrategy::Advisory => query.bind(mode),
        _ => query,
    };
    let rows = query.fetch_all(lock_session).await?;

    // The summary is in the first row, which is there whatever was found.
    let summary = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (contended, suspects): (i64, i64) =
        (summary.try_get("contended")?, summary.try_get("suspects")?);
    let paused = summary.try_get("paused")?;
    let at = summary.try_get("at")?;
    let exhausted: Option<String> = summary.try_get("exhausted")?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        taken.extend(rows::token(&row)?.map(|token| Taken { token, row }));
    }
    let count = |number| usize::try_from(number).unwrap_or(0);
    let (contended, suspects) = (count(contended), count(suspects));
    let exhausted = match (lane, taken.len() + contended) {
        (None, _) => exhausted.unwrap_or_default(),
        // Nothing was looked at beyond what was wanted.
        _ if taken.len() >= max => String::new(),
        (Some(_), 0) => "2".to_owned(),
        (Some(lane), seen) => if seen < lane.depth { "1" } else { "0" }.to_owned(),
    };
    let others = lane.is_some() && contended > 0 && taken.is_empty();
    let catch = Catch { taken, contended, suspects, look_again: None };
    Ok(Found { catch, others, paused, at, exhausted })
}

fn statement(strategy: LockStrategy, queues: &QueueSelector) -> &'static str {
    match (strategy, queues) {
        (LockStrategy::Advisory, _) => sql::CLAIM_ADVISORY,
        (_, QueueSelector::All) => sql::CLAIM_ANY,
        (_, QueueSelector::Only(_)) => sql::CLAIM_ONLY,
        (_, QueueSelector::Except(_)) => sql::CLAIM_EXCEPT,
        (_, QueueSelector::InOrder(_)) => sql::CLAIM_IN_ORDER,
    }
}

/// A selection as parameters of the statements that serve all kinds of it.
pub(crate) fn selection(queues: &QueueSelector) -> (&'static str, Option<&[String]>) {
    match queues {
        QueueSelector::All => ("any", None),
        QueueSelector::Only(names) => ("only", Some(names)),
        QueueSelector::Except(names) => ("except", Some(names)),
        QueueSelector::InOrder(names) => ("in_order", Some(names)),
    }
}
