//! Where a bench takes place, who works there, and the removal of all that it made.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use goodjob_core::{
    Arguments, Capsule, Cleanup, Config, Handlers, NewJob, Options, Pool, Preserve, ProcessId,
    QueueSelector, Shutdown, Store,
};
use goodjob_postgres::PgStore;
use goodjob_postgres::bench::{Backlog, Bare, BenchRows};
use goodjob_postgres::migrate::Indexes;
use goodjob_postgres::status::status;

use super::screen::Screen;
use super::tally::{Load, Tally};
use crate::commands::place::Place;
use crate::error::CliError;
use crate::output::tell;

/// Jobs that are stored at once.
const BATCH: u64 = 5_000;
/// After an interruption, what the server was still busy with may come after the first removal.
const AFTERMATH: Duration = Duration::from_millis(300);

/// Queues and how many priorities jobs are spread over.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    pub(super) queues: Vec<String>,
    pub(super) priorities: u64,
}

/// What a worker is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crew {
    pub(super) processes: usize,
    pub(super) slots: NonZeroUsize,
    pub(super) preserve: Preserve,
    pub(super) every_queue: bool,
}

pub(super) struct Site {
    pub(super) screen: Screen,
    /// For looks and removals that no measurement counts.
    pub(super) rows: BenchRows,
    place: Place,
    store: PgStore,
    /// What the names of all queues begin with.
    name: String,
    class: String,
    queues: AtomicU64,
    workers: Mutex<Vec<(Capsule, PgStore)>>,
}

