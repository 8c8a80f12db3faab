//! The two sessions of a worker, on a thread and a runtime of their own: a job that blocks every
//! thread of the application's runtime must cost the worker neither its locks nor its heartbeat.

mod lock;
mod notify;
mod openings;
mod peers;
mod search;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use goodjob_core::{
    Claims, Health, LockState, ProcessId, ProcessRecord, Signal, StoreError, Timestamp, Token,
    Trouble, TroubleKind, Troubles, Wanted,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::claim::Catch;
use crate::dialect::Dialect;
use crate::error::is_fatal;
use crate::options::PgOptions;
use crate::settle::release;
use crate::sql;
use crate::stand::Stand;
use lock::LockSession;
use notify::NotifySession;

/// How long a statement on one of the sessions may take before the session is given up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(6);
/// How long a session of the same name may take to end.
const PREDECESSOR: Duration = Duration::from_secs(3);
/// Waits between tries to connect, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the lock session is asked for.
pub(crate) enum LockCommand {
    Claim {
        wanted: Wanted,
        max: usize,
        /// These alone, if it is about certain jobs.
        jobs: Option<Vec<Uuid>>,
        reply: Reply<Catch>,
    },
    /// The ends of these attempts are committed, or they were given back.
    Unlock { tokens: Vec<Token>, given_back: bool },
}

/// What the notify session is asked for.
pub(crate) enum NotifyCommand {
    /// Answered with the server's time, and when that was.
    Beat {
        process: Box<ProcessRecord>,
        reply: Reply<(Timestamp, Instant)>,
    },
    Leave {
        reply: Reply<()>,
    },
}

/// What both sessions share.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) options: PgOptions,
    pub(crate) dialect: Dialect,
    pub(crate) pool: sqlx::PgPool,
    pub(crate) settling: Stand,
    pub(crate) process: ProcessId,
    pub(crate) locks: watch::Sender<LockState>,
    pub(crate) signals: broadcast::Sender<Signal>,
    /// Whether the notify session lives.
    pub(crate) hearing: watch::Sender<bool>,
    /// Whether there is an index to read lanes by.
    pub(crate) has_lanes: Arc<AtomicBool>,
    pub(crate) troubles: Troubles,
    /// To the lock session. Weak, so that the session ends with its store.
    pub(crate) lock: Option<mpsc::WeakSender<LockCommand>>,
}

impl Common {
    pub(crate) fn trouble(&self, kind: TroubleKind, what: impl Into<String>, error: &dyn Error) {
        self.troubles.report(Trouble::new(kind, what).because(error));
    }

    /// Lets an error of the upkeep pass unless the session itself is gone. A statement that was given up
    /// half-way has left the session in the middle of its answer: that is the end of it, too.
    fn survived(&self, what: &str, done: sqlx::Result<()>) -> sqlx::Result<()> {
        match done {
            Err(error) if !is_fatal(&error) => {
                self.trouble(TroubleKind::StoreUnavailable, format!("{what} failed"), &error);
                Ok(())
            }
            done => done,
        }
    }

    /// Gives jobs back that were claimed in vain.
    async fn give_back(self, tokens: Vec<Token>) {
        if let Err(error) = release(&self.settling, &self.dialect, self.process, &tokens).await {
            let what = "claimed jobs that nobody waits for are left to the sweep";
            self.trouble(TroubleKind::StoreUnavailable, what, &error);
        }
        // If the lock session is gone, so is every lock.
        let Some(lock) = self.lock.as_ref().and_then(mpsc::WeakSender::upgrade) else { return };
        let _ = lock.send(LockCommand::Unlock { tokens, given_back: true }).await;
    }
}

/// Tells everybody when the thread of the sessions ends in a panic: then no lock is held any more.
struct Obituary(Common);

impl Drop for Obituary {
    fn drop(&mut self) {
        self.0.hearing.send_replace(false);
        if std::thread::panicking() {
            let what = "the sessions ended in a panic; the next heartbeat opens new ones";
            self.0.troubles.report(Trouble::new(TroubleKind::TaskPanicked, what));
            self.0.locks.send_modify(|state| state.health = Health::Lost);
        }
    }
}

