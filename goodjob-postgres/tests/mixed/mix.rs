//! Workers of both kinds on one set of tables, a load for them, and what the rows say afterwards.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use goodjob_core::{
    Arguments, Backoff, BareContext, Handler, Handlers, Health, JobError, LockState, NewJob,
    Options, Policy, Retry, Running, Store,
};
use goodjob_postgres::LockStrategy;
use goodjob_postgres::migrate::Indexes;
use goodjob_testkit::gem::{GemOptions, GemSession, GemStrategy, Performed, RubyError};
use goodjob_testkit::{Database, GemWorker, Harness, Schema, eventually};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::judge::{Judge, Pair, Side};

const CLASS: &str = "MixedJob";
const POLL: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(10);
/// From a claim of ours to its body, on a busy machine.
const MOMENT: Duration = Duration::from_millis(500);
/// Of ours there are two, with so many slots; of the gem's as many as the mix says, with so many threads.
const CAPSULES: usize = 2;
const SLOTS: usize = 8;
const THREADS: usize = 2;
/// Jobs that are enqueued at once, and that wait at most.
const BATCH: usize = 200;
/// Jobs of a mix, and of one that has in it every pair of strategies that may meet.
const LOAD: usize = 2_000;
pub(crate) const FULL_LOAD: usize = 20_000;

/// What is mixed, and what the jobs do.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    pub(crate) schema: Schema,
    /// `goodjob migrate` was run on the tables, so that our claims go by lanes.
    pub(crate) migrated: bool,
    pub(crate) ours: [LockStrategy; CAPSULES],
    pub(crate) rubies: Vec<GemStrategy>,
    /// Bodies take a random time up to this.
    pub(crate) longest: Duration,
    /// One of so many runs fails and is retried; 0 is none.
    pub(crate) fails: u32,
    /// Time between two kills of the sessions of a random worker.
    pub(crate) kills: Option<Duration>,
    /// Jobs, unless `GOODJOB_MIXED_JOBS` says otherwise.
    pub(crate) load: usize,
}

impl Mix {
    /// On the tables of a Rails application, with [`LOAD`] jobs.
    pub(crate) fn of(ours: LockStrategy, rubies: &[GemStrategy]) -> Self {
        let longest = Duration::from_millis(3);
        Self {
            schema: Schema::GEM,
            migrated: false,
            ours: [ours; CAPSULES],
            rubies: rubies.to_vec(),
            longest,
            fails: 0,
            kills: None,
            load: LOAD,
        }
    }

    /// How many jobs there are to be.
    pub(crate) fn jobs(&self) -> usize {
        let given = std::env::var("GOODJOB_MIXED_JOBS").ok();
        given.map_or(self.load, |jobs| jobs.parse().expect("GOODJOB_MIXED_JOBS is a number"))
    }
}

/// A worker has lost the sessions that hold its locks: they were killed, or it says so itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) victim: Side,
    /// Not before.
    pub(crate) from: Instant,
    /// Known by then.
    pub(crate) until: Instant,
}

/// What happened.
#[derive(Debug)]
pub(crate) struct Report {
    /// Runs of jobs that ran more than once.
    pub(crate) pairs: Vec<Pair>,
    pub(crate) kills: Vec<Loss>,
    /// What our workers say themselves: on a busy machine sessions are given up for being slow, too.
    pub(crate) told: Vec<Loss>,
    /// Bodies that failed.
    pub(crate) failures: usize,
    pub(crate) ours: usize,
    pub(crate) rubys: usize,
    pub(crate) rows: Rows,
}

impl Report {
    /// Runs of one job at the same time.
    pub(crate) fn overlaps(&self) -> Vec<Pair> {
        self.pairs.iter().filter(|pair| pair.at_once).cloned().collect()
    }
}

/// What the rows say, all being over.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Rows {
    pub(crate) jobs: i64,
    pub(crate) unfinished: i64,
    pub(crate) with_error: i64,
    pub(crate) owned: i64,
    pub(crate) processes: i64,
    pub(crate) without_success: i64,
    pub(crate) succeeded_twice: i64,
    pub(crate) open_runs: i64,
    pub(crate) retried_runs: i64,
    pub(crate) interrupted_runs: i64,
}

