//! What ties a job to others: a tick of cron, a batch, a key whose jobs are counted.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::ids::BatchId;

/// The columns of a row that bind it to something beyond itself. Most jobs have none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ties {
    /// Jobs with the same key are counted together: `concurrency_key`.
    pub concurrency_key: Option<String>,
    /// The batch that waits for it: `batch_id`.
    pub batch: Option<BatchId>,
    /// The batch that it was enqueued by as a callback: `batch_callback_id`.
    #[serde(rename = "callback_of")]
    pub batch_callback: Option<BatchId>,
    /// The tick that it was enqueued for: `cron_key` and `cron_at`.
    #[serde(flatten)]
    pub tick: Option<Tick>,
}

impl Ties {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A time at which a cron entry is due. No two jobs are stored for one tick (wire contract 8.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Tick {
    /// The entry's key.
    #[serde(rename = "cron_key")]
    pub key: String,
    /// When it was due. A row of another client may lack it; such ones never collide.
    #[serde(rename = "cron_at")]
    pub at: Option<Timestamp>,
}
