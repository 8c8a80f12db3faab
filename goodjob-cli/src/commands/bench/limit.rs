//! The limit: raw SQL of the same work, on the same tables, without an engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use goodjob_core::{CHANNEL, JobId, Payload, Preserve};
use goodjob_postgres::bench::Bare;
use goodjob_postgres::sqlx::postgres::PgListener;
use tokio::task::JoinSet;

use super::site::{Site, Spread};
use super::tally::Load;
use crate::error::CliError;

/// Jobs that are claimed and ended at once: as many as a worker's largest groups.
const BATCH: usize = 500;
/// Connections that drain. A worker has one that claims and two that write outcomes, which overlap: the one
/// figure is what a connection can do in turns, the other what two can do beside each other.
pub(super) const CONNECTIONS: [usize; 2] = [1, 2];
/// How long a raw worker waits when there is nothing to claim.
const NOTHING: Duration = Duration::from_millis(1);

pub(super) fn name(connections: usize) -> String {
    match connections {
        1 => "raw SQL, 1 connection".to_owned(),
        more => format!("raw SQL, {more} connections"),
    }
}

/// Jobs of one queue in a second, from the first claim until the last end.
pub(super) async fn drain(
    site: &Site,
    jobs: u64,
    connections: usize,
    preserve: Preserve,
) -> Result<f64, CliError> {
    let spread = site.spread(1, 1);
    site.fill(jobs, &spread).await?;
    let mut bares = Vec::new();
    for _ in 0..connections {
        bares.push(site.bare(&spread).await?);
    }
    let (done, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
    let start = Instant::now();
    let mut working = JoinSet::new();
    for bare in bares {
        working.spawn(work(bare, preserve, Arc::clone(&done), Arc::clone(&over)));
    }
    let working = async {
        while let Some(ended) = working.join_next().await {
            ended.map_err(|error| CliError::Failed(error.to_string()))??;
        }
        Ok::<_, CliError>(start.elapsed())
    };
    let so_far = || done.load(Ordering::Relaxed);
    let took = site.screen.during(&name(connections), jobs, so_far, working).await?;
    if so_far() != jobs {
        return Err(CliError::Failed(format!("raw SQL found {} of {jobs} jobs", so_far())));
    }
    Ok(jobs as f64 / took.as_secs_f64())
}

/// Claims and ends until `over`, and then until there is nothing more.
async fn work(
    mut bare: Bare,
    preserve: Preserve,
    done: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
) -> Result<(), CliError> {
    loop {
        let was_over = over.load(Ordering::Relaxed);
        let claimed = bare.claim(BATCH).await?;
        if claimed.is_empty() {
            if was_over {
                break;
            }
            tokio::time::sleep(NOTHING).await;
            continue;
        }
        match preserve {
            Preserve::Never => bare.delete(&claimed).await?,
            _ => bare.finish(&claimed).await?,
        }
        done.fetch_add(claimed.len() as u64, Ordering::Relaxed);
    }
    bare.close().await;
    Ok(())
}

/// Milliseconds from the beginning of an INSERT with its notice until another connection, woken by the notice,
/// has claimed the job.
pub(super) async fn latency(site: &Site, jobs: u64, gap: Duration) -> Result<Vec<f64>, CliError> {
    let spread = site.spread(1, 1);
    let (mut storing, mut claiming) = (site.bare(&spread).await?, site.bare(&spread).await?);
    let mut listener = PgListener::connect_with(site.store().pool()).await?;
    listener.listen(CHANNEL).await?;
    let (mut waits, mut pace) = (Vec::new(), tokio::time::interval(gap));
    for i in 0..jobs {
        let (id, payload) = envelope(site, &spread, i)?;
        pace.tick().await;
        let start = Instant::now();
        let mut storing = Box::pin(storing.insert_and_notify(id, &payload));
        let mut stored = false;
        let claimed = loop {
            tokio::select! {
                // The notice may be here before the answer.
                ended = &mut storing, if !stored => { ended?; stored = true; }
                heard = listener.recv() => {
                    heard?;
                    let claimed = claiming.claim(1).await?;
                    if !claimed.is_empty() {
                        break claimed;
                    }
                }
            }
        };
        waits.push(start.elapsed().as_secs_f64() * 1000.0);
        if !stored {
            storing.await?;
        }
        claiming.finish(&claimed).await?;
    }
    storing.close().await;
    claiming.close().await;
    Ok(waits)
}

fn envelope(site: &Site, spread: &Spread, i: u64) -> Result<(JobId, Payload), CliError> {
    let job = site.job(spread, Load::number(i))?;
    Ok((job.id, Payload::of(&job, chrono::Utc::now())))
}

/// So many ids and envelopes.
fn envelopes(site: &Site, spread: &Spread, jobs: u64) -> Result<Vec<(JobId, Payload)>, CliError> {
    (0..jobs).map(|i| envelope(site, spread, i)).collect()
}

/// Jobs in a second, stored and told of one by one.
pub(super) async fn enqueue_singly(site: &Site, jobs: u64) -> Result<f64, CliError> {
    let spread = site.spread(1, 1);
    let mut bare = site.bare(&spread).await?;
    let jobs = envelopes(site, &spread, jobs)?;
    let start = Instant::now();
    for (id, payload) in &jobs {
        bare.insert_and_notify(*id, payload).await?;
    }
    let took = start.elapsed();
    bare.close().await;
    Ok(jobs.len() as f64 / took.as_secs_f64())
}

/// Jobs in a second, stored by so many connections that tell nobody.
pub(super) async fn enqueue_together(
    site: &Site,
    jobs: u64,
    connections: u64,
) -> Result<f64, CliError> {
    let spread = site.spread(1, 1);
    let mut storing = JoinSet::new();
    let mut ready = Vec::new();
    for _ in 0..connections {
        ready.push((site.bare(&spread).await?, envelopes(site, &spread, jobs / connections)?));
    }
    let start = Instant::now();
    for (mut bare, jobs) in ready {
        storing.spawn(async move {
            for (id, payload) in &jobs {
                bare.insert(*id, payload).await?;
            }
            Ok::<_, CliError>(bare)
        });
    }
    let mut bares = Vec::new();
    while let Some(ended) = storing.join_next().await {
        bares.push(ended.map_err(|error| CliError::Failed(error.to_string()))??);
    }
    let took = start.elapsed();
    for bare in bares {
        bare.close().await;
    }
    Ok((jobs / connections * connections) as f64 / took.as_secs_f64())
}

/// Jobs in a second, stored by one statement.
pub(super) async fn enqueue_many(site: &Site, jobs: u64) -> Result<f64, CliError> {
    let spread = site.spread(1, 1);
    let mut bare = site.bare(&spread).await?;
    let jobs = envelopes(site, &spread, jobs)?;
    let start = Instant::now();
    bare.insert_many(&jobs).await?;
    let took = start.elapsed();
    bare.close().await;
    Ok(jobs.len() as f64 / took.as_secs_f64())
}

/// Jobs in a second, while one connection stores as many as may wait and `connections` claim and end them.
pub(super) async fn sustained(
    site: &Site,
    waiting: u64,
    time: Duration,
    connections: usize,
    preserve: Preserve,
) -> Result<f64, CliError> {
    let spread = site.spread(1, 1);
    let mut storing = site.bare(&spread).await?;
    let (done, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut working = JoinSet::new();
    for _ in 0..connections {
        let bare = site.bare(&spread).await?;
        working.spawn(work(bare, preserve, Arc::clone(&done), Arc::clone(&over)));
    }
    let (start, mut stored) = (Instant::now(), 0);
    while start.elapsed() < time {
        let room = waiting.saturating_sub(stored - done.load(Ordering::Relaxed));
        if room * 2 < waiting {
            tokio::time::sleep(NOTHING).await;
            continue;
        }
        storing.insert_many(&envelopes(site, &spread, room)?).await?;
        stored += room;
    }
    let (jobs, took) = (done.load(Ordering::Relaxed), start.elapsed());
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = working.join_next().await {
        ended.map_err(|error| CliError::Failed(error.to_string()))??;
    }
    storing.close().await;
    Ok(jobs as f64 / took.as_secs_f64())
}
