//! The backend of a trial: a job that is tried out has nowhere to enqueue.

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::job::{Limits, NewJob};
use crate::limits::{Admission, LimitStore};
use crate::notifier::{Notifier, Signal};
use crate::store::{
    Claim, Claims, Cleaned, Inserted, LockState, ProcessRecord, Retention, Settled, Settlement,
    Store, StoreError, Token, Wanted,
};

/// Refuses everything.
pub(super) struct Nothing;

fn refused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unfit("there is no store here: the job is only tried out".to_owned()))
}

#[async_trait]
impl Store for Nothing {
    async fn insert(&self, _: &[NewJob]) -> Result<Vec<Inserted>, StoreError> {
        refused()
    }

    async fn claim(&self, _: &Wanted, _: usize) -> Result<Claims, StoreError> {
        refused()
    }

    async fn claim_jobs(&self, _: &[JobId], _: &Wanted) -> Result<Claims, StoreError> {
        refused()
    }

    async fn settle(&self, _: &[(Token, Settlement)]) -> Result<Vec<Settled>, StoreError> {
        refused()
    }

    async fn release(&self, _: &[Token]) -> Result<(), StoreError> {
        refused()
    }

    fn locks(&self) -> watch::Receiver<LockState> {
        watch::Sender::default().subscribe()
    }

    async fn upcoming(&self, _: &Wanted, _: usize) -> Result<Vec<Timestamp>, StoreError> {
        refused()
    }

    async fn clean_up(&self, _: &Retention, _: usize) -> Result<Cleaned, StoreError> {
        refused()
    }

    async fn beat(&self, _: &ProcessRecord) -> Result<Timestamp, StoreError> {
        refused()
    }

    async fn leave(&self, _: &ProcessRecord) -> Result<(), StoreError> {
        refused()
    }
}

/// What is tried out may begin.
#[async_trait]
impl LimitStore for Nothing {
    async fn admit(&self, _: &Claim, _: &Limits) -> Result<Admission, StoreError> {
        Ok(Admission::Granted)
    }
}

#[async_trait]
impl Notifier for Nothing {
    async fn listen(&self, _: mpsc::Sender<Signal>, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