const ROWS: &str = "
WITH successes AS (
  SELECT j.id, count(x.id) AS times FROM good_jobs j
  LEFT JOIN good_job_executions x
    ON x.active_job_id = j.id AND x.finished_at IS NOT NULL AND x.error IS NULL
  GROUP BY j.id
)
SELECT (SELECT count(*) FROM good_jobs) AS jobs,
       (SELECT count(*) FROM good_jobs WHERE finished_at IS NULL) AS unfinished,
       (SELECT count(*) FROM good_jobs WHERE error IS NOT NULL) AS with_error,
       (SELECT count(*) FROM good_jobs WHERE locked_by_id IS NOT NULL) AS owned,
       (SELECT count(*) FROM good_job_processes) AS processes,
       (SELECT count(*) FROM successes WHERE times = 0) AS without_success,
       (SELECT count(*) FROM successes WHERE times > 1) AS succeeded_twice,
       (SELECT count(*) FROM good_job_executions WHERE finished_at IS NULL) AS open_runs,
       (SELECT count(*) FROM good_job_executions WHERE error_event = 3) AS retried_runs,
       (SELECT count(*) FROM good_job_executions WHERE error_event = 0) AS interrupted_runs";

fn handlers(judge: &Arc<Judge>, mix: &Mix, side: Side) -> Handlers {
    let (judge, mix) = (Arc::clone(judge), mix.clone());
    let run = move |_: Option<Arguments>, cx: BareContext| {
        let (judge, longest, fails) = (Arc::clone(&judge), mix.longest, mix.fails);
        Box::pin(async move {
            // The claim's own time is not known here; it was a moment ago.
            let claimed = Instant::now() - MOMENT;
            let visit = judge.enter(cx.with_state(()).job_id(), side, claimed);
            tokio::time::sleep(judge.pause(longest)).await;
            drop(visit);
            if judge.fails(fails) { Err(JobError::from("once more")) } else { Ok(()) }
        }) as Running
    };
    let policy = Policy::new().retry_on_any(Retry::attempts(1000).wait(Backoff::Constant(RETRY)));
    let mut handlers = Handlers::default();
    handlers.add(CLASS, Handler { policy, run: Arc::new(run) });
    handlers
}

async fn capsule(database: &Database, judge: &Arc<Judge>, mix: &Mix, number: usize) -> Harness {
    let handlers = handlers(judge, mix, Side::Ours(number));
    Harness::start_with(database, handlers, |config, options| {
        config.pools[0].max_threads = NonZeroUsize::new(SLOTS).unwrap();
        config.poll_interval = Some(POLL);
        options.lock_strategy = mix.ours[number];
    })
    .await
}

async fn ruby(database: &Database, judge: &Arc<Judge>, mix: &Mix, number: usize) -> GemWorker {
    let options = GemOptions {
        threads: THREADS,
        poll_interval: Some(POLL),
        // An advisory worker's job has no owner meanwhile (H2): that is when we have to stay away.
        pause_before_start: Duration::from_millis(1),
        ..GemOptions::locking_by(mix.rubies[number])
    };
    let (judge, mix) = (Arc::clone(judge), mix.clone());
    GemWorker::start(&database.url(), options, move |job| {
        let (judge, longest, fails) = (Arc::clone(&judge), mix.longest, mix.fails);
        async move {
            let visit = judge.enter(job.id, Side::Ruby(number), job.claimed_at.unwrap());
            tokio::time::sleep(judge.pause(longest)).await;
            drop(visit);
            if judge.fails(fails) {
                let error = RubyError::new("Boom", "once more");
                return Performed::Retry { error, wait: RETRY };
            }
            Performed::Done
        }
    })
    .await
}

