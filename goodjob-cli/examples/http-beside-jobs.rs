//! How much slower requests are answered while jobs run in the same process: the same web server without jobs and
//! with busy pools, in turns, in one run.
//!
//! ```sh
//! cargo run --release --example http-beside-jobs
//! ```
//!
//! Brings its own Postgres. The jobs await, as jobs do that ask other services; one that computes takes a thread of
//! the runtime from the requests, and belongs into `spawn_blocking`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use axum::{Router, routing::get};
use goodjob_core::{
    BoxError, Capsule, Config, Context, Job, JobResult, NewJob, Perform, Pools, Registry, Shutdown,
};
use goodjob_testkit::Database;
use serde::{Deserialize, Serialize};

/// Jobs at a time.
const SLOTS: usize = 50;
/// How long a job awaits: all slots are busy, and fifty jobs begin and end in a second. Many more would measure what
/// Postgres and the clients, which are on the same machine, take from the server.
const NAP: Duration = Duration::from_secs(1);
/// Clients that ask again as soon as they are answered, after a pause of a person's kind.
const CLIENTS: usize = 4;
const BETWEEN: Duration = Duration::from_millis(2);
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;

#[derive(Serialize, Deserialize)]
struct Nap {}

impl Job for Nap {
    const CLASS: &'static str = "NapJob";
}

impl Perform for Nap {
    async fn perform(self, _: Context) -> JobResult {
        tokio::time::sleep(NAP).await;
        Ok(())
    }
}

/// The times of requests, sorted.
async fn ask(address: SocketAddr) -> Result<Vec<Duration>, BoxError> {
    let clients = (0..CLIENTS).map(|_| {
        tokio::spawn(async move {
            let (client, url) = (reqwest::Client::new(), format!("http://{address}/"));
            let (begun, mut times) = (Instant::now(), Vec::new());
            while begun.elapsed() < ROUND {
                let asked = Instant::now();
                client.get(&url).send().await?.error_for_status()?.bytes().await?;
                times.push(asked.elapsed());
                tokio::time::sleep(BETWEEN).await;
            }
            Ok::<_, reqwest::Error>(times)
        })
    });
    let mut all = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        all.extend(client.await??);
    }
    all.sort_unstable();
    Ok(all)
}

fn percentile(times: &[Duration], of: f64) -> f64 {
    let place = (times.len() as f64 * of) as usize;
    times.get(place.min(times.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64) * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // For the client; another one that is installed already will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = Database::fresh().await;
    let store = database.store().await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/", get(|| async { "hello" }));
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    ask(address).await?;

    let pools: Pools = "*".parse()?;
    let slots = NonZeroUsize::new(SLOTS).ok_or("no slots")?;
    let (mut ratios, mut done) = ([Vec::new(), Vec::new()], 0);
    for round in 1..=ROUNDS {
        let alone = ask(address).await?;
        let enough = (SLOTS as f64 * 2.0 * ROUND.as_secs_f64() / NAP.as_secs_f64()) as usize;
        let naps: Result<Vec<_>, _> = (0..enough).map(|_| NewJob::new(&Nap {})).collect();
        store.adapter().enqueue_all(naps?).await?;
        let config = Config { pools: pools.with_default(slots), ..Config::default() };
        let jobs = Registry::default().register::<Nap>();
        let capsule = Capsule::start(config, jobs, &store).await?;
        let beside = ask(address).await?;
        done += capsule.pools().iter().map(|pool| pool.succeeded).sum::<u64>();
        capsule.shutdown(Shutdown::Now).await;
        sqlx::query("TRUNCATE good_jobs, good_job_executions").execute(store.pool()).await?;
        for (of, ratios) in [0.5, 0.99].into_iter().zip(&mut ratios) {
            let (alone, beside) = (percentile(&alone, of), percentile(&beside, of));
            println!(
                "round {round}, p{:2.0}: alone {alone:.2} ms, beside jobs {beside:.2} ms",
                of * 100.0
            );
            ratios.push(beside / alone);
        }
    }
    let rate = done as f64 / (ROUND.as_secs_f64() * ROUNDS as f64);
    let [middle, tail] = ratios.map(median);
    println!(
        "beside {rate:.0} jobs/s in {SLOTS} slots: p50 x {middle:.2}, p99 x {tail:.2} (median of {ROUNDS})"
    );
    server.abort();
    store.close().await;
    Ok(())
}
