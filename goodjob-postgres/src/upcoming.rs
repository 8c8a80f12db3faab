//! When jobs will be due: for the timers of pools.

use goodjob_core::{QueueSelector, StoreError, Timestamp, Wanted};

use crate::claim::selection;
use crate::dialect::Dialect;
use crate::lanes::MAX_LANES;
use crate::rows::Moment;
use crate::sessions::DEADLINE;
use crate::sql;
use crate::stand::Stand;

/// The next due times, soonest first. `by_lanes` where there is an index to read lanes by.
pub(crate) async fn upcoming(
    stand: &Stand,
    dialect: &Dialect,
    wanted: &Wanted,
    limit: usize,
    by_lanes: bool,
) -> Result<Vec<Timestamp>, StoreError> {
    let (mode, names) = selection(&wanted.queues);
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let query = if by_lanes {
        let listed = matches!(wanted.queues, QueueSelector::Only(_) | QueueSelector::InOrder(_));
        let statement = if listed { sql::UPCOMING_ONLY } else { sql::UPCOMING_ANY };
        sqlx::query_scalar(dialect.sql(statement))
            .bind(names)
            .bind(count(MAX_LANES))
            .bind(&wanted.classes)
            .bind(count(limit))
    } else {
        sqlx::query_scalar(dialect.sql(sql::UPCOMING))
            .bind(&wanted.classes)
            .bind(mode)
            .bind(names)
            .bind(count(limit))
    };
    let times: Vec<Moment> =
        stand.within(DEADLINE, async |connection| query.fetch_all(connection).await).await?;
    Ok(times.into_iter().map(|moment| moment.0).collect())
}
