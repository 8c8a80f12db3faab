//! **L**, the lock session: one plain connection that claims, and holds the advisory lock of every
//! job that runs in this process. Job code never runs on it.
//!
//! When it dies, all locks are gone at once while the jobs run on. Then nothing new is claimed, a new
//! session takes the locks again, with a write, for the attempts that are still current, and the rest
//! are reported lost (failure model 4.4).

mod claims;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{
    Health, LockState, QueueSelector, Signal, StoreError, Token, Trouble, TroubleKind,
};
use sqlx::PgConnection;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::openings::Openings;
use super::search::Searcher;
use super::{
    Common, DEADLINE, FIRST_PAUSE, LockCommand, connect, end_predecessor, jittered, within,
};
use crate::error::{is_down_for_everyone, is_fatal};
use crate::options::{BY_INDEX, LockStrategy};
use crate::settle::tokens;
use crate::sql;
use crate::unlock::unlock;

/// Time between looks at the session: while it holds locks, and while it holds none.
const WATCH: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(15);
/// How long the session may take to answer such a look.
const ANSWER: Duration = Duration::from_secs(2);
/// Time between comparisons of the locks held with those that should be.
const AUDIT: Duration = Duration::from_secs(30);
/// How long attempts may run without their locks: while the notify session vouches for the process,
/// since peers then leave them alone, and while nothing does.
const GRACE_WITH_WITNESS: Duration = Duration::from_secs(30);
const GRACE_ALONE: Duration = Duration::from_secs(4);
/// How long, and how often, a lock that is not to be had at once is tried for when it is taken again.
const READOPTION: Duration = Duration::from_secs(2);
const READOPTION_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct LockSession {
    common: Common,
    /// Attempts whose lock this session holds, or would if it lived. By attempt and not by job: while
    /// the end of one attempt waits to be unlocked, the next one at the same job may be held already.
    held: HashSet<Token>,
    /// The one of them, if any, that is suspected of killing its process.
    suspect: Option<Token>,
    /// Pools whose last catch was full and passed such jobs over: the next one leaves room for one.
    passed_over: HashSet<QueueSelector>,
    searcher: Searcher,
    openings: Openings,
    published: watch::Sender<Arc<Vec<Token>>>,
    /// Looks for jobs that are ours without our knowing still to be made: the server may carry a claim
    /// through after it was told to end its session.
    sweeps: u8,
    audited: Instant,
}

/// A session that lives.
struct Live {
    connection: PgConnection,
    secret: String,
}

impl LockSession {
    pub(crate) fn new(common: Common, published: watch::Sender<Arc<Vec<Token>>>) -> Self {
        Self {
            searcher: Searcher::new(common.clone()),
            common,
            held: HashSet::new(),
            openings: Openings::default(),
            suspect: None,
            passed_over: HashSet::new(),
            published,
            sweeps: 0,
            audited: Instant::now(),
        }
    }

