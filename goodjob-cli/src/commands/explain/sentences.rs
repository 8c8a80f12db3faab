//! Reasons in words.

use std::time::Duration;

use goodjob_core::Timestamp;
use goodjob_postgres::jobs::{Line, LockHolder, LockKind, PauseKind, Restraint, Why};
use goodjob_postgres::roster::{Member, Pulse};
use indicatif::HumanCount;

use crate::commands::jobs::show::holder;
use crate::commands::jobs::words::moment;

/// The reason in a sentence.
pub(super) fn sentence(why: &Why, now: Timestamp) -> String {
    match why {
        Why::Finished { outcome, .. } => format!("it is over: {outcome}"),
        Why::NotDue { scheduled_at: Some(at) } => {
            format!("it is not due before {}", moment(*at, now))
        }
        Why::NotDue { scheduled_at: None } => "it has no time, and is never run".to_owned(),
        Why::WaitingForRetry { attempts, .. } => {
            format!("it failed, and waits to be tried again after {attempts} of its attempts")
        }
        Why::LimitHeld(restraint) => limit(restraint),
        Why::Throttled(_) => "a throttle turned it away, and it waits to be tried again".to_owned(),
        Why::Running { pulse, .. } => running(*pulse).to_owned(),
        Why::Locked { by: LockKind::Advisory, .. } => {
            "a session has its lock, and no process owns it".to_owned()
        }
        Why::Locked { by: LockKind::Row, .. } => {
            "a session has its row in an open transaction, and workers pass it over".to_owned()
        }
        Why::Paused { by, name } => format!("its {} {name:?} is paused", paused(*by)),
        Why::QueueNotServed { queue, processes } => {
            match processes.iter().any(Member::is_at_work) {
                true => format!("no live process takes {}", queue_name(queue.as_deref())),
                false => "no live process is there to run it; start a worker".to_owned(),
            }
        }
        Why::ClassUnknown { class, queue, .. } => {
            let queue = queue_name(queue.as_deref());
            format!("no live process that takes {queue} knows its class {class:?}")
        }
        Why::ClassNotTold { class, .. } => format!(
            "no goodjob process that takes its queue knows its class {class:?}; a Ruby process may, which \
             does not say, and would discard the job if not"
        ),
        Why::Behind(line) => place(line),
        _ => "for a reason that this version has no words for".to_owned(),
    }
}

fn limit(restraint: &Restraint) -> String {
    match restraint.error {
        Some(_) => "a limit turned it away, and it waits to be tried again".to_owned(),
        None => {
            "jobs with the same concurrency key or label run: if there is a limit, they may hold it"
                .to_owned()
        }
    }
}

fn running(pulse: Pulse) -> &'static str {
    match pulse {
        Pulse::Alive => "it is running",
        Pulse::Unconfirmed => "its process has lost its sessions, and may be reconnecting or dead",
        Pulse::Frozen => {
            "its process is frozen: it says nothing any more, and its death is not proved"
        }
        Pulse::Dead => "its process is dead, and nobody has freed it yet",
    }
}

fn paused(by: PauseKind) -> &'static str {
    match by {
        PauseKind::Queue => "queue",
        PauseKind::Class => "class",
        PauseKind::Label => "label",
    }
}

fn place(line: &Line) -> String {
    let count = HumanCount(u64::try_from(line.jobs).unwrap_or(0));
    match (line.jobs, line.more) {
        (0, false) => "it is next in line".to_owned(),
        (1, false) => "it is behind 1 job".to_owned(),
        (_, false) => format!("it is behind {count} jobs"),
        (_, true) => format!("it is behind more than {count} jobs"),
    }
}

