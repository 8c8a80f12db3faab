//! goodjob without a database: how jobs are enqueued, found, performed and settled.
//!
//! *Find the next due job, lock it so that nobody else can, perform it, write down how it ended, and
//! as long as that found something, do it again; otherwise sleep until a notice, a timer or a poll.*
//!
//! The path from [`Adapter::enqueue`] to a job's body and back:
//!
//! | file | what happens |
//! |---|---|
//! | `adapter.rs` | a [`Job`] and its options become a [`NewJob`] |
//! | `store.rs` | a [`Store`] keeps it and tells workers |
//! | `notifier.rs` | a [`Notifier`] hears the [`Notice`] |
//! | `capsule.rs` | the [`Capsule`] passes it to the pools that want it |
//! | `capsule/scheduler.rs` | a pool with a free slot searches |
//! | `store/claim.rs` | the store locks and starts: a [`Claim`] |
//! | `capsule/performer.rs` | the body runs in a task of its own: your [`Perform`] |
//! | `store/settle.rs` | one pure function, [`settle`], decides what that did to the job |
//! | `capsule/settler.rs` | the decision is written, in groups, and the lock released |
//!
//! Beside it stand `queue.rs` (which queues a pool takes), `capsule/timetable.rs` (future jobs),
//! `capsule/heart.rs` (the heartbeat), `capsule/janitor.rs` (old jobs are deleted), `cron.rs` (jobs at times),
//! `batch.rs` with `capsule/continuer.rs` (batches), `bulk.rs` (many jobs at once), `limits.rs` (how many jobs
//! may wait and run), `pauses.rs` (what waits for a person) and `store/memory.rs` (a store to test with and to read). `mode.rs` and `setup.rs` say
//! whether this process does jobs at all, and `capsule/inline.rs` does them while their caller waits.
//! This crate knows no SQL and no HTTP; a backend implements [`Store`] and [`Notifier`].

mod adapter;
mod backend;
mod batch;
mod bulk;
mod capsule;
mod clock;
mod config;
mod cron;
mod host;
mod ids;
mod job;
mod limits;
mod mode;
mod notes;
mod notifier;
mod pauses;
mod queue;
mod setup;
mod store;
mod trouble;

pub use adapter::{Adapter, Enqueue};
pub use backend::Backend;
pub use batch::{
    Batch, BatchCallback, BatchEnd, BatchEvent, BatchLook, BatchProgress, BatchQuery, BatchRecord,
    BatchSpec, BatchState, BatchStore, BatchSummary, Callbacks, DEFAULT_GLOBALID_APP,
    EnqueuedBatch, NewBatch, RetriedBatch, Sight, StoredBatch, progress,
};
pub use bulk::Bulk;
pub use capsule::{Capsule, Drained, Inline, InlineError, JobFailed, PoolState, Vitals};
pub use clock::{Clock, Timestamp};
pub use config::{
    Cleanup, Config, DEFAULT_BATCH_SWEEP, DEFAULT_CANCEL_GRACE, DEFAULT_CLEANUP_INTERVAL,
    DEFAULT_CLEANUP_INTERVAL_JOBS, DEFAULT_HEARTBEAT, DEFAULT_MAX_CACHE, DEFAULT_MAX_INTERRUPTIONS,
    DEFAULT_MAX_THREADS, DEFAULT_POLL_INTERVAL, Shutdown,
};
pub use cron::{
    Cron, CronEntry, CronError, CronStore, CronSwitches, Schedule, ScheduleError, Zone, ZoneError,
};
pub use host::HostIdentity;
pub use ids::{BatchId, ExecutionId, JobId, ProcessId};
pub use job::{
    Arguments, ArgumentsError, Backoff, BareContext, Body, Bound, BoxError, Context, Count,
    Decision, Defaults, Due, EnqueueError, EnqueueHook, EnqueueHooks, ErrorNote, Exceeded, Handler,
    Handlers, Interrupted, Job, JobError, JobResult, Limits, LimitsError, NewJob, NotCommitted,
    Options, Panicked, Payload, Perform, PerformHook, PerformHooks, Policy, Preserve, Registry,
    Retry, Rule, Run, Running, Scope, Sink, Stop, Storing, Throttle, Tick, Ties, TimedOut, Trace,
    TraceHook, TraceIds, TraceParent, TraceParentError, Unhandled, Verdict, ruby,
};
pub use limits::{Admission, LimitExceeded, LimitStore, Question, Tally, waits_for_room};
pub use mode::{ExecutionMode, ExecutionModeError, Role};
pub use notes::{JobNotes, Note, Notes, Progress};
pub use notifier::{CHANNEL, Notice, NoticeError, Notifier, Signal};
pub use pauses::{Pause, PauseStore, Paused};
pub use queue::{Pool, Pools, QueueSelector, QueueStringError};
pub use setup::Setup;
pub use store::{
    Claim, Claims, Cleaned, ErrorEvent, ExecutionRecord, Fate, Health, Inserted, Inspect,
    JobRecord, JobState, LockState, MemoryStore, Outcome, PoolReport, ProcessRecord, Retention,
    Settled, Settlement, Store, StoreError, Token, Wanted, settle,
};
pub use trouble::{OnError, Trouble, TroubleKind, Troubles};
