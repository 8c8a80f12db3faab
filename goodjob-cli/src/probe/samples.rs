//! The numbers that are looked up when they are asked for, and the recorder that renders all.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use goodjob_postgres::status::{self, QueueStatus};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Mutex;

use super::Watched;

/// Time between looks at the queues, however often it is scraped: the look reads every unfinished job.
const FRESH: Duration = Duration::from_secs(5);
/// How long an answer waits for the database. Without it what is known of this process is told alone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Queues with a series of their own, the longest; the others share one.
const MOST_QUEUES: usize = 100;
const OTHER_QUEUES: &str = "(other)";
/// Time between the recorder's own upkeep, without which what is measured piles up between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// From a millisecond to an hour: what a job waits and what it takes.
const BUCKETS: [f64; 16] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0,
];

/// What the last look brought.
#[derive(Default)]
pub(super) struct Samples {
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    looked: Option<Instant>,
    /// Those that have a series, which goes to 0 when they are empty.
    shown: HashSet<String>,
}

/// The process's recorder, made at the first call; `None` when the application has one of its own.
pub(super) fn recorder() -> Option<PrometheusHandle> {
    static RECORDER: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
        let suffix = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(suffix, &BUCKETS).ok()?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        describe();
        let upkeep = handle.clone();
        let thread = std::thread::Builder::new().name("goodjob-metrics".to_owned());
        let spawned = thread.spawn(move || {
            loop {
                std::thread::sleep(UPKEEP);
                upkeep.run_upkeep();
            }
        });
        // Without it a scrape does the same, only with more at once.
        drop(spawned);
        Some(handle)
    });
    RECORDER.clone()
}

fn describe() {
    let seconds = Unit::Seconds;
    describe_histogram!("goodjob_queue_latency_seconds", seconds, "From due to started, by queue");
    describe_histogram!("goodjob_job_duration_seconds", seconds, "What attempts took, by class");
    describe_counter!("goodjob_jobs_ended_total", "Attempts that ended, by class and outcome");
    describe_counter!("goodjob_claims_total", "Jobs that searches brought");
    describe_counter!("goodjob_notices_total", "Notices of new jobs that were heard");
    describe_counter!("goodjob_searches_empty_total", "Searches that found nothing, by pool");
    describe_gauge!("goodjob_jobs_running", "Jobs that run in this process, by pool");
    describe_gauge!("goodjob_slots", "Jobs that can run at once in this process, by pool");
    describe_gauge!("goodjob_locks_confirmed", "1 while the lock session vouches for the locks");
    describe_gauge!("goodjob_listening", "1 while the notify session lives");
    describe_gauge!("goodjob_connections", "Connections of the pool, by state");
    describe_gauge!("goodjob_connections_max", "Connections that the pool may have");
    describe_gauge!("goodjob_queue_due", "Jobs on the tables that are due and wait, by queue");
    describe_gauge!("goodjob_queue_running", "Jobs on the tables that run, by queue");
    describe_gauge!(
        "goodjob_queue_scheduled",
        "Jobs on the tables that wait for their time, by queue"
    );
    describe_gauge!(
        "goodjob_queue_oldest_due_seconds",
        seconds,
        "How long the oldest has been due"
    );
    describe_gauge!("goodjob_tables_readable", "1 when the last look at the queues got an answer");
}

impl Samples {
    /// Brings all gauges up to date.
    pub(super) async fn take(&self, watched: &Watched) {
        sample_process(watched);
        let mut queues = self.queues.lock().await;
        if queues.looked.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let store = watched.store.clone();
        // On the runtime of the connections. Dropped unfinished, it still ends there.
        let look = watched.runtime.spawn(async move { status::queues(&store).await });
        let found = match tokio::time::timeout(PATIENCE, look).await {
            Ok(Ok(Ok(found))) => Some(found),
            _ => None,
        };
        gauge!("goodjob_tables_readable").set(f64::from(u8::from(found.is_some())));
        queues.looked = Some(Instant::now());
        if let Some(found) = found {
            queues.show(found);
        }
    }
}