/// What shows it, a line each.
pub(super) fn evidence(why: &Why, now: Timestamp) -> Vec<String> {
    match why {
        Why::Finished { finished_at, error, .. } => {
            let error = error.iter().map(|error| format!("error: {error}"));
            [format!("ended {}", moment(*finished_at, now))].into_iter().chain(error).collect()
        }
        Why::WaitingForRetry { error, .. } => vec![format!("error: {error}")],
        Why::LimitHeld(restraint) | Why::Throttled(restraint) => restrained(restraint, now),
        Why::Running { owner, process, started_at, sessions, .. } => {
            let process = match process {
                Some(process) => member(process),
                None => format!("process {owner}: no row tells of it"),
            };
            let started = started_at.map(|at| format!("started {}", moment(at, now)));
            [process].into_iter().chain(started).chain(locks(sessions)).collect()
        }
        Why::Locked { sessions, .. } => locks(sessions).collect(),
        Why::QueueNotServed { processes, .. } => processes.iter().map(member).collect(),
        Why::ClassUnknown { serving, knowing, .. } => {
            let knowing = knowing.iter().map(|known| format!("knows it: {}", member(known)));
            serving.iter().map(member).chain(knowing).collect()
        }
        Why::ClassNotTold { silent, .. } => silent.iter().map(member).collect(),
        Why::Behind(line) => pace(line),
        _ => Vec::new(),
    }
}

fn restrained(restraint: &Restraint, now: Timestamp) -> Vec<String> {
    let key = restraint.key.iter().map(|key| format!("concurrency key {key:?}"));
    let labels =
        (!restraint.labels.is_empty()).then(|| format!("labels {}", restraint.labels.join(", ")));
    let others = restraint.others.iter().map(|other| {
        let class = other.class.as_deref().unwrap_or("(no class)");
        format!("job {} {class}, started {}", other.id, moment(other.started_at, now))
    });
    let more = restraint.more.then(|| "and more".to_owned());
    key.chain(labels).chain(others).chain(more).collect()
}

fn locks(sessions: &[LockHolder]) -> impl Iterator<Item = String> {
    sessions.iter().map(|session| format!("lock {}", holder(session)))
}

fn pace(line: &Line) -> Vec<String> {
    let busy = match line.busy {
        Some(busy) => format!("{busy} of {} slots busy at the last heartbeats", line.slots),
        None => format!("{} slots, of which a process does not say how many are busy", line.slots),
    };
    let rate = match line.rate {
        Some(rate) => format!(
            "{} jobs ended there in {}, {:.2} a second",
            HumanCount(u64::try_from(rate.finished).unwrap_or(0)),
            span(rate.within_seconds),
            rate.per_second
        ),
        None => {
            "the rate is not known: no job of these queues that kept its row ended in 5m".to_owned()
        }
    };
    vec![format!("pools of {}: {busy}", line.queues), rate]
}

/// A process in one line.
fn member(member: &Member) -> String {
    let pulse = match member.pulse {
        Pulse::Alive => "alive",
        Pulse::Unconfirmed => "unconfirmed",
        Pulse::Frozen => "frozen",
        Pulse::Dead => "dead",
    };
    let host = member.hostname.as_deref().map(|host| format!(" on {host}")).unwrap_or_default();
    let pid = member.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    let runtime = member.runtime.as_deref().unwrap_or("Ruby");
    let queues: Vec<_> = member.pools.iter().map(|pool| pool.queues.as_str()).collect();
    let (beat, queues) = (span(member.beat_seconds_ago), queues.join(";"));
    format!(
        "process {}{host}{pid} ({runtime}): {pulse}, last beat {beat} ago, takes {queues}",
        member.id
    )
}

fn queue_name(queue: Option<&str>) -> String {
    match queue {
        Some(queue) => format!("the queue {queue:?}"),
        None => "jobs without a queue".to_owned(),
    }
}

/// Whole seconds, which is as fine as a person wants it.
fn span(seconds: f64) -> String {
    // Saturates, and is 0 for what a clock that was set back makes negative.
    humantime::format_duration(Duration::from_secs(seconds as u64)).to_string()
}
