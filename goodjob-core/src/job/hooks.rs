//! What an application does around every enqueue and every attempt, or around those of one class.
//!
//! Each hook is a layer around those after it and around what they are all about: its `before`, then its
//! `around` with everything inside, then its `after`. The layers of the application are outside those of
//! the class, each in the order in which they were added.

mod enqueue;
mod perform;

pub use enqueue::{EnqueueHook, EnqueueHooks, Sink, Stop, Storing};
pub(super) use perform::Layers;
pub use perform::{Body, PerformHook, PerformHooks};

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::error::Panicked;
use crate::capsule::panics;

/// Awaits what is the application's, and makes an error of its panic.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    // Whatever a panic left half done is the application's own state, as with a panic of a job.
    AssertUnwindSafe(future)
        .catch_unwind()
        .await
        .map_err(|payload| panics::describe_here(&*payload))
}
