//! A claim: the right to do one job now, and the token that says which attempt it is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::record::JobRecord;
use crate::clock::Timestamp;
use crate::ids::{ExecutionId, JobId};

/// Names one attempt at one job. It is the fence: an outcome is written only while the row still
/// carries these values, and every claim changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The job.
    pub job: JobId,
    /// The attempt's own row.
    pub execution: ExecutionId,
    /// When the store started the attempt, to the microsecond.
    pub performed_at: Timestamp,
    /// How many attempts there were, this one included.
    pub executions_count: i32,
}

/// A job that this process has locked and started. It holds no connection. Whoever holds it has to
/// settle or release its token; the scheduler does so for every claim, even one that is dropped.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job as it stood when it was claimed.
    pub job: JobRecord,
    /// Which attempt this is.
    pub token: Token,
    /// How many attempts in a row, just before this one, ended without an outcome.
    pub interruptions: u32,
}

/// What a search for jobs brought.
#[derive(Debug, Default)]
pub struct Claims {
    /// The jobs taken, in the order in which they should start.
    pub taken: Vec<Claim>,
    /// How many due jobs were passed over for a moment: somebody holds their lock, or the store takes
    /// them one at a time. More than 0 means that it is not empty: look again soon.
    pub contended: usize,
    /// How soon another search is worth while although nothing may wake the pool: at once when the store
    /// saw more than it gave, after a while when it looked only where it expected jobs. `None` when
    /// nothing was left.
    pub look_again: Option<Duration>,
}

/// What the store can say about the locks of this process.
#[derive(Clone, Debug, Default)]
pub struct LockState {
    /// About all of them.
    pub health: Health,
    /// Attempts whose lock is gone for good, until they are settled or released.
    pub lost: Arc<HashSet<Token>>,
}

/// How far the locks of this process can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Every attempt not named as lost is held.
    #[default]
    Confirmed,
    /// The lock session is gone or silent. Nothing new starts; what runs goes on until more is known.
    Unconfirmed,
    /// Others may take the jobs now. Everything that runs has to stop.
    Lost,
}