    /// Serves until the last sender of `inbox` is gone.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<LockCommand>) {
        while let Some(mut live) = self.connected(&mut inbox).await {
            match self.serve(&mut live, &mut inbox).await {
                Ok(()) => return,
                Err(error) => {
                    let what = format!(
                        "the lock session is lost, with the locks of {} jobs",
                        self.held.len()
                    );
                    self.common.trouble(TroubleKind::LockSessionLost, what, &error);
                    self.set_health(Health::Unconfirmed);
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
        let mut looked = Instant::now();
        loop {
            let at_rest = self.held.is_empty() && self.sweeps == 0;
            let pause = if at_rest { REST } else { WATCH };
            tokio::select! {
                // The look first, and by the time of the last one: a session that is never without
                // commands is audited and swept all the same.
                biased;
                () = tokio::time::sleep_until(looked + pause) => {
                    self.look(live).await?;
                    looked = Instant::now();
                }
                () = self.openings.due() => self.open_executions(live).await?,
                received = inbox.recv_many(&mut commands, 64) => if received == 0 { return Ok(()) },
            }
            // Unlocks before claims: a lock that is done with must not wait for a search.
            let (claims, unlocks) = commands
                .drain(..)
                .partition(|command| matches!(command, LockCommand::Claim { .. }));
            self.unlock(live, unlocks).await?;
            self.claim(live, claims).await?;
        }
    }

    /// Writes the executions of attempts that have run for a while.
    async fn open_executions(&mut self, live: &mut Live) -> sqlx::Result<()> {
        let mut lasting = self.openings.take_due();
        lasting.retain(|token| self.held.contains(token));
        if lasting.is_empty() {
            return Ok(());
        }
        let running = tokens(lasting.iter());
        let query = sqlx::query(self.common.dialect.sql(sql::EXECUTIONS_OPEN))
            .bind(running.jobs)
            .bind(running.executions)
            .bind(running.performed_at)
            .bind(running.counts)
            .bind(self.common.process.as_uuid())
            .execute(&mut live.connection);
        match within(DEADLINE, query).await {
            Ok(_) => Ok(()),
            Err(error) if is_fatal(&error) => {
                self.openings.put_back(lasting);
                Err(error)
            }
            // They are written at the end.
            Err(error) => {
                let what = format!("cannot show that {} attempts run", lasting.len());
                self.common.trouble(TroubleKind::StoreUnavailable, what, &error);
                Ok(())
            }
        }
    }

    /// The jobs that this process has in hand, with or without their lock.
    fn known(&self) -> Vec<Uuid> {
        let lost = Arc::clone(&self.common.locks.borrow().lost);
        self.held.iter().chain(lost.iter()).map(|token| token.job.as_uuid()).collect()
    }

    async fn unlock(&mut self, live: &mut Live, unlocks: Vec<LockCommand>) -> sqlx::Result<()> {
        let (mut jobs, mut over) = (Vec::new(), Vec::new());
        for command in unlocks {
            let LockCommand::Unlock { tokens, given_back } = command else { continue };
            if given_back {
                self.searcher.forget();
                // For those that could not be released.
                self.sweeps = self.sweeps.max(1);
            }
            // What is not held was lost with an earlier session.
            let held = tokens.iter().filter(|token| self.held.contains(token));
            jobs.extend(held.map(|token| token.job.as_uuid()));
            over.extend(tokens);
        }
        let locked = self.common.options.lock_strategy != LockStrategy::SkipLocked;
        let unlocked = if locked && !jobs.is_empty() {
            let query = unlock(&self.common.options, &self.common.dialect, &jobs);
            within(DEADLINE, query.execute(&mut live.connection)).await.map(drop)
        } else {
            Ok(())
        };
        // Also after an error: then the locks are gone with the session, or the audit finds them.
        if !over.is_empty() {
            self.forget(&over);
        }
        match unlocked {
            Err(error) if !is_fatal(&error) => self.audit(live).await,
            unlocked => unlocked,
        }
    }

    fn forget(&mut self, tokens: &[Token]) {
        for token in tokens {
            self.held.remove(token);
        }
        self.publish();
        self.common.locks.send_if_modified(|state| {
            let before = state.lost.len();
            if before > 0 {
                Arc::make_mut(&mut state.lost).retain(|token| !tokens.contains(token));
            }
            state.lost.len() != before
        });
    }

    /// Asks whether the session lives and is still the same, and does what is due on it.
    async fn look(&mut self, live: &mut Live) -> sqlx::Result<()> {
        let query = sqlx::query_as(self.common.dialect.sql(sql::SESSION_CHECK)).bind(&live.secret);
        let (same, read_only): (bool, bool) =
            within(ANSWER, query.fetch_one(&mut live.connection)).await?;
        if !same || read_only {
            let reason = "the session was swapped, or the server demoted";
            return Err(sqlx::Error::Protocol(reason.to_owned()));
        }
        if self.audited.elapsed() > AUDIT {
            self.audit(live).await?;
        }
        self.sweep(live).await
    }

    /// Compares the locks that the session holds with those it should, and unlocks the surplus.
    async fn audit(&mut self, live: &mut Live) -> sqlx::Result<()> {
        self.audited = Instant::now();
        self.searcher.survey(&mut live.connection).await?;
        let expected: Vec<Uuid> = self.held.iter().map(|token| token.job.as_uuid()).collect();
        let query = sqlx::query_scalar(self.common.dialect.sql(sql::SURPLUS_KEYS)).bind(expected);
        let surplus: Vec<i64> = within(DEADLINE, query.fetch_all(&mut live.connection)).await?;
        if !surplus.is_empty() {
            tracing::warn!(
                locks = surplus.len(),
                "unlocking what a cancelled statement had locked"
            );
            let query = sqlx::query(self.common.dialect.sql(sql::UNLOCK_KEYS))
                .bind(surplus)
                .execute(&mut live.connection);
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
        // Locks taken before a statement was cancelled stay held, and one whose answer could not be read
        // was committed.
        self.audit(live).await?;
        let query = sqlx::query_as(self.common.dialect.sql(sql::SWEEP))
            .bind(self.common.process.as_uuid())
            .bind(self.known());
        let (released, _): (i64, i64) =
            within(DEADLINE, query.fetch_one(&mut live.connection)).await?;
        self.sweeps -= 1;
        if released > 0 {
            tracing::warn!(jobs = released, "gave back jobs whose claim had got no answer");
        }
        Ok(())
    }

    /// A live session whose locks are in order; `None` when the inbox closed first.
    async fn connected(&mut self, inbox: &mut mpsc::Receiver<LockCommand>) -> Option<Live> {
        let mut pause = FIRST_PAUSE;
        // While the server refuses everybody, nobody else can take our jobs.
        let mut unguarded_since = Instant::now();
        loop {
            let (options, process) = (self.common.options.clone(), self.common.process);
            let opening = async move {
                let connect_to = options.connect.clone().options(BY_INDEX);
                let name = format!("goodjob lock {process}");
                let (connection, secret) = connect(connect_to, &name).await?;
                Ok(Live { connection, secret })
            };
            let opened = match self.meanwhile(opening, unguarded_since, inbox).await? {
                Ok(live) => self.take_over(live).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(live) => return Some(live),
                Err(error) => {
                    let what = "the lock session cannot be opened";
                    self.common.trouble(TroubleKind::LockSessionLost, what, &error);
                    if is_down_for_everyone(&error, &self.common.options) {
                        unguarded_since = Instant::now();
                    }
                }
            }
            let resting = tokio::time::sleep(jittered(&mut pause));
            self.meanwhile(resting, unguarded_since, inbox).await?;
        }
    }

    /// Waits for `work` while there is no session: claims are refused, unlocks granted, since a dead
    /// session holds no lock, and attempts whose grace ends are told. `None` when the inbox closed.
    async fn meanwhile<T>(
        &mut self,
        work: impl Future<Output = T>,
        unguarded_since: Instant,
        inbox: &mut mpsc::Receiver<LockCommand>,
    ) -> Option<T> {
        tokio::pin!(work);
        loop {
            let grace =
                if *self.common.hearing.borrow() { GRACE_WITH_WITNESS } else { GRACE_ALONE };
            if unguarded_since.elapsed() > grace && !self.held.is_empty() {
                self.set_health(Health::Lost);
            }
            tokio::select! {
                done = &mut work => return Some(done),
                command = inbox.recv() => self.answer_without_session(command?),
                () = tokio::time::sleep(WATCH) => {}
            }
        }
    }

    /// Makes a new session the one that holds the locks.
    async fn take_over(&mut self, mut live: Live) -> sqlx::Result<Live> {
        if !self.held.is_empty() || self.sweeps > 0 {
            end_predecessor(&mut live.connection).await?;
        }
        let lost = match self.held.is_empty() {
            true => HashSet::new(),
            false => self.readopt(&mut live).await?,
        };
        if !lost.is_empty() {
            let what = format!("{} attempts lost their lock and are told to stop", lost.len());
            self.common.troubles.report(Trouble::new(TroubleKind::LocksLost, what));
        }
        self.common.locks.send_modify(|state| {
            // What was lost before and has not ended yet stays lost.
            let lost = lost.into_iter().chain(state.lost.iter().copied()).collect();
            *state = LockState { health: Health::Confirmed, lost: Arc::new(lost) };
        });
        self.sweep(&mut live).await?;
        self.searcher.survey(&mut live.connection).await?;
        // Jobs may have come while nothing was claimed. Nobody listening is fine.
        let _ = self.common.signals.send(Signal::Resync);
        Ok(live)
    }

    /// Takes the locks of running attempts again; returns those that are not to be had.
    async fn readopt(&mut self, live: &mut Live) -> sqlx::Result<HashSet<Token>> {
        let deadline = Instant::now() + READOPTION;
        let mut open: HashSet<Token> = self.held.clone();
        let mut confirmed = HashSet::new();
        loop {
            let answer = self.try_readopt(live, &open).await?;
            let taken: HashSet<Uuid> =
                answer.iter().filter(|(_, locked)| *locked).map(|(id, _)| *id).collect();
            let current: HashSet<Uuid> = answer.into_iter().map(|(id, _)| id).collect();
            let is_in =
                |ids: &HashSet<Uuid>, token: &Token| ids.contains(&token.execution.as_uuid());
            confirmed.extend(open.iter().filter(|token| is_in(&taken, token)).copied());
            // Current, but its row or lock is in somebody's hands: perhaps only for a moment.
            open.retain(|token| is_in(&current, token) && !is_in(&taken, token));
            if open.is_empty() || Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(READOPTION_PAUSE).await;
        }
        tracing::info!(
            confirmed = confirmed.len(),
            of = self.held.len(),
            "took the locks of running jobs again"
        );
        let lost = self.held.difference(&confirmed).copied().collect();
        self.held = confirmed;
        self.publish();
        Ok(lost)
    }

    async fn try_readopt(
        &self,
        live: &mut Live,
        attempts: &HashSet<Token>,
    ) -> sqlx::Result<Vec<(Uuid, bool)>> {
        let running = tokens(attempts.iter());
        let query = sqlx::query_as(self.common.dialect.sql(sql::READOPT))
            .bind(running.jobs)
            .bind(running.executions)
            .bind(running.performed_at)
            .bind(running.counts)
            .bind(self.common.process.as_uuid())
            .bind(self.common.options.lock_strategy.code())
            .fetch_all(&mut live.connection);
        within(DEADLINE, query).await
    }

    fn answer_without_session(&mut self, command: LockCommand) {
        match command {
            LockCommand::Unlock { tokens, .. } => self.forget(&tokens),
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
        self.published.send_replace(Arc::new(self.held.iter().copied().collect()));
    }
}

fn refuse(command: LockCommand, error: StoreError) {
    if let LockCommand::Claim { reply, .. } = command {
        let _ = reply.send(Err(error));
    }
}