/// The sessions of a registered process. They end when this is dropped.
pub(crate) struct Sessions {
    pub(crate) common: Common,
    lock: mpsc::Sender<LockCommand>,
    notify: mpsc::Sender<NotifyCommand>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Sessions {
    pub(crate) fn open(mut common: Common) -> Result<Self, StoreError> {
        let (lock, lock_inbox) = mpsc::channel(256);
        common.lock = Some(lock.downgrade());
        let (notify, notify_inbox) = mpsc::channel(64);
        let shared = common.clone();
        let failed = |error: std::io::Error| {
            StoreError::Unfit(format!("the thread of the lock session cannot be started: {error}"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        // What the lock session holds, for the notify session to stamp again.
        let (held, stamped) = watch::channel(Arc::new(Vec::<Token>::new()));
        let body = move || {
            let _obituary = Obituary(common.clone());
            runtime.block_on(async move {
                let lock = LockSession::new(common.clone(), held).run(lock_inbox);
                let notify = NotifySession::new(common, stamped).run(notify_inbox);
                tokio::join!(lock, notify);
            });
        };
        let thread = thread::Builder::new().name("goodjob-locks".to_owned()).spawn(body);
        Ok(Self { common: shared, lock, notify, thread: Some(thread.map_err(failed)?) })
    }

    pub(crate) async fn claim(
        &self,
        wanted: &Wanted,
        max: usize,
        jobs: Option<Vec<Uuid>>,
    ) -> Result<Claims, StoreError> {
        let (reply, answer) = oneshot::channel();
        let command = LockCommand::Claim { wanted: wanted.clone(), max, jobs, reply };
        self.lock.send(command).await.map_err(|_| ended())?;
        let found = answer.await.map_err(|_| ended())??;
        let tokens: Vec<Token> = found.tokens().collect();
        let read = found.read(wanted, self.common.process, self.common.options.order);
        if read.is_err() {
            self.common.clone().give_back(tokens).await;
        }
        read
    }

    /// Has the locks released before any claim that is asked for from now on. Does not wait for it: a
    /// search may be under way on that session, and more outcomes are to be written meanwhile.
    pub(crate) async fn unlock(&self, tokens: Vec<Token>, given_back: bool) {
        // An error means that the session has ended, and every lock with it.
        let _ = self.lock.send(LockCommand::Unlock { tokens, given_back }).await;
    }

    /// Whether the thread has ended, as it does in a panic.
    pub(crate) fn have_ended(&self) -> bool {
        self.lock.is_closed()
    }

    pub(crate) async fn beat(&self, process: &ProcessRecord) -> Result<Timestamp, StoreError> {
        let (reply, answer) = oneshot::channel();
        let command = NotifyCommand::Beat { process: Box::new(process.clone()), reply };
        self.notify.send(command).await.map_err(|_| ended())?;
        let (then, at) = answer.await.map_err(|_| ended())??;
        // Timers are set by this: each millisecond that the answer took would delay every job.
        let micros = u64::try_from(at.elapsed().as_micros()).unwrap_or(0);
        Ok(then + Duration::from_micros(micros))
    }

    /// Unregisters the process and ends both sessions.
    pub(crate) async fn leave(mut self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let left = match self.notify.send(NotifyCommand::Leave { reply }).await {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(ended())),
            Err(_) => Err(ended()),
        };
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            // Joining blocks for as long as the sessions take to say goodbye.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        left
    }
}

fn ended() -> StoreError {
    StoreError::unavailable("the sessions of this process have ended")
}

/// Connects a session under its own name and sets it up. Returns it with the secret by which it is
/// recognised: behind a pooler that swaps sessions, that is gone in the next transaction.
async fn connect(connect: PgConnectOptions, name: &str) -> sqlx::Result<(PgConnection, String)> {
    let connect = connect.application_name(name);
    let opening = async {
        let mut connection = PgConnection::connect_with(&connect).await?;
        let secret = set_up(&mut connection).await?;
        Ok((connection, secret))
    };
    within(DEADLINE, opening).await
}

/// Sets a session up and checks that it is one: writable, and the same in the next transaction.
async fn set_up(connection: &mut PgConnection) -> sqlx::Result<String> {
    let secret = uuid::Uuid::new_v4().to_string();
    sqlx::query(sql::SESSION).bind(&secret).execute(&mut *connection).await?;
    let (same, read_only): (bool, bool) =
        sqlx::query_as(sql::SESSION_CHECK).bind(&secret).fetch_one(connection).await?;
    if !same {
        return Err(sqlx::Error::Protocol(
            "the session changed between two transactions: a transaction pooler cannot hold locks, \
             connect to Postgres itself"
                .to_owned(),
        ));
    }
    if read_only {
        return Err(sqlx::Error::Protocol("the server is read-only, perhaps a standby".to_owned()));
    }
    Ok(secret)
}

/// Ends a former session of this one's name and waits, a while, until it is gone with its locks.
async fn end_predecessor<E>(session: &mut E) -> sqlx::Result<()>
where
    for<'e> &'e mut E: sqlx::PgExecutor<'e>,
{
    let deadline = Instant::now() + PREDECESSOR;
    loop {
        let query = sqlx::query_scalar(sql::END_PREDECESSOR).fetch_one(&mut *session);
        let remaining: i64 = within(DEADLINE, query).await?;
        if remaining == 0 || Instant::now() > deadline {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Half to the whole of `pause`, which is doubled for the next time.
fn jittered(pause: &mut Duration) -> Duration {
    let now = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
    *pause = (*pause * 2).min(LONGEST_PAUSE);
    now
}
