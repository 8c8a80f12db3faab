//! A process of the gem: threads that run jobs, a listener, a poller, a heart.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use goodjob_core::{CHANNEL, ProcessId};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::job::{GemJob, Performed};
use super::notice::GemNotice;
use super::now;
use super::options::GemOptions;
use super::session::GemSession;

/// How old a process row becomes before it is refreshed (wire contract 7.1).
const STALE: Duration = Duration::from_secs(30);
/// How long a listener waits that could not connect (wire contract 14.6).
const RECONNECT: Duration = Duration::from_secs(5);
/// What is due so soon is due.
const DUE: Duration = Duration::from_millis(10);

type Body = dyn Fn(GemJob) -> Pin<Box<dyn Future<Output = Performed> + Send>> + Send + Sync;

/// A stand-in for a process of the gem. What it does and leaves out is told in the documentation of the
/// [module](crate::gem).
///
/// What jobs do is the test's. End it with [`stop`](Self::stop); dropping it is [`kill`](Self::kill).
///
/// ```
/// use goodjob_testkit::gem::{GemOptions, GemStrategy, GemWorker, Performed};
/// use goodjob_testkit::{Database, Schema};
///
/// # #[tokio::main] async fn main() {
/// let database = Database::with_schema(Schema::GEM).await;
/// let options = GemOptions::locking_by(GemStrategy::SkipLocked);
/// let ruby = GemWorker::start(&database.url(), options, async |job| {
///     match job.job_class.as_deref() {
///         Some("GreetJob") => Performed::Done,
///         _ => Performed::Abandon,
///     }
/// })
/// .await;
/// ruby.stop().await;
/// # }
/// ```
#[derive(Debug)]
pub struct GemWorker {
    process: ProcessId,
    url: String,
    options: GemOptions,
    stopping: CancellationToken,
    threads: JoinSet<()>,
    /// Listener, poller and heart.
    helpers: JoinSet<()>,
    errors: Errors,
}

/// What raised, for a test to look at.
#[derive(Clone, Debug, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl Errors {
    fn add(&self, who: &str, error: &impl ToString) {
        let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        errors.push(format!("{who}: {}", error.to_string()));
    }
}

impl GemWorker {
    /// Registers a process and starts its threads.
    ///
    /// # Panics
    /// When it cannot connect, or there are no tables.
    pub async fn start<F>(
        url: &str,
        options: GemOptions,
        perform: impl Fn(GemJob) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Performed> + Send + 'static,
    {
        let perform: Arc<Body> = Arc::new(move |job| Box::pin(perform(job)));
        let process = ProcessId::from(uuid::Uuid::new_v4());
        let (stopping, errors) = (CancellationToken::new(), Errors::default());
        let open = async || {
            let session = GemSession::open(url, process, options.clone()).await;
            session.unwrap_or_else(|error| panic!("a process of the gem: {error}"))
        };
        let wakes = Wakes { permits: Arc::new(Semaphore::new(0)), threads: options.threads };

        let mut heart = open().await;
        heart.register().await.unwrap_or_else(|error| panic!("a process of the gem: {error}"));
        let listener = listener(url, process).await;
        let listener = listener.unwrap_or_else(|error| panic!("a listener of the gem: {error}"));
        let mut helpers = JoinSet::new();
        helpers.spawn(beat(heart, errors.clone()));
        helpers.spawn(listen(
            listener,
            url.to_owned(),
            process,
            options.clone(),
            wakes.clone(),
            errors.clone(),
        ));
        if let Some(poll) = options.poll_interval {
            helpers.spawn(self::poll(poll, wakes.clone()));
        }
        let mut threads = JoinSet::new();
        for _ in 0..options.threads {
            let thread = Thread {
                session: open().await,
                perform: Arc::clone(&perform),
                wakes: wakes.clone(),
                stopping: stopping.clone(),
                errors: errors.clone(),
            };
            threads.spawn(thread.run());
        }
        Self { process, url: url.to_owned(), options, stopping, threads, helpers, errors }
    }

    /// Its id: in `good_jobs.locked_by_id` of its jobs, and in the [name of its
    /// connections](GemSession::application_name).
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// What raised in its threads and its listener so far.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.errors.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends in order: running jobs are waited for, then the process unregisters.
    ///
    /// # Panics
    /// When it cannot unregister.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        while self.threads.join_next().await.is_some() {}
        self.helpers.shutdown().await;
        let left = async {
            let mut session =
                GemSession::open(&self.url, self.process, self.options.clone()).await?;
            session.unregister().await?;
            session.close().await
        };
        left.await.unwrap_or_else(|error| panic!("a process of the gem that ends: {error}"));
    }

