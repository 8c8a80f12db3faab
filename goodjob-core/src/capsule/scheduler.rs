//! One pool: finds jobs whenever it has a free slot and a reason to look.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ahead::Ahead;
use super::attempt::Attempt;
use super::pause::{Pause, at};
use super::performer::{Performed, Performer};
use super::poller::Poller;
use super::settler::{Ended, SettlerHandle};
use super::timetable::Timetable;
use crate::clock::{Clock, Timestamp};
use crate::ids::JobId;
use crate::store::{Claims, Health, LockState, Store, StoreError, Token, Wanted};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// Waits after a search that failed or met held locks alone, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(30);
const LONGEST_CONTENDED: Duration = Duration::from_millis(500);

/// Jobs asked for at once: larger groups gain nothing more, and keep the lock session to themselves.
const LARGEST_SEARCH: usize = 500;

/// A notice for a time no further ahead is taken for one for now.
const NOW: TimeDelta = TimeDelta::milliseconds(50);

/// A reason to look for jobs.
#[derive(Debug)]
pub(crate) enum Wake {
    Now,
    At(Timestamp),
    /// Notices may have been missed, also of future jobs.
    Resync,
    /// Somebody wants to know when a search that began after this one was asked finds nothing while
    /// nothing runs. Never answered, but dropped, by a pool that has stopped.
    Ask(oneshot::Sender<()>),
    /// Somebody wants to know whether the loop turns. Answered at once.
    Ping(oneshot::Sender<()>),
}

/// What a pool is doing and has done.
#[derive(Clone, Debug)]
pub struct PoolState {
    /// Jobs running now.
    pub active: usize,
    /// Due times of future jobs in memory.
    pub cached: usize,
    /// Searches that found nothing.
    pub empty: u64,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that did not.
    pub errored: u64,
    /// When the last attempt ended.
    pub last_execution_at: Option<Timestamp>,
    /// When the last search ended.
    pub last_search_at: Option<Timestamp>,
    /// When a job last started or ended; the start of the pool before that.
    pub last_active: Instant,
}

impl Default for PoolState {
    fn default() -> Self {
        Self {
            active: 0,
            cached: 0,
            empty: 0,
            succeeded: 0,
            errored: 0,
            last_execution_at: None,
            last_search_at: None,
            last_active: Instant::now(),
        }
    }
}

/// An attempt that has ended, and how long it took, from its start in this pool.
struct Finish {
    performed: Performed,
    token: Token,
    took: Duration,
}

/// How many jobs a search asked for, and what it brought.
struct Search {
    asked: usize,
    found: Result<Claims, StoreError>,
}

enum Event {
    Finished(Finish),
    /// What was read ahead does not get to its turn.
    Stalled,
    Searched(Search),
    LookedAhead(Vec<Timestamp>),
    Woken(Wake),
    Due,
    Polled,
    LocksChanged,
    /// A pause is over, or there is room for outcomes again.
    Ready,
}

/// What the pools of a capsule have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) troubles: Troubles,
    pub(crate) performer: Arc<Performer>,
    pub(crate) settler: SettlerHandle,
    pub(crate) max_cache: usize,
    pub(crate) poll_interval: Option<Duration>,
}

/// One pool's loop. All its state has one owner, the loop; nothing in it waits for the store.
pub(crate) struct Scheduler {
    slots: NonZeroUsize,
    wanted: Wanted,
    max_cache: usize,
    clock: Clock,
    store: Arc<dyn Store>,
    troubles: Troubles,
    performer: Arc<Performer>,
    settler: SettlerHandle,
    wakes: mpsc::UnboundedReceiver<Wake>,
    locks: watch::Receiver<LockState>,
    state: watch::Sender<PoolState>,
    timetable: Timetable,
    poller: Poller,
    running: JoinSet<Finish>,
    ahead: Ahead,
    /// Tells a running attempt that its lock is lost.
    lost: HashMap<Token, CancellationToken>,
    /// Searches under way: at most one, or two while jobs flow.
    searches: JoinSet<Search>,
    /// What they ask for together.
    asked: usize,
    /// Whether the last search brought the largest group. The next but one then waits at the store already,
    /// since it may take long until this loop, among a thousand short jobs, has its turn again.
    flows: bool,
    /// At most one look at future jobs is under way.
    lookahead: JoinSet<Vec<Timestamp>>,
    /// Whether there was a reason for another one meanwhile.
    look_again: bool,
    /// Whether there is a reason to search as soon as that is possible.
    hungry: bool,
    /// Whether the only hindrance to that is that too many outcomes wait to be written.
    starved: bool,
    /// Who asked to be told when there is nothing to do, and who asked before the present search.
    asking: Vec<oneshot::Sender<()>>,
    answering: Vec<oneshot::Sender<()>>,
    /// No search before this.
    not_before: Option<Instant>,
    /// A search at this time, if there is none before.
    search_at: Option<Instant>,
    pause: Pause,
}

