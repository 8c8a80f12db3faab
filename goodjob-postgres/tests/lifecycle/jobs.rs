//! The jobs of the page in Rust, and a worker that runs them.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{
    Backoff, BareContext, Context, Handler, Handlers, JobError, JobResult, Policy, Retry,
};
use tokio::sync::{Semaphore, mpsc};

/// The wait of `FailJob`'s rule.
pub(crate) const WAIT: Duration = Duration::from_millis(200);

/// What `FailJob` raises.
#[derive(Debug, thiserror::Error)]
#[error("attempt {0}")]
pub(crate) struct Boom(pub(crate) u32);

/// What `DiscardJob` raises.
#[derive(Debug, thiserror::Error)]
#[error("not wanted")]
struct Unwanted;

/// Adds a handler whose body sees the stored arguments and the context.
pub(crate) fn add<F: Future<Output = JobResult> + Send + 'static>(
    handlers: &mut Handlers,
    class: &str,
    policy: Policy,
    body: impl Fn(Vec<serde_json::Value>, Context) -> F + Send + Sync + 'static,
) {
    let run = move |arguments: Option<goodjob_core::Arguments>, cx: BareContext| {
        let stored = arguments.map(|arguments| arguments.as_stored().to_vec());
        Box::pin(body(stored.unwrap_or_default(), cx.with_state(()))) as goodjob_core::Running
    };
    handlers.add(class, Handler { policy, run: Arc::new(run) });
}

/// Every class of the page.
pub(crate) fn all() -> Handlers {
    let mut handlers = Handlers::default();
    for class in [
        "BatchCallbackJob",
        "BatchJob",
        "ConcurrencyJob",
        "LabelJob",
        "NoopJob",
        "RecordJob",
        "SleepJob",
    ] {
        add(&mut handlers, class, Policy::new(), |_, _| ready(Ok(())));
    }
    let discards = Policy::new().discard_on::<Unwanted>();
    add(&mut handlers, "DiscardJob", discards, |_, _| {
        ready(Err(JobError::from(Unwanted).with_class("DiscardJob::Unwanted")))
    });
    add(&mut handlers, "FailJob", retries(WAIT), |arguments, cx| {
        let succeeds_at = arguments.first().and_then(serde_json::Value::as_u64);
        let attempt = cx.attempt();
        ready(if succeeds_at == Some(u64::from(attempt)) {
            Ok(())
        } else {
            Err(Boom(attempt).into())
        })
    });
    add(&mut handlers, "UnhandledJob", Policy::new(), |_, _| ready(Err(unhandled())));
    handlers
}

/// The policy of `FailJob`.
pub(crate) fn retries(wait: Duration) -> Policy {
    Policy::new().retry_on::<Boom>(Retry::attempts(3).wait(Backoff::Constant(wait)).jitter(0.0))
}

/// One class.
pub(crate) fn only<F: Future<Output = JobResult> + Send + 'static>(
    class: &str,
    policy: Policy,
    body: impl Fn(Context) -> F + Send + Sync + 'static,
) -> Handlers {
    let mut handlers = Handlers::default();
    add(&mut handlers, class, policy, move |_, cx| body(cx));
    handlers
}

/// What `UnhandledJob` raises.
pub(crate) fn unhandled() -> JobError {
    JobError::from("nobody rescues this").with_class("ArgumentError")
}

/// Lets a test look at the rows while a job runs.
#[derive(Clone)]
pub(crate) struct Gate {
    arrivals: mpsc::UnboundedSender<()>,
    passes: Arc<Semaphore>,
}

impl Gate {
    /// A gate, and who arrives at it.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (arrivals, heard) = mpsc::unbounded_channel();
        (Self { arrivals, passes: Arc::new(Semaphore::new(0)) }, heard)
    }

    /// Waits, inside a job, until it may go on.
    pub(crate) async fn pass(&self) {
        self.arrivals.send(()).unwrap();
        self.passes.acquire().await.unwrap().forget();
    }

    /// Lets the next job through.
    pub(crate) fn open(&self) {
        self.passes.add_permits(1);
    }
}
