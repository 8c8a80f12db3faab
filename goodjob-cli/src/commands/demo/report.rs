//! The end of the demo: how long jobs waited, with isolation and without.

use serde::Serialize;

use super::round::Round;
use crate::output;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) jobs: usize,
    pub(super) ran_once: usize,
    pools: String,
    queue_latency_ms: ByQueue,
    without_isolation: Contrast,
}

#[derive(Debug, Serialize)]
struct Contrast {
    pools: String,
    queue_latency_ms: ByQueue,
}

#[derive(Debug, Serialize)]
struct ByQueue {
    mice: Latency,
    elephants: Latency,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl Report {
    pub(super) fn new(isolated: &Round, shared: &Round) -> Self {
        Self {
            jobs: isolated.jobs,
            ran_once: isolated.ran_once,
            pools: isolated.pools.clone(),
            queue_latency_ms: ByQueue::of(isolated),
            without_isolation: Contrast {
                pools: shared.pools.clone(),
                queue_latency_ms: ByQueue::of(shared),
            },
        }
    }

    pub(super) fn table(&self) -> String {
        let contrast = &self.without_isolation;
        let rows = [
            (&self.pools, "mice", &self.queue_latency_ms.mice),
            (&self.pools, "elephants", &self.queue_latency_ms.elephants),
            (&contrast.pools, "mice", &contrast.queue_latency_ms.mice),
            (&contrast.pools, "elephants", &contrast.queue_latency_ms.elephants),
        ];
        let table = output::table(
            ["POOLS", "QUEUE", "P50 MS", "P95 MS", "P99 MS", "MAX MS"],
            rows.map(|(pools, queue, latency)| {
                let [p50, p95, p99, max] = [latency.p50, latency.p95, latency.p99, latency.max]
                    .map(|ms| format!("{ms:.1}"));
                [pools.clone(), queue.to_owned(), p50, p95, p99, max]
            }),
        );
        format!(
            "how long jobs waited from being due to their start\n\n{table}\n\n{} of {} jobs ran exactly once",
            self.ran_once, self.jobs
        )
    }
}

impl ByQueue {
    fn of(round: &Round) -> Self {
        Self { mice: Latency::of(&round.mice), elephants: Latency::of(&round.elephants) }
    }
}

impl Latency {
    /// By nearest rank: each figure is the wait of a job that there was.
    fn of(waits: &[f64]) -> Self {
        let mut sorted = waits.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
            let wait = sorted.get(rank).copied().unwrap_or(0.0);
            (wait * 1000.0).round() / 1000.0
        };
        Self { p50: rank(50), p95: rank(95), p99: rank(99), max: rank(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_waits_that_there_were() {
        let waits: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let latency = Latency::of(&waits);
        assert_eq!((latency.p50, latency.p95), (50.0, 95.0));
        assert_eq!((latency.p99, latency.max), (99.0, 100.0));
        let one = Latency::of(&[7.0]);
        assert_eq!((one.p50, one.max), (7.0, 7.0));
        assert_eq!(Latency::of(&[]).max, 0.0);
    }
}
