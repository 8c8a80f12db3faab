//! **L**, the lock session: one plain connection that claims, and holds the advisory lock of every
//! job that runs in this process. Job code never runs on it.
//!
//! When it dies, all locks are gone at once while the jobs run on. Then nothing new is claimed, a new
//! session takes the locks again, with a write, for the attempts that are still current, and the rest
//! are reported lost (failure model 4.4).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{Claims, Health, JobId, Signal, StoreError, Token, Wanted};
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Common, DEADLINE, FIRST_PAUSE, LockCommand, Reply, connect, jittered, within};
use crate::error::{is_down_for_everyone, is_fatal, store_error};
use crate::key::advisory_key;
use crate::options::LockStrategy;
use crate::settle::{release, tokens};
use crate::{claim, sql};

/// Time between looks at the session: while it holds locks, and while it holds none.
const WATCH: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(15);
/// How long the session may take to answer such a look.
const ANSWER: Duration = Duration::from_secs(2);
/// How long attempts may run without their locks: while the notify session vouches for the process,
/// since peers then leave them alone, and while nothing does.
const GRACE_WITH_WITNESS: Duration = Duration::from_secs(30);
const GRACE_ALONE: Duration = Duration::from_secs(4);

pub(crate) struct LockSession {
    common: Common,
    /// Attempts whose lock this session holds, or would if it lived.
    held: HashMap<JobId, Token>,
    /// The one of them, if any, that is suspected of killing its process.
    suspect: Option<JobId>,
    /// How often jobs are still to be looked for that a claim may have left without an answer.
    sweeps: u8,
    published: watch::Sender<Arc<Vec<Token>>>,
}

/// A session that lives.
struct Live {
    connection: PgConnection,
    secret: String,
}

impl LockSession {
    pub(crate) fn new(common: Common, published: watch::Sender<Arc<Vec<Token>>>) -> Self {
        Self { common, held: HashMap::new(), suspect: None, sweeps: 0, published }
    }

