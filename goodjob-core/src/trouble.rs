//! What goes wrong inside the engine and is outlived: logged, and told to the application's hook.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::ids::JobId;

/// Troubles that may wait for the hook. A slow one misses what comes beyond, and is told how much.
const MAX_WAITING: usize = 1_000;

/// What kind of trouble it is, for code that counts or filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TroubleKind {
    /// The store did not do what the engine asked; the engine asks again.
    StoreUnavailable,
    /// Outcomes wait in memory until the store takes them.
    OutcomesHeld,
    /// The store refuses an outcome as it is; a plainer one is written in its place.
    OutcomeRefused,
    /// Another attempt has taken over: this one's outcome was not written.
    OutcomeFenced,
    /// Outcomes were given up. Others will find these attempts interrupted.
    OutcomesLost,
    /// A heartbeat was missed, or the process could not sign off.
    HeartbeatMissed,
    /// This host's clock differs from the store's, whose time counts.
    ClockOff,
    /// The session that hears notices is gone or cannot be opened.
    ListenerLost,
    /// Notices were not sent; workers find these jobs by polling.
    NoticesLost,
    /// The session that holds the locks is gone or cannot be opened.
    LockSessionLost,
    /// Attempts lost their lock, and are told to stop.
    LocksLost,
    /// Old jobs could not be deleted.
    CleanUpFailed,
    /// A task of the engine ended in a panic.
    TaskPanicked,
    /// A hook of the application panicked where nobody could be told by an error.
    HookPanicked,
    /// A job was told to stop and blocks its thread.
    JobStuck,
    /// A job was claimed whose class this process does not know.
    ClassUnknown,
    /// Jobs were not waited for at a shutdown, and are put back.
    JobsCutOff,
    /// Workers on the same tables get in each other's way.
    FleetConflict,
    /// A tick of cron was not stored, and will not be.
    TickLost,
    /// Batches cannot go on yet: it is tried again, or a sweep finds them.
    BatchesHeld,
    /// What a limit allows could not be counted or given away: jobs wait a little longer.
    LimitsUncounted,
}

impl TroubleKind {
    /// Whether something may be lost; else the engine will manage by itself.
    #[must_use]
    pub fn is_grave(self) -> bool {
        matches!(
            self,
            Self::OutcomeRefused
                | Self::OutcomesLost
                | Self::LocksLost
                | Self::TaskPanicked
                | Self::HookPanicked
                | Self::ClassUnknown
                | Self::TickLost
        )
    }
}

/// Something that went wrong inside the engine. Its `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// What happened, in words.
    pub message: String,
    /// The error behind it, with its causes.
    pub error: Option<String>,
    /// The job that it is about, if it is about one.
    pub job: Option<JobId>,
    /// How many troubles before this one the hook was too slow for.
    pub missed: u64,
}

impl Trouble {
    /// A trouble in words, as the log has them.
    #[must_use]
    pub fn new(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), error: None, job: None, missed: 0 }
    }

    /// Adds the error behind it.
    #[must_use]
    pub fn because(mut self, error: impl fmt::Display) -> Self {
        self.error = Some(error.to_string());
        self
    }

    /// Adds the job that it is about.
    #[must_use]
    pub fn of_job(mut self, job: JobId) -> Self {
        self.job = Some(job);
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.job.iter().try_for_each(|job| write!(f, ": job {job}"))?;
        self.error.iter().try_for_each(|error| write!(f, ": {error}"))
    }
}

/// What the application does about a [`Trouble`].
pub type OnError = Arc<dyn Fn(&Trouble) + Send + Sync>;

/// Where troubles are reported. Cheap to clone; clones share the hook.
///
/// Every trouble is logged. The hook of the application is called besides, on a thread of its own: one
/// call at a time, never from inside another, and never in the way of the engine. A panic of it is
/// logged. When it is so slow that 1,000 troubles wait, further ones are only counted
/// ([`Trouble::missed`]).
#[derive(Clone, Default)]
pub struct Troubles(Arc<Shared>);

#[derive(Default)]
struct Shared {
    teller: Mutex<Option<Teller>>,
    missed: AtomicU64,
}

/// A thread that calls the hook.
struct Teller {
    hook: OnError,
    to: SyncSender<Trouble>,
    /// The process that the thread belongs to. It does not come along with a fork.
    pid: u32,
}

impl Teller {
    fn start(hook: OnError) -> Option<Self> {
        let (to, troubles) = sync_channel(MAX_WAITING);
        let (thread, told) =
            (thread::Builder::new().name("goodjob on_error".to_owned()), Arc::clone(&hook));
        match thread.spawn(move || tell_all(&troubles, &told)) {
            Ok(_) => Some(Self { hook, to, pid: std::process::id() }),
            Err(error) => {
                tracing::error!(%error, "the hook for errors has no thread to run on");
                None
            }
        }
    }
}

impl Troubles {
    /// Tells `hook` from now on, and no other that was told before; also in processes that are forked off.
    pub fn tell(&self, hook: OnError) {
        *self.teller() = Teller::start(hook);
    }