impl Queues {
    fn show(&mut self, found: Vec<QueueStatus>) {
        let found = bounded(found);
        let names: HashSet<String> = found.iter().map(name).collect();
        for gone in self.shown.difference(&names) {
            show(gone, 0, 0, 0, 0.0);
        }
        for queue in &found {
            let QueueStatus { scheduled, retried, queued, running, oldest_due_seconds, .. } = queue;
            let oldest = oldest_due_seconds.unwrap_or(0.0);
            show(&name(queue), *queued, *running, scheduled + retried, oldest);
        }
        self.shown.extend(names);
    }
}

fn name(queue: &QueueStatus) -> String {
    queue.queue.clone().unwrap_or_default()
}

fn show(queue: &str, due: i64, running: i64, scheduled: i64, oldest: f64) {
    let label = || queue.to_owned();
    gauge!("goodjob_queue_due", "queue" => label()).set(due as f64);
    gauge!("goodjob_queue_running", "queue" => label()).set(running as f64);
    gauge!("goodjob_queue_scheduled", "queue" => label()).set(scheduled as f64);
    gauge!("goodjob_queue_oldest_due_seconds", "queue" => label()).set(oldest);
}

/// The queues with the most jobs, and one for all others.
fn bounded(mut found: Vec<QueueStatus>) -> Vec<QueueStatus> {
    if found.len() <= MOST_QUEUES {
        return found;
    }
    found.sort_by_key(|queue| std::cmp::Reverse(queue.queued + queue.running + queue.scheduled));
    let others = found.split_off(MOST_QUEUES);
    let sum = |count: fn(&QueueStatus) -> i64| others.iter().map(count).sum();
    let oldest = others.iter().filter_map(|queue| queue.oldest_due_seconds).reduce(f64::max);
    found.push(QueueStatus {
        queue: Some(OTHER_QUEUES.to_owned()),
        scheduled: sum(|queue| queue.scheduled),
        retried: sum(|queue| queue.retried),
        queued: sum(|queue| queue.queued),
        running: sum(|queue| queue.running),
        oldest_due_seconds: oldest,
    });
    found
}

/// What is known without asking anybody.
fn sample_process(Watched { capsule, store, .. }: &Watched) {
    let states = capsule.pools();
    for (pool, state) in capsule.configured_pools().iter().zip(&states) {
        let label = || pool.queues.to_string();
        gauge!("goodjob_slots", "pool" => label()).set(pool.max_threads.get() as f64);
        gauge!("goodjob_jobs_running", "pool" => label()).set(state.active as f64);
        counter!("goodjob_searches_empty_total", "pool" => label()).absolute(state.empty);
    }
    let vitals = capsule.vitals();
    let flag = |yes: bool| f64::from(u8::from(yes));
    gauge!("goodjob_locks_confirmed").set(flag(vitals.locks_confirmed));
    gauge!("goodjob_listening").set(flag(vitals.listening));
    let (size, idle) = (f64::from(store.pool().size()), store.pool().num_idle() as f64);
    gauge!("goodjob_connections", "state" => "idle").set(idle);
    gauge!("goodjob_connections", "state" => "busy").set((size - idle).max(0.0));
    gauge!("goodjob_connections_max").set(f64::from(store.pool().options().get_max_connections()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_queues_are_a_hundred_and_one_series() {
        let queue = |n: i64| QueueStatus {
            queue: Some(format!("customer {n}")),
            scheduled: 0,
            retried: 0,
            queued: n,
            running: 0,
            oldest_due_seconds: Some(n as f64),
        };
        let found = bounded((0..1_000).map(queue).collect());
        assert_eq!(found.len(), MOST_QUEUES + 1);
        assert_eq!(found[0].queue.as_deref(), Some("customer 999"));
        let others = found.last().unwrap();
        assert_eq!(others.queue.as_deref(), Some(OTHER_QUEUES));
        assert_eq!((others.queued, others.oldest_due_seconds), ((0..900).sum(), Some(899.0)));
    }
}
