//! What goodjob computes for each job, without a store: which pools want its queue, its envelope, its end.
//!
//! `scripts/bench-pure` runs this and compares it with `bench/pure.tsv`. The yardstick is there for machines that
//! differ: each figure is also told as a multiple of it.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails by panicking")]
#![allow(missing_docs, reason = "criterion's macros make items")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use goodjob_core::{
    Arguments, Backoff, Claim, Defaults, ExecutionId, Job, JobError, JobRecord, NewJob, Outcome,
    Payload, Policy, Pools, QueueSelector, Retry, Timestamp, Token, settle,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
    times: u32,
    tags: Vec<String>,
}

impl Job for Greet {
    const CLASS: &'static str = "GreetJob";
}

fn greet() -> Greet {
    Greet { name: "Ada".into(), times: 3, tags: vec!["early".into(), "kind".into()] }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn claim() -> Claim {
    let job = NewJob::new(&greet()).unwrap();
    let token = Token {
        job: job.id,
        execution: ExecutionId::generate(),
        performed_at: now(),
        executions_count: 1,
    };
    let record = JobRecord {
        id: job.id,
        payload: Payload::of(&job, now()),
        class: job.class,
        queue: Some(job.queue),
        priority: Some(0),
        labels: Vec::new(),
        ties: job.ties,
        created_at: now(),
        scheduled_at: Some(now()),
        performed_at: Some(now()),
        finished_at: None,
        error: None,
        error_event: None,
        executions_count: 1,
        locked_by: None,
    };
    Claim { job: record, token, interruptions: 0 }
}

/// Work of the same kind that no change of ours makes faster or slower.
fn yardstick(c: &mut Criterion) {
    let text = serde_json::to_string(&Payload::of(&NewJob::new(&greet()).unwrap(), now())).unwrap();
    c.bench_function("yardstick", |b| {
        b.iter(|| serde_json::from_str::<Value>(black_box(&text)).unwrap());
    });
}

fn queues(c: &mut Criterion) {
    let text = "-elephants,whales:2;elephants,whales:1;+first,second:3;*:5";
    c.bench_function("queue string parsed", |b| {
        b.iter(|| black_box(text).parse::<Pools>().unwrap());
    });
    let names: Vec<String> = (0..20).map(|n| format!("queue {n}")).collect();
    let pools =
        [QueueSelector::Only(names.clone()), QueueSelector::Except(names), QueueSelector::All];
    c.bench_function("queue matched against pools", |b| {
        b.iter(|| pools.iter().filter(|pool| pool.matches(black_box(Some("queue 19")))).count());
    });
}

fn envelopes(c: &mut Criterion) {
    c.bench_function("envelope encoded", |b| {
        b.iter(|| {
            let job = NewJob::new(black_box(&greet())).unwrap();
            serde_json::to_vec(&Payload::of(&job, now())).unwrap()
        });
    });
    let text = serde_json::to_vec(&Payload::of(&NewJob::new(&greet()).unwrap(), now())).unwrap();
    c.bench_function("envelope decoded", |b| {
        b.iter(|| {
            let payload = Payload::from_value(serde_json::from_slice(black_box(&text)).unwrap());
            payload.arguments().unwrap().decode::<Greet>().unwrap()
        });
    });
    c.bench_function("arguments encoded", |b| {
        b.iter(|| Arguments::encode(black_box(&greet())).unwrap());
    });
}

fn settlements(c: &mut Criterion) {
    let claim = claim();
    let policy = Policy::new()
        .retry_on::<std::num::ParseIntError>(Retry::attempts(5).wait(Backoff::Polynomial))
        .discard_on::<std::fmt::Error>();
    let took = Duration::from_millis(3);
    let settled = |outcome: &Outcome| {
        settle(black_box(&claim), outcome, &policy, Defaults::default(), took, 0.5)
    };
    c.bench_function("success settled", |b| b.iter(|| settled(&Outcome::Succeeded)));
    let error = "x".parse::<u32>().unwrap_err();
    let failed = Outcome::Failed(JobError::from(error));
    c.bench_function("retry settled", |b| b.iter(|| settled(&failed)));
}

criterion_group! {
    name = pure;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50);
    targets = yardstick, queues, envelopes, settlements
}
criterion_main!(pure);