impl Site {
    pub(super) async fn open(
        place: Place,
        gem_indexes: bool,
        screen: Screen,
    ) -> Result<Self, CliError> {
        screen.say(&place.description());
        if place.is_own() {
            let indexes = if gem_indexes { Indexes::All } else { Indexes::Lean };
            let store = PgStore::lazy(place.options()?);
            store.migrate(indexes).await?;
            store.close().await;
        }
        let store = PgStore::connect(place.options()?).await?;
        if status(&store).await?.processes.iter().any(|process| process.alive) {
            tell(
                "warning",
                &"other workers are running: their work is measured too, and one of the gem's that takes \
                  every queue would take these jobs and fail them",
            );
        }
        // Of its own, so that no other bench's worker takes its jobs.
        let run = format!("{:08x}", rand::random::<u32>());
        let class = format!("GoodjobBench{run}Job");
        Ok(Self {
            rows: BenchRows::new(&store, &class),
            screen,
            place,
            store,
            name: format!("goodjob-bench-{run}"),
            class,
            queues: AtomicU64::new(0),
            workers: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Names of queues that were not used before.
    pub(super) fn spread(&self, queues: u64, priorities: u64) -> Spread {
        let first = self.queues.fetch_add(queues, Ordering::Relaxed);
        let queues = (first..first + queues).map(|n| format!("{}-{n}", self.name)).collect();
        Spread { queues, priorities }
    }

    /// Removes what earlier measurements left.
    pub(super) async fn reset(&self) -> Result<(), CliError> {
        if self.place.is_own() {
            self.rows.truncate().await?;
        } else {
            self.rows.clear().await?;
        }
        Ok(())
    }

    /// Ends the effects of storing, so that they are not measured.
    pub(super) async fn settle_down(&self) -> Result<(), CliError> {
        if self.place.is_own() {
            let client = self.client().await?;
            self.rows.through(&client).settle_down().await?;
            client.close().await;
        }
        Ok(())
    }

    /// Adds rows that are in the way.
    pub(super) async fn add(&self, kind: Backlog, rows: u64, queues: u64) -> Result<(), CliError> {
        let client = self.client().await?;
        let prefix = format!("{}-idle-", self.name);
        self.rows.through(&client).add(kind, rows, queues, &prefix).await?;
        client.close().await;
        Ok(())
    }

    /// A store as an application has one that only enqueues.
    pub(super) async fn client(&self) -> Result<PgStore, CliError> {
        Ok(PgStore::connect(self.place.options()?).await?)
    }

    /// A connection that works in raw SQL on the first of these queues.
    pub(super) async fn bare(&self, spread: &Spread) -> Result<Bare, CliError> {
        let queue = spread.queues.first().map_or("", String::as_str);
        Ok(Bare::connect(&self.store, queue, &self.class).await?)
    }

    pub(super) fn store(&self) -> &PgStore {
        &self.store
    }

    /// A job that carries its number.
    pub(super) fn job(&self, spread: &Spread, load: Load) -> Result<NewJob, CliError> {
        let queues = spread.queues.len().max(1) as u64;
        let queue = usize::try_from(load.i % queues).unwrap_or(0);
        let priority = i32::try_from(load.i / queues % spread.priorities).unwrap_or(0);
        let arguments = Arguments::encode(&load).map_err(goodjob_core::EnqueueError::from)?;
        let queue = spread.queues.get(queue).map_or("default", String::as_str);
        let options = Options::new().queue(queue).priority(priority);
        Ok(NewJob::of_class(self.class.as_str(), arguments, options)?)
    }

    /// Stores so many jobs, as quickly as may be.
    pub(super) async fn fill(&self, jobs: u64, spread: &Spread) -> Result<(), CliError> {
        let client = self.client().await?;
        for first in (0..jobs).step_by(usize::try_from(BATCH).unwrap_or(1)) {
            let batch = first..jobs.min(first + BATCH);
            let batch = batch.map(|i| self.job(spread, Load::number(i)));
            client.insert(&batch.collect::<Result<Vec<_>, _>>()?).await?;
        }
        client.close().await;
        self.settle_down().await
    }

    /// Starts workers that count by `tally`.
    pub(super) async fn start(
        &self,
        crew: &Crew,
        spread: &Spread,
        tally: &Arc<Tally>,
    ) -> Result<Vec<ProcessId>, CliError> {
        let queues = match crew.every_queue {
            true => QueueSelector::All,
            false => QueueSelector::Only(spread.queues.clone()),
        };
        // Old jobs in somebody's database are not for a bench to delete.
        let cleanup = if self.place.is_own() { Cleanup::default() } else { Cleanup::OFF };
        let config = Config {
            pools: vec![Pool { queues, max_threads: crew.slots }],
            preserve: crew.preserve,
            cleanup,
            title: "goodjob bench".to_owned(),
            ..Config::default()
        };
        let mut processes = Vec::new();
        for _ in 0..crew.processes {
            let mut handlers = Handlers::default();
            handlers.add(self.class.as_str(), tally.handler());
            let store = PgStore::connect(self.place.options()?).await?;
            let capsule = Capsule::start(config.clone(), handlers, &store).await?;
            processes.push(capsule.process());
            self.workers().push((capsule, store));
        }
        Ok(processes)
    }

    /// Stops all workers, which have written down everything then.
    pub(super) async fn stop(&self, how: Shutdown) {
        let workers = std::mem::take(&mut *self.workers());
        for (capsule, store) in workers {
            capsule.shutdown(how).await;
            store.close().await;
        }
    }

    fn workers(&self) -> MutexGuard<'_, Vec<(Capsule, PgStore)>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops who still works, and removes every row that was made. A throwaway server goes as it is.
    pub(super) async fn close(&self, is_at_rest: bool) -> Result<(), CliError> {
        self.stop(Shutdown::Now).await;
        if !self.place.is_own() {
            let mut left = self.rows.clear().await?;
            // A statement that was cut off may store rows yet.
            left = left.max(u64::from(!is_at_rest));
            while left > 0 && !is_at_rest {
                tokio::time::sleep(AFTERMATH).await;
                left = self.rows.clear().await?;
            }
        }
        self.store.close().await;
        Ok(())
    }
}
