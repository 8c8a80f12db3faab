//! How fast a worker is while other rows are in the tables, as a ratio to empty ones.

use std::cell::Cell;

use goodjob_postgres::bench::Backlog;

use super::drain::{Shape, measure};
use super::report::{Line, grouped};
use super::site::Site;
use crate::args::{BacklogArgs, BacklogKind};
use crate::error::CliError;

/// Rows that are added at once.
const BATCH: u64 = 50_000;

impl BacklogKind {
    fn kinds(self) -> &'static [Backlog] {
        match self {
            Self::Future => &[Backlog::Future],
            Self::Due => &[Backlog::Due],
            Self::Finished => &[Backlog::Finished],
            Self::All => &[Backlog::Future, Backlog::Due, Backlog::Finished],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Future => "future",
            Self::Due => "due in other queues",
            Self::Finished => "finished",
            Self::All => "of each",
        }
    }
}

pub(super) async fn backlog(args: &BacklogArgs, site: &Site) -> Result<Vec<Line>, CliError> {
    let mut lines = Vec::new();
    let (runs, with_limit) = (args.common.runs.get(), args.common.limit);
    for crew in args.work.crews() {
        let shape = Shape { jobs: args.jobs.get(), queues: 1, priorities: 1, crew };
        let slots = format!("{} slots", crew.slots);
        site.reset().await?;
        let plain =
            measure(site, &format!("{slots}, nothing else"), &shape, runs, with_limit).await?;
        let first = plain.median();
        lines.push(plain);
        for rows in &args.rows {
            for kind in &args.kinds {
                site.reset().await?;
                fill(args, *kind, rows.get(), site).await?;
                let name = format!("{slots}, {} {}", grouped(rows.get()), kind.name());
                let mut line = measure(site, &name, &shape, runs, with_limit).await?;
                line.to_first = Some(line.median() / first);
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

async fn fill(
    args: &BacklogArgs,
    kind: BacklogKind,
    rows: u64,
    site: &Site,
) -> Result<(), CliError> {
    let done = Cell::new(0);
    let filling = async {
        for kind in kind.kinds() {
            let mut left = rows;
            while left > 0 {
                let batch = left.min(BATCH);
                site.add(*kind, batch, args.backlog_queues.get()).await?;
                left -= batch;
                done.set(done.get() + batch);
            }
        }
        Ok::<_, CliError>(())
    };
    let target = rows * kind.kinds().len() as u64;
    let name = format!("adding {} rows {}", grouped(rows), kind.name());
    site.screen.during(&name, target, || done.get(), filling).await?;
    site.settle_down().await
}
