//! How fast jobs are stored by an application: one after the other, by four tasks at once, many in one call.

use std::time::Instant;

use goodjob_core::Store;
use tokio::task::JoinSet;

use super::limit;
use super::report::{Line, Unit, grouped};
use super::site::Site;
use super::tally::Load;
use crate::args::BenchEnqueueArgs;
use crate::error::CliError;

/// Tasks that enqueue at once: as many as a store's pool has connections.
const TOGETHER: u64 = 4;

pub(super) async fn enqueue(args: &BenchEnqueueArgs, site: &Site) -> Result<Vec<Line>, CliError> {
    let (jobs, many) = (args.jobs.get().max(TOGETHER), args.many.get());
    let line = |what: String| Line::new(what, Unit::JobsPerSecond);
    let mut singly = line("one by one".to_owned());
    let mut together = line(format!("{TOGETHER} at once"));
    let mut at_once = line(format!("{} in one call", grouped(many)));
    let runs = args.common.runs.get();
    let measuring = async {
        for run in 1..=runs {
            site.reset().await?;
            site.settle_down().await?;
            singly.runs.push(one_by_one(site, jobs).await?);
            together.runs.push(several(site, jobs).await?);
            at_once.runs.push(in_one_call(site, many).await?);
            if args.common.limit {
                let speed = limit::enqueue_singly(site, jobs).await?;
                singly.add_limit("raw INSERT and NOTIFY", speed);
                let speed = limit::enqueue_together(site, jobs, TOGETHER).await?;
                together.add_limit("raw INSERT without NOTIFY", speed);
                let speed = limit::enqueue_many(site, many).await?;
                at_once.add_limit("raw INSERT of arrays", speed);
            }
            site.screen.say(&format!("run {run} of {runs} is done"));
        }
        Ok::<_, CliError>(())
    };
    measuring.await?;
    Ok(vec![singly, together, at_once])
}

async fn one_by_one(site: &Site, jobs: u64) -> Result<f64, CliError> {
    let (client, spread) = (site.client().await?, site.spread(1, 1));
    let start = Instant::now();
    for i in 0..jobs {
        client.insert(&[site.job(&spread, Load::number(i))?]).await?;
    }
    let took = start.elapsed();
    client.close().await;
    Ok(jobs as f64 / took.as_secs_f64())
}

async fn several(site: &Site, jobs: u64) -> Result<f64, CliError> {
    let (client, spread) = (site.client().await?, site.spread(1, 1));
    let each = jobs / TOGETHER;
    let mut storing = JoinSet::new();
    let start = Instant::now();
    for _ in 0..TOGETHER {
        let client = client.clone();
        let jobs = (0..each).map(|i| site.job(&spread, Load::number(i)));
        let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
        storing.spawn(async move {
            for job in &jobs {
                client.insert(std::slice::from_ref(job)).await?;
            }
            Ok::<_, CliError>(())
        });
    }
    while let Some(ended) = storing.join_next().await {
        ended.map_err(|error| CliError::Failed(error.to_string()))??;
    }
    let took = start.elapsed();
    client.close().await;
    Ok((each * TOGETHER) as f64 / took.as_secs_f64())
}

async fn in_one_call(site: &Site, jobs: u64) -> Result<f64, CliError> {
    let (client, spread) = (site.client().await?, site.spread(1, 1));
    let jobs = (0..jobs).map(|i| site.job(&spread, Load::number(i)));
    let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    client.insert(&jobs).await?;
    let took = start.elapsed();
    client.close().await;
    Ok(jobs.len() as f64 / took.as_secs_f64())
}
