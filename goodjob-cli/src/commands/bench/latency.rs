//! How long a job waits between the beginning of its enqueue and its start, on a worker that has nothing else
//! to do.

use goodjob_core::{Shutdown, Store};

use super::limit;
use super::report::{Line, Unit, quantile};
use super::site::{Crew, Site};
use super::tally::Tally;
use crate::args::LatencyArgs;
use crate::error::CliError;

const PERCENTS: [usize; 4] = [50, 95, 99, 100];
const LIMIT: &str = "raw INSERT and NOTIFY, woken, claimed";

pub(super) async fn latency(args: &LatencyArgs, site: &Site) -> Result<Vec<Line>, CliError> {
    let mut all = Vec::new();
    for crew in args.work.crews() {
        site.reset().await?;
        let line = |percent: &usize| {
            let what = if *percent == 100 { "longest".to_owned() } else { format!("p{percent}") };
            Line::new(format!("{} slots, {what}", crew.slots), Unit::Milliseconds)
        };
        let mut lines: Vec<Line> = PERCENTS.iter().map(line).collect();
        for run in 1..=args.common.runs.get() {
            let waits = once(args, &crew, site).await?;
            let (p50, p99) = (quantile(&waits, 50), quantile(&waits, 99));
            site.screen.say(&format!(
                "run {run} of {}: p50 {p50:.2} ms, p99 {p99:.2} ms",
                args.common.runs
            ));
            for (line, percent) in lines.iter_mut().zip(PERCENTS) {
                line.runs.push(quantile(&waits, percent));
            }
            if args.common.limit {
                let waits = limit::latency(site, args.jobs.get(), args.gap).await?;
                for (line, percent) in lines.iter_mut().zip(PERCENTS) {
                    line.add_limit(LIMIT, quantile(&waits, percent));
                }
            }
        }
        all.extend(lines);
    }
    Ok(all)
}

/// The wait of each job, in milliseconds.
async fn once(args: &LatencyArgs, crew: &Crew, site: &Site) -> Result<Vec<f64>, CliError> {
    let (jobs, spread) = (args.jobs.get(), site.spread(1, 1));
    let tally = Tally::of(jobs);
    site.start(crew, &spread, &tally).await?;
    let client = site.client().await?;
    let enqueueing = async {
        let mut pace = tokio::time::interval(args.gap);
        for i in 0..jobs {
            pace.tick().await;
            // From before the job is made: an application pays for that as well.
            client.insert(&[site.job(&spread, tally.load(i))?]).await?;
        }
        tally.reached().await;
        Ok::<_, CliError>(())
    };
    site.screen.during("latency", jobs, || tally.done(), enqueueing).await?;
    client.close().await;
    site.stop(Shutdown::Forever).await;
    Ok(tally.waits().iter().map(|wait| wait.as_secs_f64() * 1000.0).collect())
}
