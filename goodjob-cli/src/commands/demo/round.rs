//! One round of the demo: a worker with given pools, the load from another connection, the outcome as
//! the tables tell it.

use std::sync::Arc;

use goodjob_core::{
    Capsule, Config, DEFAULT_MAX_THREADS, Inspect, JobId, JobState, Pools, Shutdown,
};
use goodjob_postgres::{PgOptions, PgStore};

use super::load::{self, Load, Stage};
use super::screen::Screen;
use crate::error::CliError;

/// How a round went.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) pools: String,
    pub(super) jobs: usize,
    /// Jobs with exactly one attempt, which succeeded.
    pub(super) ran_once: usize,
    /// Milliseconds from being due to the start of the attempt.
    pub(super) mice: Vec<f64>,
    pub(super) elephants: Vec<f64>,
}

pub(super) async fn run(
    database: &PgOptions,
    pools: &Pools,
    load: &Load,
    screen: &Screen,
) -> Result<Round, CliError> {
    let worker = PgStore::connect(database.clone()).await?;
    let client = PgStore::connect(database.clone()).await?;
    let stage = Arc::new(Stage::default());
    let config = Config {
        pools: pools.with_default(DEFAULT_MAX_THREADS),
        title: "goodjob demo".to_owned(),
        ..Config::default()
    };
    let handlers = load::registry(Arc::clone(&stage));
    let capsule = Capsule::start(config, handlers, &worker).await?;

    let name = pools.to_string();
    let live = screen.follow(&name, load, &stage);
    let working = async {
        let ids = load.enqueue(&client.adapter()).await?;
        stage.ended(load.jobs()).await;
        Ok::<_, CliError>(ids)
    };
    let ids = tokio::select! {
        ids = working => ids,
        () = live => unreachable_end(),
    };
    // Waits until every outcome is written.
    capsule.shutdown(Shutdown::Forever).await;
    let (mice, elephants) = ids?;

    let mut round = Round {
        pools: name,
        jobs: load.jobs(),
        ran_once: 0,
        mice: Vec::new(),
        elephants: Vec::new(),
    };
    for (ids, latencies) in [(&mice, &mut round.mice), (&elephants, &mut round.elephants)] {
        for id in ids {
            round.ran_once += usize::from(read(&client, *id, latencies).await?);
        }
    }
    client.delete_finished(&[mice, elephants].concat()).await?;
    client.close().await;
    worker.close().await;
    Ok(round)
}

/// The display never ends by itself.
fn unreachable_end<T>() -> Result<T, CliError> {
    Err(CliError::Failed("the display ended before the jobs".to_owned()))
}

/// Adds how long the job waited; true when it ran exactly once and succeeded.
async fn read(store: &PgStore, id: JobId, latencies: &mut Vec<f64>) -> Result<bool, CliError> {
    let attempts = store.executions(id).await?;
    for attempt in &attempts {
        let due = attempt.scheduled_at.unwrap_or(attempt.started_at);
        let waited = (attempt.started_at - due).to_std().unwrap_or_default();
        latencies.push(waited.as_secs_f64() * 1000.0);
    }
    let job = store.job(id).await?;
    let succeeded = job.is_some_and(|job| job.state(chrono::Utc::now()) == JobState::Succeeded);
    Ok(succeeded && attempts.len() == 1)
}
