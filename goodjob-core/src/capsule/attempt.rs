//! A claim in the hands of this process. Whatever happens to the task that holds it, its token goes
//! back to the settler exactly once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::inline::Came;
use super::settler::{Ended, SettlerHandle};
use crate::job::{Defaults, Policy};
use crate::store::{Claim, Outcome, settle};

/// One attempt, from the claim to its settlement.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Shared with the job's context: a claim is large, and attempts are moved about.
    claim: Arc<Claim>,
    settler: SettlerHandle,
    begun: Option<Instant>,
    /// Given back when the outcome is stored, so that outcomes cannot pile up without bound.
    permit: Option<OwnedSemaphorePermit>,
}

impl Attempt {
    pub(crate) fn new(claim: Claim, settler: SettlerHandle, permit: OwnedSemaphorePermit) -> Self {
        Self { claim: Arc::new(claim), settler, begun: None, permit: Some(permit) }
    }

    pub(crate) fn claim(&self) -> &Arc<Claim> {
        &self.claim
    }

    /// From here on the job may have had effects: it is not released any more, but settled.
    pub(crate) fn begin(&mut self) {
        self.begun = Some(Instant::now());
        self.settler.meter.began(&self.claim);
    }

    /// Hands the outcome over to be written.
    pub(crate) fn end(mut self, outcome: &Outcome, policy: &Policy, defaults: Defaults) -> Came {
        self.settle(outcome, policy, defaults)
    }

    fn settle(&mut self, outcome: &Outcome, policy: &Policy, defaults: Defaults) -> Came {
        let took = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let settlement = settle(&self.claim, outcome, policy, defaults, took, rand::random());
        self.settler.meter.ended(&self.claim, outcome, &settlement);
        let came = Came::of(&settlement.job);
        self.give(Ended::Settle(self.claim.token, settlement));
        came
    }

    fn give(&mut self, ended: Ended) {
        if let Some(permit) = self.permit.take() {
            self.settler.send(ended, Some(permit));
        }
    }
}

impl Drop for Attempt {
    /// Dropped unsettled: an attempt that never began is given back as if it had not been claimed,
    /// one that had is put back as interrupted.
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        if self.begun.is_none() {
            self.give(Ended::Release(self.claim.token));
        } else {
            self.settle(&Outcome::CutOff, &Policy::new(), Defaults::default());
        }
    }
}
