//! Batches: jobs that are waited for together, and the jobs that are enqueued when they are over.
//!
//! | file | what it has |
//! |---|---|
//! | `batch/new.rs` | [`Batch`], to be filled and enqueued |
//! | `batch/stored.rs` | [`StoredBatch`], found again: add, enqueue again, retry |
//! | `batch/record.rs` | [`BatchRecord`], the row and its state |
//! | `batch/callback.rs`, `batch/callbacks.rs` | what a callback is given, and how its job is made |
//! | `batch/progress.rs` | one pure function, [`progress`]: what the end of a job does to its batch |
//! | `batch/store.rs` | [`BatchStore`], for backends |
//!
//! None of what a job passes on its way knows of this: a worker's `capsule/continuer.rs` stands around the
//! store, sees which jobs with a batch have ended, and has their batches go on.

mod callback;
mod callbacks;
mod new;
mod progress;
mod record;
mod store;
mod stored;

pub use callback::{BatchCallback, BatchEvent};
pub use callbacks::{Callbacks, DEFAULT_GLOBALID_APP};
pub use new::{Batch, EnqueuedBatch, NewBatch};
pub use progress::{BatchProgress, Sight, progress};
pub use record::{BatchRecord, BatchSpec, BatchState};
pub use store::{BatchEnd, BatchLook, BatchQuery, BatchStore, BatchSummary, RetriedBatch};
pub use stored::StoredBatch;