/// Runs the load through the mix, to its end.
pub(crate) async fn run(name: &str, mix: &Mix) -> Report {
    let jobs = mix.jobs();
    let database = Database::with_schema(mix.schema).await;
    let pool = database.pool().await;
    if mix.migrated {
        let store = database.store().await;
        store.migrate(Indexes::All).await.unwrap();
        store.close().await;
    }
    let judge = Judge::new(jobs as u64);
    let mut capsules = Vec::new();
    for number in 0..CAPSULES {
        capsules.push(capsule(&database, &judge, mix, number).await);
    }
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut telling = JoinSet::new();
    for (number, capsule) in capsules.iter().enumerate() {
        telling.spawn(tell(capsule.store().locks(), Side::Ours(number), Arc::clone(&told)));
    }
    let mut rubies = Vec::new();
    for number in 0..mix.rubies.len() {
        rubies.push(ruby(&database, &judge, mix, number).await);
    }

    let begun = Instant::now();
    let job = || NewJob::of_class(CLASS, Arguments::default(), Options::new()).unwrap();
    let mut enqueued = 0;
    while enqueued < jobs {
        let batch = (enqueued..jobs).take(BATCH).map(|_| job());
        enqueued += capsules[0].adapter().enqueue_all(batch).await.unwrap().len();
        // An advisory claim of the gem reads up to 1,000 waiting jobs: many of them would only cost time.
        // Kills need something to hit.
        if mix.kills.is_none() {
            eventually("room for more jobs", patience(jobs), async || {
                (judge.ended() + BATCH > enqueued).then_some(())
            })
            .await;
        }
    }
    let mut kills = Vec::new();
    match mix.kills {
        None => until_open(&pool, &judge, 0, jobs).await,
        Some(every) => {
            let mostly = until_open(&pool, &judge, jobs / 10, jobs);
            tokio::select! {
                () = mostly => {}
                () = kill(&pool, &judge, &capsules, &rubies, every, &mut kills) => {}
            }
        }
    }
    let errors: usize = rubies.iter().map(|ruby| ruby.errors().len()).sum();
    // A claim whose answer was lost with its session belongs to a process of the gem until that ends.
    for ruby in rubies {
        ruby.stop().await;
    }
    until_open(&pool, &judge, 0, jobs).await;
    let took = begun.elapsed();
    telling.shutdown().await;
    for capsule in capsules {
        capsule.stop().await;
    }

    let rows: Rows = sqlx::query_as(ROWS).fetch_one(&pool).await.unwrap();
    pool.close().await;
    let report = Report {
        pairs: judge.pairs(),
        kills,
        told: std::mem::take(&mut told.lock().unwrap()),
        failures: judge.failures(),
        ours: judge.count(|side| matches!(side, Side::Ours(_))),
        rubys: judge.count(|side| matches!(side, Side::Ruby(_))),
        rows,
    };
    println!(
        "{name}: {jobs} jobs in {took:.1?}; runs: ours {}, Ruby's {}; overlaps {}, lost {}, kills {}, \
         lock sessions lost by our own account {}, failures {}, errors in Ruby {errors}; {:?}",
        report.ours,
        report.rubys,
        report.overlaps().len(),
        report.rows.unfinished + report.rows.without_success,
        report.kills.len(),
        report.told.len(),
        report.failures,
        report.rows,
    );
    report
}

fn patience(jobs: usize) -> Duration {
    Duration::from_secs(60) + Duration::from_millis(20) * jobs as u32
}

/// The tables are asked only when as many bodies have ended as there must have: they have enough to do.
async fn until_open(pool: &PgPool, judge: &Judge, most: usize, jobs: usize) {
    eventually("the end of the jobs", patience(jobs), async || {
        let ended = judge.ended();
        if ended + most < jobs {
            return Err(format!("{ended} bodies have ended"));
        }
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM good_jobs WHERE finished_at IS NULL")
                .fetch_one(pool)
                .await
                .unwrap();
        if open <= most as i64 { Ok(()) } else { Err(format!("{open} are open")) }
    })
    .await;
}

/// Notes when a worker of ours says that it has lost its lock session.
async fn tell(mut locks: watch::Receiver<LockState>, side: Side, told: Arc<Mutex<Vec<Loss>>>) {
    while locks.changed().await.is_ok() {
        if locks.borrow_and_update().health != Health::Confirmed {
            let now = Instant::now();
            told.lock().unwrap().push(Loss { victim: side, from: now, until: now });
        }
    }
}

/// Ends the sessions of one worker after the other, without an end of its own.
async fn kill(
    pool: &PgPool,
    judge: &Judge,
    capsules: &[Harness],
    rubies: &[GemWorker],
    every: Duration,
    kills: &mut Vec<Loss>,
) {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let (victim, session) = match judge.pick(capsules.len() + rubies.len()) {
            n if n < capsules.len() => {
                (Side::Ours(n), format!("goodjob lock {}", capsules[n].capsule().process()))
            }
            n => {
                let n = n - capsules.len();
                (Side::Ruby(n), GemSession::application_name(rubies[n].process()))
            }
        };
        let from = Instant::now();
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = $1 AND datname = current_database()",
        )
        .bind(session)
        .fetch_one(pool)
        .await
        .unwrap();
        if ended > 0 {
            kills.push(Loss { victim, from, until: Instant::now() });
        }
    }
}
