//! A job that tells when it runs, and the other end of the server's sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use goodjob_core::{Context, Job, JobId, JobResult, Perform, ProcessId, Registry};
use goodjob_testkit::{Database, Runs, eventually};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lasts for a while, and says so.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Nap {
    pub(crate) millis: u64,
}

impl Job for Nap {
    const CLASS: &'static str = "NapJob";
}

impl Perform<Stage> for Nap {
    async fn perform(self, cx: Context<Stage>) -> JobResult {
        let stage = cx.state().clone();
        // Nobody has to listen.
        let _ = stage.started.send((cx.job_id(), Instant::now()));
        let nap = async {
            tokio::select! {
                () = tokio::time::sleep(millis(self.millis)) => {}
                () = cx.cancelled() => { stage.cancelled.fetch_add(1, Ordering::Relaxed); }
            }
        };
        Ok(stage.runs.log_as(&cx, nap).await?)
    }
}

type Starts = (JobId, Instant);

/// What naps tell. Its connections are its own, so that no fault that is aimed at goodjob hits them.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) runs: Runs,
    /// A plain pool beside goodjob.
    pub(crate) pool: PgPool,
    started: mpsc::UnboundedSender<Starts>,
    starts: Arc<Mutex<mpsc::UnboundedReceiver<Starts>>>,
    cancelled: Arc<AtomicU32>,
}

impl Stage {
    pub(crate) async fn on(database: &Database) -> Self {
        let (started, starts) = mpsc::unbounded_channel();
        Self {
            runs: Runs::at(&database.url()).await,
            pool: database.pool().await,
            started,
            starts: Arc::new(Mutex::new(starts)),
            cancelled: Arc::default(),
        }
    }

    pub(crate) fn naps(&self) -> Registry<Self> {
        Registry::new(self.clone()).register::<Nap>()
    }

    /// How many naps were told to end.
    pub(crate) fn cancelled(&self) -> u32 {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The next start, of whatever nap.
    pub(crate) async fn start(&self) -> Starts {
        let mut starts = self.starts.lock().await;
        tokio::time::timeout(secs(30), starts.recv()).await.expect("a job starts").unwrap()
    }

    pub(crate) async fn starts(&self, count: usize) -> Vec<Starts> {
        let mut starts = Vec::new();
        while starts.len() < count {
            starts.push(self.start().await);
        }
        starts
    }

    /// Whether a nap has started that nobody has asked for yet.
    pub(crate) async fn has_start(&self) -> bool {
        !self.starts.lock().await.is_empty()
    }

    pub(crate) async fn close(&self) {
        self.runs.close().await;
        self.pool.close().await;
    }

    /// Ends sessions by the name of their application; returns how many there were.
    pub(crate) async fn terminate(&self, session: &str) -> i64 {
        self.count(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = $1 AND datname = current_database()",
            session,
        )
        .await
    }

    /// The advisory locks of the sessions with this name.
    pub(crate) async fn locks(&self, session: &str) -> i64 {
        self.count(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND a.application_name = $1 AND a.datname = current_database()",
            session,
        )
        .await
    }

    /// Waits until the sessions with this name hold this many advisory locks; returns how long it took.
    pub(crate) async fn until_locks(&self, session: &str, expected: i64) -> Duration {
        let begun = Instant::now();
        eventually(&format!("{expected} locks of {session}"), secs(15), async || {
            match self.locks(session).await {
                count if count == expected => Ok(()),
                count => Err(format!("{count}")),
            }
        })
        .await;
        begun.elapsed()
    }

    /// The pid of the one session with this name.
    pub(crate) async fn pid(&self, session: &str) -> Option<i32> {
        sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()",
        )
        .bind(session)
        .fetch_optional(&self.pool)
        .await
        .unwrap()
    }

    async fn count(&self, question: &'static str, session: &str) -> i64 {
        sqlx::query_scalar(question).bind(session).fetch_one(&self.pool).await.unwrap()
    }
}

pub(crate) fn lock_session(process: ProcessId) -> String {
    format!("goodjob lock {process}")
}

pub(crate) fn notify_session(process: ProcessId) -> String {
    format!("goodjob notify {process}")
}

/// Lets no new session into the database while it lasts; those that are there stay.
pub(crate) struct Gate {
    pool: PgPool,
    database: String,
}

impl Gate {
    pub(crate) async fn of(database: &Database) -> Self {
        let options: PgConnectOptions = database.url().parse().unwrap();
        let database = options.get_database().unwrap().to_owned();
        let pool = PgPoolOptions::new().connect_with(options.database("postgres")).await.unwrap();
        Self { pool, database }
    }

    /// These pools keep all the connections that they may have, so that they need no new one.
    pub(crate) async fn close(&self, pools: [&PgPool; 3]) {
        for pool in pools {
            let mut connections = Vec::new();
            for _ in 0..pool.options().get_max_connections() {
                connections.push(pool.acquire().await.unwrap());
            }
        }
        self.allow(false).await;
    }

    pub(crate) async fn open(&self) {
        self.allow(true).await;
    }

    async fn allow(&self, allow: bool) {
        let statement = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", self.database);
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&self.pool).await.unwrap();
    }
}

/// The smallest of `times` that `share` of them do not exceed.
pub(crate) fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    let rank = (times.len() as f64 * share).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}
