//! What the lock session claims, and for whom: the jobs of a pool, and of those that vanished with their process
//! twice one at a time ([ADR 0011](../../../../docs/adr/0011-one-suspect-at-a-time.md)).

use std::time::Duration;

use goodjob_core::{StoreError, Token, TroubleKind, Wanted};
use uuid::Uuid;

use super::super::search::Terms;
use super::super::{LockCommand, Reply};
use super::{Live, LockSession, refuse};
use crate::claim::{Catch, Suspects};
use crate::error::{is_fatal, store_error};

impl LockSession {
    pub(super) async fn claim(
        &mut self,
        live: &mut Live,
        claims: Vec<LockCommand>,
    ) -> sqlx::Result<()> {
        let mut claims = claims.into_iter();
        while let Some(command) = claims.next() {
            let LockCommand::Claim { wanted, max, jobs, reply } = command else { continue };
            match self.try_claim(live, &wanted, max, jobs.as_deref()).await {
                Ok(found) => self.hand_over(reply, found),
                Err(error) if is_fatal(&error) => {
                    let lost = || StoreError::unavailable("the lock session is lost");
                    let _ = reply.send(Err(lost()));
                    claims.for_each(|command| refuse(command, lost()));
                    return Err(error);
                }
                Err(error) => {
                    self.sweeps = self.sweeps.max(1);
                    self.sweep(live).await?;
                    let _ = reply.send(Err(store_error(error)));
                }
            }
        }
        Ok(())
    }

    async fn try_claim(
        &mut self,
        live: &mut Live,
        wanted: &Wanted,
        max: usize,
        jobs: Option<&[Uuid]>,
    ) -> sqlx::Result<Catch> {
        let room = jobs.is_none() && !self.has_suspect() && self.passed_over.remove(&wanted.queues);
        let others = max.saturating_sub(usize::from(room));
        let mut found = self.search(live, wanted, others, Suspects::PassOver, jobs).await?;
        if room {
            // Fewer were looked for than were asked for.
            found.look_again = Some(Duration::ZERO);
        }
        if jobs.is_none() && (room || found.suspects > 0) {
            if found.taken.len() < max {
                self.take_a_suspect(live, wanted, &mut found).await;
            } else {
                self.passed_over.insert(wanted.queues.clone());
            }
        }
        self.publish();
        Ok(found)
    }

    fn has_suspect(&self) -> bool {
        self.suspect.is_some_and(|suspect| self.held.contains(&suspect))
    }

    /// What was passed over may be jobs that vanished twice. One at a time, lest the innocent among them
    /// vanish with the guilty one until all are given up.
    async fn take_a_suspect(&mut self, live: &mut Live, wanted: &Wanted, found: &mut Catch) {
        if self.has_suspect() {
            return;
        }
        match self.search(live, wanted, 1, Suspects::Only, None).await {
            Ok(mut suspects) => {
                if let Some(taken) = suspects.taken.pop() {
                    self.suspect = Some(taken.token);
                    found.taken.push(taken);
                    found.contended = found.contended.saturating_sub(1);
                }
            }
            // What the first search found is ours and has to be answered all the same.
            Err(error) => {
                let what = "cannot look for jobs that vanished twice";
                self.common.trouble(TroubleKind::StoreUnavailable, what, &error);
                self.sweeps = self.sweeps.max(1);
            }
        }
    }

    async fn search(
        &mut self,
        live: &mut Live,
        wanted: &Wanted,
        max: usize,
        suspects: Suspects,
        jobs: Option<&[Uuid]>,
    ) -> sqlx::Result<Catch> {
        let Live { connection, secret } = live;
        let known = self.known();
        let terms = Terms { secret, suspects, known: &known, jobs };
        let found = self.searcher.search(connection, wanted, max, &terms).await?;
        self.held.extend(found.tokens());
        self.openings.add(found.tokens());
        Ok(found)
    }

    /// Answers a claim. If whoever asked is gone, the jobs are given back un-run.
    fn hand_over(&mut self, reply: Reply<Catch>, found: Catch) {
        let Err(Ok(unwanted)) = reply.send(Ok(found)) else { return };
        let tokens: Vec<Token> = unwanted.tokens().collect();
        if !tokens.is_empty() {
            tokio::spawn(self.common.clone().give_back(tokens));
        }
    }
}