    /// Serves until the last sender of `inbox` is gone.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<LockCommand>) {
        while let Some(mut live) = self.connected(&mut inbox).await {
            match self.serve(&mut live, &mut inbox).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, held = self.held.len(), "the lock session is lost");
                    self.set_health(Health::Unconfirmed);
                    // Once at the start of the next session, and once more a little later: the server
                    // may carry a claim through after it was told to end the session.
                    self.sweeps = 2;
                }
            }
        }
    }

    /// Serves commands until the inbox closes, or the session is lost.
    async fn serve(
        &mut self,
        live: &mut Live,
        inbox: &mut mpsc::Receiver<LockCommand>,
    ) -> sqlx::Result<()> {
        let mut commands = Vec::new();
        loop {
            let pause = if self.held.is_empty() && self.sweeps == 0 { REST } else { WATCH };
            tokio::select! {
                received = inbox.recv_many(&mut commands, 64) => if received == 0 { return Ok(()) },
                () = tokio::time::sleep(pause) => self.look(live).await?,
            }
            // Unlocks before claims: a lock that is done with must not wait for a search.
            let (claims, unlocks) = commands
                .drain(..)
                .partition(|command| matches!(command, LockCommand::Claim { .. }));
            self.unlock(live, unlocks).await?;
            self.claim(live, claims).await?;
        }
    }

    async fn claim(&mut self, live: &mut Live, claims: Vec<LockCommand>) -> sqlx::Result<()> {
        let mut claims = claims.into_iter();
        while let Some(command) = claims.next() {
            let LockCommand::Claim { wanted, max, reply } = command else { continue };
            match self.try_claim(live, &wanted, max).await {
                Ok(found) => self.hand_over(live, reply, found).await?,
                Err(error) if is_fatal(&error) => {
                    let lost = || StoreError::unavailable("the lock session is lost");
                    let _ = reply.send(Err(lost()));
                    claims.for_each(|command| refuse(command, lost()));
                    return Err(error);
                }
                Err(error) => {
                    self.sweeps = 1;
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
    ) -> sqlx::Result<Claims> {
        let Live { connection, secret } = live;
        let (options, process) = (&self.common.options, self.common.process);
        let claiming = claim::claim(connection, options, process, secret, wanted, max, false);
        let mut found = within(DEADLINE, claiming).await?;
        self.held.extend(found.taken.iter().map(|claim| (claim.token.job, claim.token)));
        // What was passed over may be suspects. One at a time, lest the innocent among them vanish
        // with the guilty one until all are given up.
        if self.suspect.is_none() && found.contended > 0 && found.taken.len() < max {
            let claiming = claim::claim(connection, options, process, secret, wanted, 1, true);
            match within(DEADLINE, claiming).await {
                Ok(mut suspects) => {
                    if let Some(claim) = suspects.taken.pop() {
                        self.held.insert(claim.token.job, claim.token);
                        self.suspect = Some(claim.token.job);
                        found.taken.push(claim);
                        found.contended -= 1;
                    }
                }
                // What the first statement found is ours and has to be answered.
                Err(error) => {
                    tracing::warn!(%error, "cannot look for jobs that vanished twice");
                    self.sweeps = 1;
                }
            }
        }
        self.publish();
        Ok(found)
    }

    /// Answers a claim. If whoever asked is gone, the jobs are given back un-run.
    async fn hand_over(
        &mut self,
        live: &mut Live,
        reply: Reply<Claims>,
        found: Claims,
    ) -> sqlx::Result<()> {
        let Err(Ok(unwanted)) = reply.send(Ok(found)) else { return Ok(()) };
        let tokens: Vec<Token> = unwanted.taken.iter().map(|claim| claim.token).collect();
        if tokens.is_empty() {
            return Ok(());
        }
        if let Err(error) = release(&self.common.pool, self.common.process, &tokens).await {
            tracing::warn!(%error, "claimed jobs that nobody waits for are left to the next look");
            self.sweeps = 1;
        }
        let jobs = tokens.iter().map(|token| token.job).collect();
        let (done, _) = oneshot::channel();
        self.unlock(live, vec![LockCommand::Unlock { jobs, done }]).await
    }

    async fn unlock(&mut self, live: &mut Live, unlocks: Vec<LockCommand>) -> sqlx::Result<()> {
        let (mut ids, mut waiting) = (Vec::new(), Vec::new());
        for command in unlocks {
            let LockCommand::Unlock { jobs, done } = command else { continue };
            // What is not held was lost with an earlier session.
            ids.extend(jobs.iter().filter(|job| self.held.contains_key(job)).map(JobId::as_uuid));
            waiting.push((jobs, done));
        }
        let locked = self.common.options.lock_strategy != LockStrategy::SkipLocked;
        if locked && !ids.is_empty() {
            let query = sqlx::query(sql::UNLOCK).bind(ids).execute(&mut live.connection);
            within(DEADLINE, query).await?;
        }
        for (jobs, done) in waiting {
            self.forget(&jobs);
            let _ = done.send(());
        }
        Ok(())
    }

    fn forget(&mut self, jobs: &[JobId]) {
        for job in jobs {
            self.held.remove(job);
        }
        self.suspect = self.suspect.filter(|job| self.held.contains_key(job));
        self.publish();
        self.common.locks.send_if_modified(|state| {
            let before = state.lost.len();
            if before > 0 {
                Arc::make_mut(&mut state.lost).retain(|token| !jobs.contains(&token.job));
            }
            state.lost.len() != before
        });
    }

    /// Asks whether the session lives and is still the same.
    async fn look(&mut self, live: &mut Live) -> sqlx::Result<()> {
        let query = sqlx::query_as(sql::SESSION_CHECK).bind(&live.secret);
        let (same, read_only): (bool, bool) =
            within(ANSWER, query.fetch_one(&mut live.connection)).await?;
        match same && !read_only {
            true => self.sweep(live).await,
            false => {
                Err(sqlx::Error::Protocol("the session was swapped, or the server demoted".into()))
            }
        }
    }

    /// Compares the locks that the session holds with those it should, and unlocks the surplus.
    async fn audit(&mut self, live: &mut Live) -> sqlx::Result<()> {
        let expected: HashSet<i64> =
            self.held.keys().map(|job| advisory_key(&format!("good_jobs-{job}"))).collect();
        let query = sqlx::query_scalar(sql::HELD_KEYS).fetch_all(&mut live.connection);
        let held: Vec<i64> = within(DEADLINE, query).await?;
        let surplus: Vec<i64> = held.into_iter().filter(|key| !expected.contains(key)).collect();
        if !surplus.is_empty() {
            tracing::warn!(
                locks = surplus.len(),
                "unlocking what a cancelled statement had locked"
            );
            let query = sqlx::query(sql::UNLOCK_KEYS).bind(surplus).execute(&mut live.connection);
            within(DEADLINE, query).await?;
        }
        Ok(())
    }

    /// Gives back jobs that this process owns without knowing it, if there is reason to look for some.
    /// Only this session may: it alone knows every claim that was answered.
    async fn sweep(&mut self, live: &mut Live) -> sqlx::Result<()> {
        if self.sweeps == 0 {
            return Ok(());
        }
        // Locks taken before a statement was cancelled stay held; one whose answer could not be read
        // was committed.
        self.audit(live).await?;
        let lost = Arc::clone(&self.common.locks.borrow().lost);
        let lost = lost.iter().map(|token| &token.job);
        let known: Vec<Uuid> = self.held.keys().chain(lost).map(JobId::as_uuid).collect();
        let query = sqlx::query_as(sql::SWEEP).bind(self.common.process.as_uuid()).bind(known);
        let (released, _): (i64, i64) =
            within(DEADLINE, query.fetch_one(&mut live.connection)).await?;
        self.sweeps -= 1;
        if released > 0 {
            tracing::warn!(jobs = released, "gave back jobs whose claim had got no answer");
        }
        Ok(())
    }

    /// A live session whose locks are in order; `None` when the inbox closed first. Meanwhile claims
    /// are refused and unlocks granted, since a dead session holds no lock.
    async fn connected(&mut self, inbox: &mut mpsc::Receiver<LockCommand>) -> Option<Live> {
        let mut pause = FIRST_PAUSE;
        // While the server refuses everybody, nobody else can take our jobs.
        let mut unguarded_since = Instant::now();
        loop {
            let name = format!("goodjob lock {}", self.common.process);
            let opened = tokio::select! {
                opened = self.open(&name) => opened,
                () = refuse_all(inbox) => return None,
            };
            match opened {
                Ok(live) => return Some(live),
                Err(error) => {
                    tracing::warn!(%error, "the lock session cannot be opened");
                    if is_down_for_everyone(&error) {
                        unguarded_since = Instant::now();
                    }
                }
            }
            let grace =
                if *self.common.hearing.borrow() { GRACE_WITH_WITNESS } else { GRACE_ALONE };
            if unguarded_since.elapsed() > grace && !self.held.is_empty() {
                self.set_health(Health::Lost);
            }
            let until = Instant::now() + jittered(&mut pause);
            while let Ok(command) = tokio::time::timeout_at(until, inbox.recv()).await {
                self.answer_without_session(command?);
            }
        }
    }

    async fn open(&mut self, name: &str) -> sqlx::Result<Live> {
        let (connection, secret) = connect(&self.common.options, name).await?;
        let mut live = Live { connection, secret };
        let mut lost = HashSet::new();
        if !self.held.is_empty() || self.sweeps > 0 {
            lost = self.readopt(&mut live).await?;
        }
        if !lost.is_empty() {
            tracing::error!(jobs = lost.len(), "attempts lost their lock and are told to stop");
        }
        self.common.locks.send_replace(goodjob_core::LockState {
            health: Health::Confirmed,
            lost: Arc::new(lost),
        });
        self.sweep(&mut live).await?;
        // Jobs may have come while nothing was claimed. Nobody listening is fine.
        let _ = self.common.signals.send(Signal::Resync);
        Ok(live)
    }

    /// Takes the locks of running attempts again; returns those that are not to be had.
    async fn readopt(&mut self, live: &mut Live) -> sqlx::Result<HashSet<Token>> {
        let query = sqlx::query(sql::END_PREDECESSOR).execute(&mut live.connection);
        within(DEADLINE, query).await?;
        let running = tokens(self.held.values());
        let query = sqlx::query_scalar(sql::READOPT)
            .bind(running.jobs)
            .bind(running.performed_at)
            .bind(running.counts)
            .bind(self.common.process.as_uuid())
            .bind(self.common.options.lock_strategy.code())
            .fetch_all(&mut live.connection);
        let confirmed: Vec<Uuid> = within(DEADLINE, query).await?;
        let confirmed: HashSet<JobId> = confirmed.into_iter().map(JobId::from).collect();
        tracing::info!(
            confirmed = confirmed.len(),
            of = self.held.len(),
            "took the locks of running jobs again"
        );
        let (held, lost) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(job, _)| confirmed.contains(job));
        self.held = held;
        self.suspect = self.suspect.filter(|job| self.held.contains_key(job));
        let lost: HashMap<JobId, Token> = lost;
        self.publish();
        Ok(lost.into_values().collect())
    }

    fn answer_without_session(&mut self, command: LockCommand) {
        match command {
            LockCommand::Unlock { jobs, done } => {
                self.forget(&jobs);
                let _ = done.send(());
            }
            claim @ LockCommand::Claim { .. } => {
                refuse(claim, StoreError::unavailable("the lock session is being opened"));
            }
        }
    }

    fn set_health(&self, health: Health) {
        self.common.locks.send_if_modified(|state| {
            let changed = state.health != health;
            state.health = health;
            changed
        });
    }

    fn publish(&self) {
        self.published.send_replace(Arc::new(self.held.values().copied().collect()));
    }
}

fn refuse(command: LockCommand, error: StoreError) {
    if let LockCommand::Claim { reply, .. } = command {
        let _ = reply.send(Err(error));
    }
}

/// Ends when the inbox is closed. Commands stay in it until the session is open or known not to be.
async fn refuse_all(inbox: &mut mpsc::Receiver<LockCommand>) {
    while !inbox.is_closed() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
