//! Does one claimed job: runs its body in a task of its own, watches over it, and hands the outcome
//! to be written.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::attempt::{Attempt, Came};
use super::panics;
use crate::job::{BareContext, Defaults, Handler, Handlers, JobError, JobResult, TimedOut};
use crate::store::Outcome;

/// How an attempt went, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Performed {
    Succeeded,
    Errored,
    /// Cut off by a shutdown or a lost lock.
    CutOff,
    /// Given back without having begun.
    Unstarted,
}

/// What all attempts of a capsule share.
#[derive(Debug)]
pub(crate) struct Performer {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) max_interruptions: u32,
    pub(crate) defaults: Defaults,
    pub(crate) cancel_grace: Duration,
    /// The worker takes no new work.
    pub(crate) stopping: CancellationToken,
    /// The worker waits no longer for running work.
    pub(crate) cut: CancellationToken,
}

impl Performer {
    /// Performs the claimed job. `lost` tells that its lock is gone.
    pub(crate) async fn perform(&self, attempt: Attempt, lost: CancellationToken) -> Performed {
        match self.carry_out(attempt, lost).await {
            None => Performed::Unstarted,
            Some((Outcome::Succeeded, _)) => Performed::Succeeded,
            Some((Outcome::Failed(_) | Outcome::Poisoned { .. }, _)) => Performed::Errored,
            Some((Outcome::CutOff, _)) => Performed::CutOff,
        }
    }

    /// As [`perform`](Self::perform), with how it ended and what came of it; `None` if it never began.
    pub(crate) async fn carry_out(
        &self,
        mut attempt: Attempt,
        lost: CancellationToken,
    ) -> Option<(Outcome, Came)> {
        let claim = attempt.claim();
        let Some(handler) = self.handlers.get(&claim.job.class) else {
            tracing::error!(job = %claim.job.id, class = claim.job.class, "claimed a job of an unknown class");
            return None;
        };
        let interruptions = claim.interruptions;
        let outcome = if self.max_interruptions > 0 && interruptions >= self.max_interruptions {
            Outcome::Poisoned { interruptions }
        } else if self.stopping.is_cancelled() || lost.is_cancelled() {
            // Claimed while the shutdown began, or lost already: dropping it gives it back un-run.
            return None;
        } else {
            let span = tracing::info_span!(
                "perform", job = %claim.job.id, class = claim.job.class,
                queue = claim.job.queue, attempt = claim.job.payload.executions() + 1,
            );
            attempt.begin();
            self.run(handler, &attempt, lost).instrument(span).await
        };
        let came = attempt.end(&outcome, &handler.policy, self.defaults);
        Some((outcome, came))
    }

    async fn run(&self, handler: &Handler, attempt: &Attempt, lost: CancellationToken) -> Outcome {
        let limit = handler.policy.time_limit();
        let deadline = limit.map(|limit| Instant::now() + limit);
        let cancelled = CancellationToken::new();
        let claim = attempt.claim().clone();
        let arguments = claim.job.payload.arguments();
        let cx = BareContext::new(
            claim,
            deadline,
            handler.policy.max_attempts(),
            cancelled.clone(),
            self.stopping.clone(),
        );
        // Building the future is the user's code too: it runs inside the task.
        let run = Arc::clone(&handler.run);
        let body = async move { run(arguments, cx).await }.in_current_span();
        let mut body = AbortOnDropHandle::new(tokio::spawn(body));

        let timed_out = tokio::select! {
            biased;
            ended = &mut body => return outcome(ended),
            () = at(deadline) => true,
            () = lost.cancelled() => false,
            () = self.cut.cancelled() => false,
        };
        cancelled.cancel();
        let wound_up = self.wind_up(&mut body).await;
        match (timed_out.then_some(limit).flatten(), wound_up) {
            (Some(after), _) => Outcome::Failed(TimedOut { after }.into()),
            // It came to an end of its own within the grace; an error then only says "cancelled".
            (None, Some(Outcome::Succeeded)) => Outcome::Succeeded,
            (None, _) => Outcome::CutOff,
        }
    }

    /// Gives a cancelled body its grace, then drops it. A body that blocks its thread cannot be
    /// dropped: it keeps its slot and its lock until it ends.
    async fn wind_up(&self, body: &mut AbortOnDropHandle<JobResult>) -> Option<Outcome> {
        if let Ok(ended) = tokio::time::timeout(self.cancel_grace, &mut *body).await {
            return Some(outcome(ended));
        }
        body.abort();
        if tokio::time::timeout(self.cancel_grace, &mut *body).await.is_err() {
            tracing::warn!("the job is stuck: it was told to stop, and blocks its thread");
            let _ = body.await;
        }
        None
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn outcome(ended: Result<JobResult, JoinError>) -> Outcome {
    match ended.map_err(|error| (error.id(), error.try_into_panic())) {
        Ok(Ok(())) => Outcome::Succeeded,
        Ok(Err(error)) => Outcome::Failed(error),
        Err((task, Ok(payload))) => {
            let panicked = panics::describe(task, &*payload);
            let place = panicked.location.iter().map(|place| format!("panicked at {place}"));
            let place: Vec<String> = place.collect();
            Outcome::Failed(JobError::from(panicked).with_class("Panic").with_backtrace(place))
        }
        // Only this process aborts bodies, and it does not wait for them afterwards.
        Err((_, Err(_cancelled))) => Outcome::CutOff,
    }
}
