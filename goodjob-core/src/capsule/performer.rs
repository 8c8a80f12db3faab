//! Does one claimed job: runs its body in a task of its own, watches over it, and hands the outcome
//! to be written.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::attempt::Attempt;
use super::inline::Came;
use super::panics;
use super::pause::at;
use crate::job::{BareContext, Defaults, Handler, Handlers, JobResult, Scene, TimedOut};
use crate::store::Outcome;
use crate::trouble::{Trouble, TroubleKind, Troubles};

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
    pub(crate) scene: Scene,
    pub(crate) troubles: Troubles,
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
            let what = format!("claimed a job of the unknown class {:?}", claim.job.class);
            self.troubles
                .report(Trouble::new(TroubleKind::ClassUnknown, what).of_job(claim.job.id));
            return None;
        };
        let interruptions = claim.interruptions;
        let outcome = if self.max_interruptions > 0 && interruptions >= self.max_interruptions {
            Outcome::Poisoned { interruptions }
        } else if self.scene.stopping.is_cancelled() || lost.is_cancelled() {
            // Claimed while the shutdown began, or lost already: dropping it gives it back un-run.
            return None;
        } else {
            let span = self.handlers.span(&claim.job, &self.troubles);
            attempt.begin();
            self.run(handler, &attempt, lost).instrument(span).await
        };
        let came = attempt.end(&outcome, &handler.policy, self.defaults);
        Some((outcome, came))
    }

    async fn run(&self, handler: &Handler, attempt: &Attempt, lost: CancellationToken) -> Outcome {
        let cancelled = CancellationToken::new();
        let claim = Arc::clone(attempt.claim());
        let cx = BareContext::new(claim, &handler.policy, &self.scene, cancelled.clone());
        let body = self.handlers.begin(handler, cx.clone()).in_current_span();
        let mut body = AbortOnDropHandle::new(tokio::spawn(body));

        let timed_out = tokio::select! {
            biased;
            ended = &mut body => return cx.verdict(panics::outcome(ended), &self.cut).await,
            () = at(cx.deadline()) => true,
            () = lost.cancelled() => false,
            () = self.cut.cancelled() => false,
        };
        cancelled.cancel();
        // Boxed, since few attempts come to it and each would have room for it.
        let wound_up = Box::pin(self.wind_up(&mut body)).await;
        let limit = timed_out.then_some(handler.policy.time_limit()).flatten();
        let outcome = match (limit, wound_up) {
            (Some(after), _) => Outcome::Failed(TimedOut { after }.into()),
            // It came to an end of its own within the grace; an error then only says "cancelled".
            (None, Some(Outcome::Succeeded)) => Outcome::Succeeded,
            (None, _) => Outcome::CutOff,
        };
        cx.verdict(outcome, &self.cut).await
    }

    /// Gives a cancelled body its grace, then drops it. A body that blocks its thread cannot be
    /// dropped: it keeps its slot and its lock until it ends.
    async fn wind_up(&self, body: &mut AbortOnDropHandle<JobResult>) -> Option<Outcome> {
        if let Ok(ended) = tokio::time::timeout(self.cancel_grace, &mut *body).await {
            return Some(panics::outcome(ended));
        }
        body.abort();
        if tokio::time::timeout(self.cancel_grace, &mut *body).await.is_err() {
            let what = "the job is stuck: it was told to stop, and blocks its thread";
            self.troubles.report(Trouble::new(TroubleKind::JobStuck, what));
            let _ = body.await;
        }
        None
    }
}
