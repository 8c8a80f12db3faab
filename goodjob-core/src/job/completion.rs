//! A success that a job has written itself, in a transaction of its own: whether that is so is asked when
//! the body has ended.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::error::{JobError, NotCommitted};
use crate::ids::JobId;
use crate::store::{Outcome, StoreError};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// Time between questions while the store is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks whether the success is committed.
pub(super) type IsCommitted =
    Box<dyn Fn() -> BoxFuture<'static, Result<bool, StoreError>> + Send + Sync>;

/// None, for nearly every attempt.
#[derive(Default)]
pub(super) struct Completion(Mutex<Option<IsCommitted>>);

impl Completion {
    pub(super) fn set(&self, is_committed: IsCommitted) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(is_committed);
    }

    /// How the attempt ended. Waits for the store, until `cut`: then it is put back, which writes nothing
    /// if the success is committed after all.
    pub(super) async fn verdict(
        &self,
        outcome: Outcome,
        job: JobId,
        troubles: &Troubles,
        cut: &CancellationToken,
    ) -> Outcome {
        let is_committed = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(is_committed) = is_committed else { return outcome };
        // Boxed, since few attempts come to it and each would have room for it.
        Box::pin(judge(is_committed, outcome, job, troubles, cut)).await
    }
}

async fn judge(
    is_committed: IsCommitted,
    outcome: Outcome,
    job: JobId,
    troubles: &Troubles,
    cut: &CancellationToken,
) -> Outcome {
    let is_committed = loop {
        match is_committed().await {
            Ok(answer) => break answer,
            Err(error) => {
                let what = "it is not known yet whether a job has committed its success";
                let trouble = Trouble::new(TroubleKind::OutcomesHeld, what);
                troubles.report(trouble.of_job(job).because(error));
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = cut.cancelled() => return Outcome::CutOff,
                }
            }
        }
    };
    match (is_committed, outcome) {
        (true, _) => Outcome::Succeeded,
        (false, Outcome::Succeeded) => Outcome::Failed(JobError::from(NotCommitted)),
        (false, ended) => ended,
    }
}