impl Scheduler {
    pub(crate) fn new(
        slots: NonZeroUsize,
        wanted: Wanted,
        common: Common,
        wakes: mpsc::UnboundedReceiver<Wake>,
        state: watch::Sender<PoolState>,
    ) -> Self {
        let Common { clock, store, troubles, performer, settler, max_cache, poll_interval } =
            common;
        Self {
            slots,
            wanted,
            max_cache,
            locks: store.locks(),
            timetable: Timetable::new(max_cache, clock.clone()),
            poller: Poller::new(poll_interval),
            clock,
            store,
            troubles,
            performer,
            settler,
            wakes,
            state,
            running: JoinSet::new(),
            ahead: Ahead::default(),
            lost: HashMap::new(),
            searches: JoinSet::new(),
            asked: 0,
            flows: false,
            lookahead: JoinSet::new(),
            look_again: false,
            hungry: false,
            starved: false,
            asking: Vec::new(),
            answering: Vec::new(),
            not_before: None,
            search_at: None,
            pause: Pause::starting_at(FIRST_PAUSE),
        }
    }

    /// Runs until `stop`, then until the running jobs have ended or `cut`. Returns the jobs that
    /// were not waited for.
    pub(crate) async fn run(
        mut self,
        stop: CancellationToken,
        cut: CancellationToken,
    ) -> Vec<JobId> {
        self.look_ahead();
        loop {
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Before what has ended: there is always more of that while jobs are short.
                Some(search) = self.searches.join_next() => Event::Searched(search.unwrap_or_else(|error| {
                    let reason = format!("the search came to no end: {error}");
                    Search { asked: self.asked, found: Err(StoreError::unavailable(reason)) }
                })),
                Some(done) = self.running.join_next() => match done {
                    Ok(finish) => Event::Finished(finish),
                    // An attempt's own task does not panic; if it did, its drop gave the job back.
                    Err(error) => { self.troubles.panicked("an attempt's task", error); Event::Ready }
                },
                Some(times) = self.lookahead.join_next() => Event::LookedAhead(times.unwrap_or_default()),
                Some(wake) = self.wakes.recv() => Event::Woken(wake),
                Ok(()) = self.locks.changed() => Event::LocksChanged,
                () = self.ahead.stalled() => Event::Stalled,
                () = self.timetable.due() => Event::Due,
                () = self.poller.tick() => Event::Polled,
                () = ready(self.not_before, self.starved, &self.settler), if self.hungry && self.searches.is_empty() => Event::Ready,
                () = at(self.search_at), if !self.hungry && self.searches.is_empty() => Event::Woken(Wake::Now),
            };
            self.handle(event);
            // First, so that the store looks for the next ones while these begin.
            while self.search_if_possible() {}
            self.begin_next();
            self.report();
        }
        self.drain(cut).await
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Woken(Wake::At(at)) => {
                let ahead = at - self.clock.now();
                if ahead > TimeDelta::zero() {
                    self.timetable.insert(at);
                }
                // A job for now comes with its time too, and our clock may be a little behind.
                self.hungry |= ahead <= NOW;
            }
            Event::Woken(Wake::Resync) => {
                self.hungry = true;
                // The store is back, or the locks are: no reason to hold off any longer.
                self.not_before = None;
                self.look_ahead();
            }
            Event::Woken(Wake::Now) | Event::Polled => self.hungry = true,
            Event::Woken(Wake::Ask(answer)) => self.asking.push(answer),
            // Who has stopped waiting needs no answer.
            Event::Woken(Wake::Ping(answer)) => drop(answer.send(())),
            Event::Due => {
                self.hungry = true;
                if self.timetable.wants_refill() {
                    self.look_ahead();
                }
            }
            Event::Finished(first) => {
                let ended = self.ended_since(first);
                self.finished(&ended);
            }
            Event::Stalled => self.ahead.reset(),
            Event::Searched(Search { asked, found: Ok(claims) }) => {
                self.asked = self.asked.saturating_sub(asked);
                self.flows = claims.taken.len() >= LARGEST_SEARCH;
                self.start(claims, asked);
            }
            Event::Searched(Search { asked, found: Err(error) }) => {
                self.asked = self.asked.saturating_sub(asked);
                self.flows = false;
                let what = format!("the pool {} cannot look for jobs", self.wanted.queues);
                self.troubles
                    .report(Trouble::new(TroubleKind::StoreUnavailable, what).because(error));
                self.hungry = true;
                self.hold_off(Pause::LONGEST);
                self.asking.append(&mut self.answering);
            }
            Event::LookedAhead(times) => {
                self.timetable.refill(times);
                // What fell due while the store looked ahead is in neither answer.
                self.hungry = true;
                if std::mem::take(&mut self.look_again) {
                    self.look_ahead();
                }
            }
            Event::LocksChanged => self.heed_locks(),
            Event::Ready => self.not_before = None,
        }
    }

    /// Puts the next search off, longer each time in a row.
    fn hold_off(&mut self, longest: Duration) {
        self.not_before = Some(Instant::now() + self.pause.lengthen(longest));
    }

    fn start(&mut self, claims: Claims, asked: usize) {
        let (found, now) = (claims.taken.len(), self.clock.now());
        self.state.send_modify(|state| {
            state.last_search_at = Some(now);
            if found == 0 {
                state.empty += 1;
            } else {
                state.last_active = Instant::now();
            }
        });
        // A full catch means that there may be more; held locks, that there is.
        self.hungry |= found == asked || claims.contended > 0;
        if found > 0 || claims.contended == 0 {
            self.pause.reset();
        }
        if claims.contended > 0 {
            self.hold_off(LONGEST_CONTENDED);
        }
        let is_over = found == 0 && claims.contended == 0 && claims.look_again.is_none();
        self.hungry |= claims.look_again == Some(Duration::ZERO);
        self.search_at = claims.look_again.map(|wait| Instant::now() + wait);
        if is_over && self.running.is_empty() {
            for answer in self.answering.drain(..) {
                // Who has stopped waiting needs no answer.
                let _ = answer.send(());
            }
        } else {
            self.asking.append(&mut self.answering);
        }
        self.settler.meter.claimed(found);
        for attempt in self.attempts(claims) {
            self.ahead.push(attempt);
        }
        // A lock may have been lost between the claim and now.
        self.heed_locks();
    }

    /// Begins what waits, as far as there are slots.
    fn begin_next(&mut self) {
        while self.running.len() < self.slots.get() {
            let Some(attempt) = self.ahead.pop() else { return };
            let (lost, token) = (CancellationToken::new(), attempt.claim().token);
            self.lost.insert(token, lost.clone());
            let performer = Arc::clone(&self.performer);
            // Boxed: a task copies its future more than once, and this one is large.
            self.running.spawn(Box::pin(async move {
                let begun = Instant::now();
                let performed = performer.perform(attempt, lost).await;
                Finish { performed, token, took: begun.elapsed() }
            }));
        }
    }

    /// Takes charge of claims: from here on each is settled or released.
    fn attempts(&self, claims: Claims) -> Vec<Attempt> {
        let mut attempts = Vec::with_capacity(claims.taken.len());
        for claim in claims.taken {
            let permit = Arc::clone(self.settler.room()).try_acquire_owned();
            match permit {
                Ok(permit) => attempts.push(Attempt::new(claim, self.settler.clone(), permit)),
                // Pools may outbid each other for the last permits; the loser's job is given back.
                Err(_) => self.settler.send(Ended::Release(claim.token), None),
            }
        }
        attempts
    }

    /// All attempts that have ended by now, this one first: at full speed each turn of the loop has many.
    fn ended_since(&mut self, first: Finish) -> Vec<Finish> {
        let mut ended = vec![first];
        while let Some(done) = self.running.try_join_next() {
            match done {
                Ok(finish) => ended.push(finish),
                Err(error) => self.troubles.panicked("an attempt's task", error),
            }
        }
        ended
    }

    fn finished(&mut self, ended: &[Finish]) {
        let (mut succeeded, mut errored) = (0, 0);
        for Finish { performed, token, took } in ended {
            self.lost.remove(token);
            match performed {
                Performed::Unstarted => continue,
                Performed::Succeeded => succeeded += 1,
                Performed::Errored | Performed::CutOff => errored += 1,
            }
            self.ahead.measure(*took);
        }
        if succeeded + errored == 0 {
            return;
        }
        let now = self.clock.now();
        self.state.send_modify(|state| {
            state.last_execution_at = Some(now);
            state.last_active = Instant::now();
            state.succeeded += succeeded;
            state.errored += errored;
        });
    }

    fn heed_locks(&mut self) {
        let locks = self.locks.borrow_and_update();
        for (token, lost) in &self.lost {
            if locks.health == Health::Lost || locks.lost.contains(token) {
                lost.cancel();
            }
        }
        // What has not begun is safe in anybody's hands.
        self.ahead.give_back(|attempt| {
            locks.health != Health::Confirmed || locks.lost.contains(&attempt.claim().token)
        });
    }

    /// Begins a search if there is reason for one and nothing in the way; says whether it did.
    fn search_if_possible(&mut self) -> bool {
        let free = self.slots.get().saturating_sub(self.running.len());
        let room = self.settler.room().available_permits();
        let room_ahead = self.ahead.room(self.slots.get(), free, self.asked);
        let asked = room_ahead.min(LARGEST_SEARCH).min(room.saturating_sub(self.asked));
        let paused = self.not_before.is_some_and(|at| at > Instant::now());
        self.hungry |= !self.asking.is_empty() && self.running.is_empty();
        self.starved = free > 0 && room == 0;
        let possible = match self.searches.len() {
            0 => self.hungry && asked > 0,
            // Whoever asks is answered by a search that begins later.
            1 => self.flows && asked == LARGEST_SEARCH && self.asking.is_empty(),
            _ => false,
        };
        if !possible || paused {
            return false;
        }
        if self.locks.borrow().health != Health::Confirmed {
            // `locks.changed()` wakes the loop when they are.
            return false;
        }
        (self.hungry, self.not_before, self.search_at) = (false, None, None);
        self.asked += asked;
        self.answering.append(&mut self.asking);
        let (store, wanted) = (Arc::clone(&self.store), self.wanted.clone());
        self.searches
            .spawn(async move { Search { asked, found: store.claim(&wanted, asked).await } });
        true
    }

    /// Asks for future jobs, until there is an answer.
    fn look_ahead(&mut self) {
        if self.max_cache == 0 {
            return;
        }
        if !self.lookahead.is_empty() {
            self.look_again = true;
            return;
        }
        let (store, wanted, max) = (Arc::clone(&self.store), self.wanted.clone(), self.max_cache);
        let troubles = self.troubles.clone();
        self.lookahead.spawn(async move {
            let mut pause = Pause::starting_at(FIRST_PAUSE);
            loop {
                match store.upcoming(&wanted, max).await {
                    Ok(times) => return times,
                    Err(error) => {
                        let what =
                            format!("the pool {} cannot look for future jobs", wanted.queues);
                        troubles.report(
                            Trouble::new(TroubleKind::StoreUnavailable, what).because(error),
                        );
                    }
                }
                tokio::time::sleep(pause.lengthen(Pause::LONGEST)).await;
            }
        });
    }

    fn report(&self) {
        let (active, cached) = (self.running.len(), self.timetable.len());
        self.state.send_if_modified(|state| {
            let changed = (state.active, state.cached) != (active, cached);
            (state.active, state.cached) = (active, cached);
            changed
        });
    }

    /// Takes nothing new: what a search under way brings is given back un-run.
    ///
    /// At the cut the performers wind up within two graces. Who has not by then has a body that
    /// blocks its thread, and dropping the attempt puts the job back. Returns what was cut off.
    async fn drain(mut self, cut: CancellationToken) -> Vec<JobId> {
        self.lookahead.abort_all();
        self.ahead.reset();
        let mut cut_off = Vec::new();
        let grace = self.performer.cancel_grace * 2 + FIRST_PAUSE;
        let patience = async {
            cut.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::pin!(patience);
        let mut is_patient = true;
        while !(self.searches.is_empty() && self.running.is_empty()) {
            tokio::select! {
                biased;
                Some(search) = self.searches.join_next() => if let Ok(Search { found: Ok(claims), .. }) = search {
                    drop(self.attempts(claims));
                },
                Some(done) = self.running.join_next() => match done {
                    Ok(finish) => {
                        if finish.performed == Performed::CutOff && cut.is_cancelled() {
                            cut_off.push(finish.token.job);
                        }
                        self.finished(&[finish]);
                    }
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => self.troubles.panicked("an attempt's task", error),
                },
                () = &mut patience, if is_patient => {
                    is_patient = false;
                    self.searches.abort_all();
                    self.running.abort_all();
                }
                Ok(()) = self.locks.changed() => self.heed_locks(),
            }
            self.report();
        }
        cut_off.extend(self.lost.keys().map(|token| token.job));
        cut_off
    }
}

/// Waits until a search may start that is not possible now. Whether it is starved of room is asked
/// when the search is put off and not here: room that comes in between would never be noticed.
async fn ready(not_before: Option<Instant>, starved: bool, settler: &SettlerHandle) {
    match not_before {
        Some(at) => tokio::time::sleep_until(at).await,
        None if starved => drop(settler.room().acquire().await),
        // All slots are taken or the locks are unconfirmed; the loop hears of both in other ways.
        None => std::future::pending().await,
    }
}
