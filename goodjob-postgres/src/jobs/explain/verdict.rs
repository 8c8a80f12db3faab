//! Facts into reasons. Pure, so that each is tested by itself.

use chrono::TimeDelta;
use goodjob_core::{JobState, ProcessId, Timestamp};

use super::facts::Facts;
use super::limits::{Kind, Restraint};
use super::reason::{LockKind, PauseKind, Reason, Why};
use crate::roster::{EXPIRED, Member, ORPHANED, Pulse, Signs};

/// Processes that are named as evidence.
const NAMED: usize = 20;
/// How long a job whose owner nobody knows is left alone, in seconds: without the lock that such an owner would
/// hold, and where none would be held (`free_ghosts.sql`).
const GHOST: f64 = 15.0;
const GHOST_WITHOUT_LOCK: f64 = 300.0;
/// `good_jobs.lock_type` of owners that hold the job's advisory lock while they run it.
const LOCKING: [Option<i16>; 2] = [Some(0), Some(2)];

/// All reasons but the line, the one that matters most before the others.
pub(super) fn reasons(facts: &Facts, restraint: Option<(Kind, Restraint)>) -> Vec<Reason> {
    if let Some(finished_at) = facts.job.finished_at {
        let outcome = facts.job.state(facts.now);
        debug_assert!(matches!(outcome, JobState::Succeeded | JobState::Discarded));
        let error = facts.job.error.clone();
        return vec![Reason::new(Why::Finished { outcome, finished_at, error }, None)];
    }
    let mut reasons = Vec::new();
    if let Some(owner) = facts.job.locked_by {
        let running = running(facts, owner);
        // Whoever runs it is not kept by anything.
        if matches!(running.why, Why::Running { pulse: Pulse::Alive, .. }) {
            return vec![running];
        }
        reasons.push(running);
    } else {
        reasons.extend(locked(facts));
    }
    let proven = restraint.as_ref().is_some_and(|(_, restraint)| restraint.error.is_some());
    reasons.extend(restraint.map(|(kind, restraint)| restrained(facts, kind, restraint)));
    if !proven && !facts.is_due() {
        reasons.push(not_due(facts));
    }
    reasons.extend(paused(facts));
    reasons.extend(unserved(facts));
    // What may be a limit says less than what is known.
    reasons.sort_by_key(|reason| !reason.keeps());
    reasons
}

fn after(at: Timestamp, seconds: f64) -> Timestamp {
    at + TimeDelta::milliseconds((seconds * 1000.0) as i64)
}

fn running(facts: &Facts, owner: ProcessId) -> Reason {
    let process = facts.members.iter().find(|member| member.id == owner);
    let pulse = owner_pulse(facts, process);
    let earliest_start = match pulse {
        Pulse::Alive | Pulse::Frozen => None,
        Pulse::Unconfirmed | Pulse::Dead => freed(facts, process),
    };
    let why = Why::Running {
        owner,
        process: process.cloned(),
        pulse,
        started_at: facts.job.performed_at,
        sessions: facts.advisory.clone(),
    };
    Reason::new(why, earliest_start)
}

/// Whether the owner lives, by the lock of the job, too.
fn owner_pulse(facts: &Facts, process: Option<&Member>) -> Pulse {
    let locked = facts.is_locked();
    let Some(process) = process else {
        // Somebody deleted its row, which it writes again, or it is long gone.
        return if locked { Pulse::Frozen } else { Pulse::Dead };
    };
    let signs = Signs { locked: process.signs.locked || locked, ..process.signs };
    match signs.pulse() {
        // A Ruby process that would hold the job's lock, and does not: its session is gone.
        Pulse::Alive if !signs.ours && !signs.locked && holds_locks(facts) => Pulse::Unconfirmed,
        Pulse::Frozen if !signs.ours && !signs.locked && holds_locks(facts) => Pulse::Dead,
        pulse => pulse,
    }
}

