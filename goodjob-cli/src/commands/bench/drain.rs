//! How fast workers get through jobs that wait: from the first job's start until all are stored as finished.

use std::time::Duration;

use goodjob_core::{Preserve, Shutdown};

use super::limit;
use super::report::{Line, Unit, grouped};
use super::site::{Crew, Site};
use super::tally::Tally;
use crate::args::{DrainArgs, Work};
use crate::error::CliError;

/// Between two looks whether the last outcomes are written.
const LOOK: Duration = Duration::from_millis(2);

impl Work {
    /// Which finished jobs are kept.
    pub(super) fn preserve(&self) -> Preserve {
        if self.no_history { Preserve::Never } else { Preserve::Always }
    }

    /// One worker for each number of slots.
    pub(super) fn crews(&self) -> impl Iterator<Item = Crew> {
        let (preserve, every_queue) = (self.preserve(), self.every_queue);
        self.slots.iter().map(move |slots| Crew {
            processes: 1,
            slots: *slots,
            preserve,
            every_queue,
        })
    }
}

/// What is drained by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) jobs: u64,
    pub(super) queues: u64,
    pub(super) priorities: u64,
    pub(super) crew: Crew,
}

impl Shape {
    fn name(&self) -> String {
        let Self { queues, priorities, crew, .. } = self;
        let mut name = format!("{} slots", crew.slots);
        for (count, many) in
            [(crew.processes as u64, "processes"), (*queues, "queues"), (*priorities, "priorities")]
        {
            if count > 1 {
                name += &format!(", {count} {many}");
            }
        }
        name
    }
}

pub(super) async fn drain(args: &DrainArgs, site: &Site) -> Result<Vec<Line>, CliError> {
    let mut lines = Vec::new();
    for crew in args.work.crews() {
        for processes in &args.processes {
            for queues in &args.queues {
                for priorities in &args.priorities {
                    let crew = Crew { processes: processes.get(), ..crew };
                    let (queues, priorities) = (queues.get(), priorities.get());
                    let shape = Shape { jobs: args.jobs.get(), queues, priorities, crew };
                    site.reset().await?;
                    let name = shape.name();
                    lines.push(
                        measure(site, &name, &shape, args.common.runs.get(), args.common.limit)
                            .await?,
                    );
                }
            }
        }
    }
    Ok(lines)
}

/// Goodjob and the limit in turns.
pub(super) async fn measure(
    site: &Site,
    name: &str,
    shape: &Shape,
    runs: usize,
    with_limit: bool,
) -> Result<Line, CliError> {
    let mut line = Line::new(name, Unit::JobsPerSecond);
    for run in 1..=runs {
        let (speed, pages) = once(site, name, shape).await?;
        let shown = grouped(speed.round() as u64);
        site.screen.say(&format!("{name}, run {run} of {runs}: {shown} jobs/s"));
        line.runs.push(speed);
        line.pages.push(pages);
        for connections in if with_limit { &limit::CONNECTIONS[..] } else { &[] } {
            let speed = limit::drain(site, shape.jobs, *connections, shape.crew.preserve).await?;
            line.add_limit(&limit::name(*connections), speed);
        }
    }
    Ok(line)
}

/// Jobs in a second, and pages that each made the server look at.
async fn once(site: &Site, name: &str, shape: &Shape) -> Result<(f64, f64), CliError> {
    let spread = site.spread(shape.queues, shape.priorities);
    site.fill(shape.jobs, &spread).await?;
    let before = site.rows.pages().await?;
    let tally = Tally::of(shape.jobs);
    let processes = site.start(&shape.crew, &spread, &tally).await?;
    let draining = async {
        tally.reached().await;
        while site.rows.are_owned(&processes).await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, CliError>(tally.elapsed())
    };
    let took = site.screen.during(name, shape.jobs, || tally.done(), draining).await?;
    site.stop(Shutdown::Forever).await;
    let pages = site.rows.pages().await?.saturating_sub(before);
    let jobs = shape.jobs as f64;
    Ok((jobs / took.as_secs_f64(), pages as f64 / jobs))
}
