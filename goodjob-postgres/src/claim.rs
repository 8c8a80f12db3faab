//! The claim: which statement for which selection, and what it brought.

use goodjob_core::{Claim, Claims, ProcessId, QueueSelector, Wanted};
use sqlx::PgConnection;
use sqlx::Row;
use uuid::Uuid;

use crate::dialect::Dialect;
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
}

/// What a claim brought.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) claims: Claims,
    /// Whether anything is paused, whatever it is.
    pub(crate) paused: bool,
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
    let Search { wanted, max, suspects, known } = *search;
    let strategy = options.lock_strategy;
    let (mode, names) = selection(&wanted.queues);
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let query = sqlx::query(dialect.sql(statement(strategy, &wanted.queues)))
        .bind(&wanted.classes)
        .bind(max)
        .bind(i64::from(options.queue_select_limit))
        .bind(names)
        .bind(process.as_uuid())
        .bind(strategy.code())
        .bind(session)
        .bind(suspects == Suspects::Only)
        .bind(known);
    let query = if strategy == LockStrategy::Advisory { query.bind(mode) } else { query };
    let rows = query.fetch_all(lock_session).await?;

    let contended: i64 = rows.first().map(|row| row.try_get("contended")).transpose()?.unwrap_or(0);
    let paused = rows.first().map(|row| row.try_get("paused")).transpose()?.unwrap_or(false);
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        taken.extend(rows::claim(row)?);
    }
    // An UPDATE returns rows in no order; jobs start in the order in which they were looked for.
    match options.order {
        DequeueOrder::ScheduledAt => taken.sort_by_key(|claim: &Claim| wanted.rank(&claim.job)),
        DequeueOrder::CreatedAt => {
            taken.sort_by_key(|claim| wanted.rank_by(&claim.job, claim.job.created_at));
        }
    }
    let contended = usize::try_from(contended).unwrap_or(0);
    Ok(Found { claims: Claims { taken, contended, look_again: None }, paused })
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