fn holds_locks(facts: &Facts) -> bool {
    LOCKING.contains(&facts.lock_type)
}

/// When a live goodjob process takes the job from its owner; `None` when there is none that would.
fn freed(facts: &Facts, process: Option<&Member>) -> Option<Timestamp> {
    facts.members.iter().find(|member| member.runtime.is_some() && member.is_at_work())?;
    let at = match process {
        None if holds_locks(facts) => after(facts.owned_since, GHOST),
        None => after(facts.owned_since, GHOST_WITHOUT_LOCK),
        Some(process) if process.signs.gone || process.signs.lock_type == Some(0) => facts.now,
        Some(process) => {
            let patience = if process.signs.ours { ORPHANED } else { EXPIRED };
            after(facts.now, patience - process.beat_seconds_ago)
        }
    };
    Some(at.max(facts.now))
}

fn locked(facts: &Facts) -> Option<Reason> {
    let held = facts.advisory.iter().filter(|session| session.held).cloned();
    let held: Vec<_> = held.collect();
    let (by, sessions) = match (held.is_empty(), facts.row.is_empty()) {
        (false, _) => (LockKind::Advisory, held),
        (true, false) => (LockKind::Row, facts.row.clone()),
        (true, true) => return None,
    };
    Some(Reason::new(Why::Locked { by, sessions }, None))
}

fn restrained(facts: &Facts, kind: Kind, restraint: Restraint) -> Reason {
    // Turned away, it is tried again at its time, and not before.
    let next = facts.job.scheduled_at.filter(|_| restraint.error.is_some());
    let why = match kind {
        Kind::Limit => Why::LimitHeld(restraint),
        Kind::Throttle => Why::Throttled(restraint),
    };
    Reason::new(why, next)
}

fn not_due(facts: &Facts) -> Reason {
    let job = &facts.job;
    let why = match &job.error {
        Some(error) if job.executions_count > 0 => Why::WaitingForRetry {
            error: error.clone(),
            error_event: job.error_event,
            attempts: job.executions_count,
        },
        _ => Why::NotDue { scheduled_at: job.scheduled_at },
    };
    Reason::new(why, job.scheduled_at)
}

fn paused(facts: &Facts) -> Vec<Reason> {
    let (job, pauses) = (&facts.job, &facts.pauses);
    let queue = job.queue.iter().filter(|queue| pauses.queues.contains(queue));
    let class = [&job.class].into_iter().filter(|class| pauses.classes.contains(class));
    let labels = job.labels.iter().filter(|label| pauses.labels.contains(label));
    let by = |by| move |name: &String| Reason::new(Why::Paused { by, name: name.clone() }, None);
    queue
        .map(by(PauseKind::Queue))
        .chain(class.map(by(PauseKind::Class)))
        .chain(labels.map(by(PauseKind::Label)))
        .collect()
}

fn unserved(facts: &Facts) -> Option<Reason> {
    let (class, queue) = (facts.job.class.clone(), facts.job.queue.clone());
    let named = |members: &mut dyn Iterator<Item = &Member>| -> Vec<Member> {
        members.take(NAMED).cloned().collect()
    };
    if facts.serving().next().is_none() {
        let processes = named(&mut facts.members.iter());
        return Some(Reason::new(Why::QueueNotServed { queue, processes }, None));
    }
    if facts.serving().any(|member| member.knows(&class) == Some(true)) {
        return None;
    }
    let silent = named(&mut facts.fit());
    let why = if silent.is_empty() {
        let serving = named(&mut facts.serving());
        let knowing = facts.members.iter().filter(|member| member.is_at_work());
        let knowing = named(&mut knowing.filter(|member| member.knows(&class) == Some(true)));
        Why::ClassUnknown { class, queue, serving, knowing }
    } else {
        Why::ClassNotTold { class, queue, silent }
    };
    Some(Reason::new(why, None))
}
