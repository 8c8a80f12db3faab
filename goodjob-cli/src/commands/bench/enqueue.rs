//! How fast jobs are stored by an application: one after the other, by four tasks at once, many in one call.

use std::time::Instant;

use goodjob_core::{NewJob, Store, StoreError};
use goodjob_postgres::PgStore;
use tokio::task::JoinSet;

use super::limit;
use super::report::{Line, Unit, grouped};
use super::site::{Site, Spread};
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
            afresh(site).await?;
            singly.runs.push(one_by_one(site, jobs).await?);
            if args.common.limit {
                afresh(site).await?;
                let speed = limit::enqueue_singly(site, jobs).await?;
                singly.add_limit("raw INSERT and NOTIFY", speed);
            }
            afresh(site).await?;
            together.runs.push(several(site, jobs).await?);
            if args.common.limit {
                afresh(site).await?;
                let speed = limit::enqueue_together(site, jobs, TOGETHER).await?;
                together.add_limit("raw INSERT without NOTIFY", speed);
            }
            afresh(site).await?;
            at_once.runs.push(in_one_call(site, many).await?);
            if args.common.limit {
                afresh(site).await?;
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

/// Each measurement has tables without rows, and a checkpoint behind it: the first changes of a page after that cost
/// the server more than later ones.
async fn afresh(site: &Site) -> Result<(), CliError> {
    site.reset().await?;
    site.settle_down().await
}

/// A store of an application that has enqueued before, so many tasks at once and so many jobs in each call. That
/// connections are made is not measured.
async fn warm_client(site: &Site, tasks: u64, jobs: u64) -> Result<PgStore, CliError> {
    let (client, spread) = (site.client().await?, site.spread(1, 1));
    let mut storing = JoinSet::new();
    for _ in 0..tasks {
        let (client, jobs) = (client.clone(), numbered(site, &spread, jobs)?);
        storing.spawn(async move { client.insert(&jobs).await.map(drop) });
    }
    all(storing).await?;
    Ok(client)
}

fn numbered(site: &Site, spread: &Spread, jobs: u64) -> Result<Vec<NewJob>, CliError> {
    (0..jobs).map(|i| site.job(spread, Load::number(i))).collect()
}

async fn all(mut storing: JoinSet<Result<(), StoreError>>) -> Result<(), CliError> {
    while let Some(ended) = storing.join_next().await {
        ended.map_err(|error| CliError::Failed(error.to_string()))??;
    }
    Ok(())
}

async fn one_by_one(site: &Site, jobs: u64) -> Result<f64, CliError> {
    let (client, spread) = (warm_client(site, 1, 1).await?, site.spread(1, 1));
    let jobs = numbered(site, &spread, jobs)?;
    let start = Instant::now();
    for job in &jobs {
        client.insert(std::slice::from_ref(job)).await?;
    }
    let took = start.elapsed();
    client.close().await;
    Ok(jobs.len() as f64 / took.as_secs_f64())
}

async fn several(site: &Site, jobs: u64) -> Result<f64, CliError> {
    let (client, spread) = (warm_client(site, TOGETHER, 1).await?, site.spread(1, 1));
    let each = jobs / TOGETHER;
    let part = |_| numbered(site, &spread, each);
    let parts = (0..TOGETHER).map(part).collect::<Result<Vec<_>, _>>()?;
    let mut storing = JoinSet::new();
    let start = Instant::now();
    for jobs in parts {
        let client = client.clone();
        storing.spawn(async move {
            for job in &jobs {
                client.insert(std::slice::from_ref(job)).await?;
            }
            Ok(())
        });
    }
    all(storing).await?;
    let took = start.elapsed();
    client.close().await;
    Ok((each * TOGETHER) as f64 / took.as_secs_f64())
}

async fn in_one_call(site: &Site, jobs: u64) -> Result<f64, CliError> {
    let (client, spread) = (warm_client(site, 1, 2).await?, site.spread(1, 1));
    let jobs = numbered(site, &spread, jobs)?;
    let start = Instant::now();
    client.insert(&jobs).await?;
    let took = start.elapsed();
    client.close().await;
    Ok(jobs.len() as f64 / took.as_secs_f64())
}