    /// Ends as SIGKILL ends it: its connections are gone, its row and what it owned stay.
    pub async fn kill(mut self) {
        self.threads.shutdown().await;
        self.helpers.shutdown().await;
    }
}

/// Claims that are still to be tried by threads that have nothing to do.
#[derive(Clone)]
struct Wakes {
    permits: Arc<Semaphore>,
    threads: usize,
}

impl Wakes {
    /// No more than there are threads: a busy one claims again after its job anyway.
    fn add(&self, count: u64) {
        let room = self.threads.saturating_sub(self.permits.available_permits());
        self.permits.add_permits(room.min(usize::try_from(count).unwrap_or(room)));
    }
}

struct Thread {
    session: GemSession,
    perform: Arc<Body>,
    wakes: Wakes,
    stopping: CancellationToken,
    errors: Errors,
}

impl Thread {
    async fn run(mut self) {
        while !self.stopping.is_cancelled() {
            match self.turn().await {
                Ok(true) => continue,
                Ok(false) => {}
                // The loop ends, and the next wake-up begins another one (wire contract 14.3).
                Err(error) => self.errors.add("thread", &error),
            }
            tokio::select! {
                () = self.stopping.cancelled() => {}
                permit = self.wakes.permits.acquire() => permit.into_iter().for_each(|p| p.forget()),
            }
        }
        if let Err(error) = self.session.close().await {
            self.errors.add("thread", &error);
        }
    }

    /// Runs the next job; whether there was one.
    async fn turn(&mut self) -> sqlx::Result<bool> {
        let Some(job) = self.session.claim().await? else { return Ok(false) };
        sleep(self.session.options.pause_before_start).await;
        self.session.run(job, |job| (self.perform)(job)).await?;
        Ok(true)
    }
}

async fn beat(mut session: GemSession, errors: Errors) {
    let mut stale = interval(STALE);
    stale.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and the row is fresh.
    stale.tick().await;
    loop {
        stale.tick().await;
        if let Err(error) = session.refresh().await {
            errors.add("heart", &error);
        }
    }
}

async fn poll(every: Duration, wakes: Wakes) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        wakes.add(u64::MAX);
    }
}

async fn listener(url: &str, process: ProcessId) -> sqlx::Result<PgListener> {
    let connect: PgConnectOptions = url.parse()?;
    let connect = connect.application_name(&GemSession::application_name(process));
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(connect);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Wakes threads by messages. One that cannot be read costs the connection, and what is sent until there
/// is another (H14).
async fn listen(
    mut listener: PgListener,
    url: String,
    process: ProcessId,
    options: GemOptions,
    wakes: Wakes,
    errors: Errors,
) {
    let mut timers = JoinSet::new();
    loop {
        let heard = match listener.recv().await {
            Ok(message) => GemNotice::parse(message.payload()),
            Err(error) => Err(error.to_string()),
        };
        match heard {
            Ok(notice)
                if options.queues.matches(notice.queue_name.as_deref())
                    || notice.queue_name.is_none() =>
            {
                let wait = notice.scheduled_at.and_then(|at| (at - now()).to_std().ok());
                match wait.filter(|wait| *wait > DUE) {
                    None => wakes.add(notice.count),
                    Some(wait) => {
                        let wakes = wakes.clone();
                        timers.spawn(async move {
                            sleep(wait).await;
                            wakes.add(notice.count);
                        });
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                errors.add("listener", &error);
                listener = loop {
                    match self::listener(&url, process).await {
                        Ok(listener) => break listener,
                        Err(_) => sleep(RECONNECT).await,
                    }
                };
            }
        }
        while timers.try_join_next().is_some() {}
    }
}
