//! goodjob as one of several job systems that a harness measures side by side; `bench/peers.toml` describes
//! it to that harness.
//!
//! ```text
//! peer setup                                  makes the tables
//! peer enqueue --n N --mode MODE              single | bulk | paced (--gap-ms) | stream (counts on stdin)
//! peer work --n N                             runs jobs; after N it says so, and goes on until stdin closes
//! ```
//!
//! `DATABASE_URL`, `CONCURRENCY` (10) and `PROFILE` (default, tuned, nohistory, gem-schema) come from the
//! environment. It prints `READY`, `FIRST us`, `MARK n us`, `LAST us`, `LATENCIES [us, …]` and
//! `ENQUEUED n seconds how`, with times in microseconds since 1970.

use std::io::{BufRead, Read, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use goodjob_core::{
    Adapter, BoxError, Capsule, Config, Context, Job, JobResult, NewJob, Perform, Preserve,
    Registry, Shutdown,
};
use goodjob_postgres::migrate::Indexes;
use goodjob_postgres::{PgOptions, PgStore};
use serde::{Deserialize, Serialize};

/// Does nothing; carries its number, and the time of its enqueue where latency is measured.
#[derive(Serialize, Deserialize)]
struct Noop {
    i: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<i64>,
}

impl Job for Noop {
    const CLASS: &'static str = "NoopJob";
}

impl Perform<Arc<Count>> for Noop {
    async fn perform(self, cx: Context<Arc<Count>>) -> JobResult {
        cx.state().one(self.t);
        Ok(())
    }
}

/// Counts jobs, and tells the harness of the first, each 500th and the last.
struct Count {
    target: u64,
    done: AtomicU64,
    latencies: Mutex<Vec<i64>>,
}

impl Count {
    fn one(&self, enqueued: Option<i64>) {
        let now = now_us();
        let n = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(mut latencies) = self.latencies.lock() else { return };
        latencies.extend(enqueued.map(|then| now - then));
        if n == 1 {
            say(&format!("FIRST {now}"));
        }
        if n.is_multiple_of(500) {
            say(&format!("MARK {n} {now}"));
        }
        if n == self.target {
            say(&format!("LAST {now}"));
            if !latencies.is_empty() {
                say(&format!("LATENCIES {latencies:?}"));
            }
        }
    }
}

fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A harness that is gone needs no more lines.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What the harness typed and set.
struct Call {
    command: String,
    n: u64,
    mode: String,
    gap: Duration,
    profile: String,
    concurrency: NonZeroUsize,
}

impl Call {
    fn read() -> Result<Self, BoxError> {
        let mut args = std::env::args().skip(1);
        let variable = |name: &str| std::env::var(name).ok();
        let mut call = Self {
            command: args.next().ok_or("usage: peer setup|enqueue|work [--n N] [--mode MODE]")?,
            n: u64::MAX,
            mode: "bulk".to_owned(),
            gap: Duration::from_millis(20),
            profile: variable("PROFILE").unwrap_or_else(|| "default".to_owned()),
            concurrency: variable("CONCURRENCY").as_deref().unwrap_or("10").parse()?,
        };
        while let Some(flag) = args.next() {
            let value = args.next().ok_or_else(|| format!("{flag}: expected a value"))?;
            match flag.as_str() {
                "--n" => call.n = value.parse()?,
                "--mode" => call.mode = value,
                "--gap-ms" => call.gap = Duration::from_millis(value.parse()?),
                other => return Err(format!("{other}: expected --n, --mode or --gap-ms").into()),
            }
        }
        Ok(call)
    }
}

async fn setup(call: &Call, store: &PgStore) -> Result<(), BoxError> {
    let indexes = if call.profile == "gem-schema" { Indexes::All } else { Indexes::Lean };
    store.migrate(indexes).await?;
    Ok(())
}

async fn enqueue(call: &Call, adapter: &Adapter) -> Result<(), BoxError> {
    match call.mode.as_str() {
        "single" => {
            // The first one pays for connecting.
            adapter.enqueue(Noop { i: 0, t: None }).await?;
            let start = Instant::now();
            for i in 1..call.n {
                adapter.enqueue(Noop { i, t: None }).await?;
            }
            say(&format!("ENQUEUED {} {} one by one", call.n - 1, start.elapsed().as_secs_f64()));
        }
        "bulk" => {
            let jobs = jobs(call.n)?;
            let start = Instant::now();
            adapter.enqueue_all(jobs).await?;
            say(&format!("ENQUEUED {} {} in one call", call.n, start.elapsed().as_secs_f64()));
        }
        "paced" => {
            let mut pace = tokio::time::interval(call.gap);
            for i in 0..call.n {
                pace.tick().await;
                adapter.enqueue(Noop { i, t: Some(now_us()) }).await?;
            }
        }
        "stream" => {
            let (counted, mut counts) = tokio::sync::mpsc::unbounded_channel();
            std::thread::spawn(move || {
                for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                    // The reader is gone when the enqueue failed, which ends the process.
                    let _ = counted.send(line.trim().parse::<u64>().unwrap_or(0));
                }
            });
            while let Some(mut count) = counts.recv().await {
                while let Ok(more) = counts.try_recv() {
                    count += more;
                }
                adapter.enqueue_all(jobs(count)?).await?;
            }
        }
        other => {
            return Err(format!("--mode {other}: expected single, bulk, paced or stream").into());
        }
    }
    Ok(())
}

fn jobs(count: u64) -> Result<Vec<NewJob>, BoxError> {
    (0..count).map(|i| Ok(NewJob::new(&Noop { i, t: None })?)).collect()
}

async fn work(call: &Call, store: PgStore) -> Result<(), BoxError> {
    let count =
        Arc::new(Count { target: call.n, done: AtomicU64::new(0), latencies: Mutex::default() });
    let mut config = Config { title: "peer".to_owned(), ..Config::default() };
    config.pools[0].max_threads = call.concurrency;
    if call.profile == "nohistory" {
        config.preserve = Preserve::Never;
    }
    let handlers = Registry::new(count).register::<Noop>();
    let capsule = Capsule::start(config, handlers, store).await?;
    say("READY");
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_to_end(&mut Vec::new())).await??;
    capsule.shutdown(Shutdown::Now).await;
    Ok(())
}

async fn run() -> Result<(), BoxError> {
    let call = Call::read()?;
    let options = PgOptions::from_url(&std::env::var("DATABASE_URL")?)?;
    match call.command.as_str() {
        "setup" => setup(&call, &PgStore::lazy(options)).await,
        "enqueue" => enqueue(&call, &PgStore::connect(options).await?.adapter()).await,
        "work" => work(&call, PgStore::connect(options).await?).await,
        other => Err(format!("{other}: expected setup, enqueue or work").into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}
