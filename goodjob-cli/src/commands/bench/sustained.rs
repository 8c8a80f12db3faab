//! How fast a worker is while jobs keep coming, as many as it gets through.

use std::time::{Duration, Instant};

use goodjob_core::{Shutdown, Store};

use super::limit;
use super::report::{Line, Unit, grouped};
use super::site::{Crew, Site};
use super::tally::Tally;
use crate::args::SustainedArgs;
use crate::error::CliError;

/// Between two looks how many jobs wait.
const LOOK: Duration = Duration::from_millis(1);

pub(super) async fn sustained(args: &SustainedArgs, site: &Site) -> Result<Vec<Line>, CliError> {
    let mut lines = Vec::new();
    for crew in args.work.crews() {
        let name = format!("{} slots, {} waiting", crew.slots, args.waiting);
        let mut line = Line::new(&name, Unit::JobsPerSecond);
        for run in 1..=args.common.runs.get() {
            site.reset().await?;
            let speed = once(args, &crew, site).await?;
            let (runs, shown) = (args.common.runs, grouped(speed.round() as u64));
            site.screen.say(&format!("{name}, run {run} of {runs}: {shown} jobs/s"));
            line.runs.push(speed);
            for connections in if args.common.limit { &limit::CONNECTIONS[..] } else { &[] } {
                site.reset().await?;
                let (waiting, preserve) = (args.waiting.get(), crew.preserve);
                let speed =
                    limit::sustained(site, waiting, args.time, *connections, preserve).await?;
                line.add_limit(&limit::name(*connections), speed);
            }
        }
        lines.push(line);
    }
    Ok(lines)
}

async fn once(args: &SustainedArgs, crew: &Crew, site: &Site) -> Result<f64, CliError> {
    let (waiting, spread) = (args.waiting.get(), site.spread(1, 1));
    let tally = Tally::of(u64::MAX);
    site.start(crew, &spread, &tally).await?;
    let client = site.client().await?;
    let start = Instant::now();
    let enqueueing = async {
        let mut stored = 0;
        while start.elapsed() < args.time {
            let room = waiting.saturating_sub(stored - tally.done());
            if room * 2 < waiting {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let jobs = (stored..stored + room).map(|i| site.job(&spread, tally.load(i)));
            client.insert(&jobs.collect::<Result<Vec<_>, _>>()?).await?;
            stored += room;
        }
        Ok::<_, CliError>((tally.done(), start.elapsed()))
    };
    let so_far = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let whole = u64::try_from(args.time.as_millis()).unwrap_or(u64::MAX);
    let (jobs, took) = site.screen.during("sustained", whole, so_far, enqueueing).await?;
    client.close().await;
    site.stop(Shutdown::Forever).await;
    Ok(jobs as f64 / took.as_secs_f64())
}
