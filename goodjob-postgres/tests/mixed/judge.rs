//! Who ran which job when, kept in this process: it sees every overlap and costs the database nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use goodjob_core::JobId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

/// A worker of the mix, by its kind and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours(usize),
    Ruby(usize),
}

/// Two runs of one job.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) runner: Side,
    pub(crate) newcomer: Side,
    /// Whose claims of this job were begun when, of all its runs.
    pub(crate) claims: Vec<(Side, Instant)>,
    /// When the newcomer's body began.
    pub(crate) at: Instant,
    /// The newcomer began before the runner had ended.
    pub(crate) at_once: bool,
}

#[derive(Debug)]
pub(crate) struct Judge(Mutex<Sight>);

#[derive(Debug)]
struct Sight {
    chance: StdRng,
    runs: HashMap<JobId, Vec<Run>>,
    ended: usize,
    failures: usize,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    side: Side,
    claimed: Instant,
    since: Instant,
    until: Option<Instant>,
}

impl Judge {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let chance = StdRng::seed_from_u64(seed);
        Arc::new(Self(Mutex::new(Sight { chance, runs: HashMap::new(), ended: 0, failures: 0 })))
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        self.0.lock().unwrap()
    }

    /// A body begins whose claim was begun at `claimed`, and ends when what is returned is dropped: at its end, or cut off.
    pub(crate) fn enter(self: &Arc<Self>, job: JobId, side: Side, claimed: Instant) -> Visit {
        let mut sight = self.sight();
        let runs = sight.runs.entry(job).or_default();
        runs.push(Run { side, claimed, since: Instant::now(), until: None });
        Visit { judge: Arc::clone(self), job, number: runs.len() - 1 }
    }

    /// How long the next body takes.
    pub(crate) fn pause(&self, longest: Duration) -> Duration {
        self.sight().chance.random_range(Duration::ZERO..=longest)
    }

    /// Whether the next body fails.
    pub(crate) fn fails(&self, one_of: u32) -> bool {
        let mut sight = self.sight();
        let fails = one_of > 0 && sight.chance.random_ratio(1, one_of);
        sight.failures += usize::from(fails);
        fails
    }

    /// A number below `count`.
    pub(crate) fn pick(&self, count: usize) -> usize {
        self.sight().chance.random_range(0..count)
    }

    /// How many bodies have ended, in whatever way.
    pub(crate) fn ended(&self) -> usize {
        self.sight().ended
    }

    pub(crate) fn failures(&self) -> usize {
        self.sight().failures
    }

    /// The runs of jobs that ran more than once, each with each later one.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let sight = self.sight();
        let mut pairs = Vec::new();
        for runs in sight.runs.values() {
            for (number, newcomer) in runs.iter().enumerate() {
                pairs.extend(runs[..number].iter().map(|runner| Pair {
                    runner: runner.side,
                    newcomer: newcomer.side,
                    claims: runs.iter().map(|run| (run.side, run.claimed)).collect(),
                    at: newcomer.since,
                    at_once: runner.until.is_none_or(|until| newcomer.since < until),
                }));
            }
        }
        pairs
    }

    /// How many bodies the workers for which `wanted` holds have begun.
    pub(crate) fn count(&self, wanted: impl Fn(Side) -> bool) -> usize {
        self.sight().runs.values().flatten().filter(|run| wanted(run.side)).count()
    }
}

/// A body that is running.
#[derive(Debug)]
pub(crate) struct Visit {
    judge: Arc<Judge>,
    job: JobId,
    number: usize,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut sight = self.judge.sight();
        sight.ended += 1;
        if let Some(runs) = sight.runs.get_mut(&self.job) {
            runs[self.number].until = Some(Instant::now());
        }
    }
}