    fn teller(&self) -> MutexGuard<'_, Option<Teller>> {
        self.0.teller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the thread of this process takes troubles.
    fn to(&self) -> Option<SyncSender<Trouble>> {
        let mut teller = self.teller();
        let known = teller.as_ref()?;
        if known.pid != std::process::id() {
            let anew = Teller::start(Arc::clone(&known.hook));
            // Its thread is the parent's, who alone may be told that it is gone.
            std::mem::forget(std::mem::replace(&mut *teller, anew));
        }
        teller.as_ref().map(|teller| teller.to.clone())
    }

    /// One of the engine's own tasks ended in a panic.
    pub(crate) fn panicked(&self, task: &str, error: impl fmt::Display) {
        let what = format!("{task} ended in a panic");
        self.report(Trouble::new(TroubleKind::TaskPanicked, what).because(error));
    }

    /// Logs it, and tells the hook. Never waits.
    pub fn report(&self, mut trouble: Trouble) {
        let Trouble { kind, message, error, job, .. } = &trouble;
        let (error, job) = (error.as_deref(), job.as_ref().map(tracing::field::display));
        match kind.is_grave() {
            true => tracing::error!(error, job, ?kind, "{message}"),
            false => tracing::warn!(error, job, ?kind, "{message}"),
        }
        let Some(to) = self.to() else { return };
        trouble.missed = self.0.missed.swap(0, Ordering::Relaxed);
        // Without its thread, which ends with the process alone, nobody is left to be told.
        if let Err(TrySendError::Full(untold)) = to.try_send(trouble) {
            self.0.missed.fetch_add(untold.missed + 1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Troubles").finish_non_exhaustive()
    }
}

/// Runs until the last sender is gone.
fn tell_all(troubles: &Receiver<Trouble>, hook: &OnError) {
    while let Ok(trouble) = troubles.recv() {
        // The hook's own state is its own affair after a panic.
        if panic::catch_unwind(AssertUnwindSafe(|| hook(&trouble))).is_err() {
            tracing::error!(kind = ?trouble.kind, "the hook for errors panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn trouble(message: &str) -> Trouble {
        Trouble::new(TroubleKind::StoreUnavailable, message)
    }

    #[test]
    fn a_hook_that_panics_is_called_again() {
        let (troubles, (told, heard)) = (Troubles::default(), channel());
        troubles.tell(Arc::new(move |trouble| {
            told.send(trouble.message.clone()).unwrap();
            assert_ne!(trouble.message, "first", "it is rigged");
        }));
        for message in ["first", "second"] {
            troubles.report(trouble(message).because("x"));
            assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), message);
        }
    }

    /// In a process that was forked off the thread is missing; only its pid is not that of the teller.
    #[test]
    fn after_a_fork_a_hook_is_told_by_a_thread_of_the_new_process() {
        let (troubles, (told, heard)) = (Troubles::default(), channel());
        troubles.tell(Arc::new(move |_| told.send(thread::current().id()).unwrap()));
        troubles.report(trouble("parent's"));
        let parents = heard.recv_timeout(PATIENCE).unwrap();
        troubles.teller().as_mut().unwrap().pid += 1;
        troubles.report(trouble("child's"));
        assert_ne!(heard.recv_timeout(PATIENCE).unwrap(), parents);
    }

    #[test]
    fn a_hook_that_causes_trouble_itself_is_not_called_from_inside() {
        let (troubles, (told, heard)) = (Troubles::default(), channel());
        let again = troubles.clone();
        let inside = AtomicU64::new(0);
        troubles.tell(Arc::new(move |trouble| {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "one call at a time");
            if trouble.message == "first" {
                again.report(Trouble::new(TroubleKind::HookPanicked, "second"));
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            told.send(trouble.message.clone()).unwrap();
        }));
        troubles.report(trouble("first"));
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "first");
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "second");
    }

    #[test]
    fn a_hook_that_is_too_slow_holds_nobody_up_and_is_told_what_it_missed() {
        let (troubles, (told, heard), (go, going)) = (Troubles::default(), channel(), channel());
        let going = Mutex::new(going);
        troubles.tell(Arc::new(move |trouble| {
            going.lock().unwrap().recv().unwrap();
            told.send(trouble.missed).unwrap();
        }));
        let all = MAX_WAITING + 500;
        (0..all).for_each(|_| troubles.report(trouble("x")));
        let go_on = |times: usize| (0..times).for_each(|_| go.send(()).unwrap());
        // One may be in the hook's hands already.
        go_on(MAX_WAITING);
        let first: u64 = (0..MAX_WAITING).map(|_| heard.recv_timeout(PATIENCE).unwrap()).sum();
        assert_eq!(first, 0);
        troubles.report(trouble("last"));
        go_on(2);
        let mut missed = 0;
        while missed < 499 {
            missed += heard.recv_timeout(PATIENCE).unwrap();
        }
        assert!(missed <= 500, "{missed}");
        drop(go);
    }

    #[test]
    fn a_trouble_is_one_line() {
        let job = JobId::generate();
        let text = trouble("cannot").of_job(job).because("no route").to_string();
        assert_eq!(text, format!("cannot: job {job}: no route"));
    }
}
