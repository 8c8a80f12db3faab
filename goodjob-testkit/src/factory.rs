//! Things to test with, made from sequences: the same ones in every run.
//!
//! | | makes |
//! |---|---|
//! | [`User`] | somebody for whom an application works; the example to write your own factories by |
//! | [`job()`], [`execution()`], [`batch()`], [`process()`], [`tick()`], [`cron()`] | rows of goodjob |
//! | [`id()`], [`time()`] | ids and times that are in order |
//!
//! What they return are plain values: change the fields that a test is about by `..factory::job()`.
//!
//! ```
//! use goodjob_core::JobRecord;
//! use goodjob_testkit::{Sequences, factory};
//!
//! let _rewound = Sequences::rewound();
//! let urgent = JobRecord { priority: Some(-10), ..factory::job() };
//! let later = factory::job();
//! assert!(urgent.id < later.id && urgent.created_at < later.created_at);
//! ```

use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{
    Arguments, BatchRecord, BatchSpec, CronEntry, ExecutionRecord, JobRecord, NewJob, Options,
    Tick, Timestamp,
};
use serde_json::json;
use uuid::Uuid;

use crate::dice::epoch;
use crate::rows::ProcessRow;
use crate::sequence::Sequence;

/// First names of people.
pub static FIRST_NAME: Sequence<&str> = Sequence::new("first_name", |_, dice| {
    *dice.pick(&[
        "Ada", "Alan", "Annie", "Barbara", "Dennis", "Donald", "Edith", "Edsger", "Emmy",
        "Frances", "Grace", "Hedy", "Ida", "Jean", "John", "Kathleen", "Ken", "Leslie", "Lynn",
        "Margaret", "Mary", "Niklaus", "Radia", "Robin", "Rosalind", "Sophie", "Tony", "Yukihiro",
    ])
});

/// Last names of people.
pub static LAST_NAME: Sequence<&str> = Sequence::new("last_name", |_, dice| {
    *dice.pick(&[
        "Allen",
        "Booth",
        "Clarke",
        "Conway",
        "Curry",
        "Dijkstra",
        "Easley",
        "Franklin",
        "Hamilton",
        "Hoare",
        "Holberton",
        "Hopper",
        "Kay",
        "Keller",
        "Knuth",
        "Lamarr",
        "Lamport",
        "Liskov",
        "Lovelace",
        "Matsumoto",
        "McCarthy",
        "Milner",
        "Noether",
        "Perlman",
        "Ritchie",
        "Thompson",
        "Turing",
        "Wilson",
        "Wirth",
    ])
});

static ID: Sequence<Uuid> =
    Sequence::new("id", |n, dice| dice.uuid(moment(n, TimeDelta::milliseconds(1))));
static TIME: Sequence<Timestamp> = Sequence::new("time", |n, _| moment(n, TimeDelta::seconds(1)));
static JOB: Sequence<(u64, Uuid, Timestamp)> = Sequence::new("job", |n, dice| {
    let at = moment(n, TimeDelta::seconds(1));
    (n, dice.uuid(at), at)
});
static PID: Sequence<u32> =
    Sequence::new("pid", |_, dice| u32::try_from(dice.between(300, 32_000)).unwrap_or(300));

/// Somebody for whom an application works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their first name, from [`FIRST_NAME`].
    pub first_name: String,
    /// Their last name, from [`LAST_NAME`].
    pub last_name: String,
    /// Their address: both names in lower case, joined by a dot, at `example.org`.
    pub mail: String,
    /// Always [`User::PASSWORD`].
    pub password: String,
}

impl User {
    /// The password of every user.
    pub const PASSWORD: &'static str = "correct horse battery staple";

    /// The next user.
    #[must_use]
    pub fn draw() -> Self {
        Self::called(FIRST_NAME.draw(), LAST_NAME.draw())
    }

    /// A user of these names.
    #[must_use]
    pub fn called(first_name: &str, last_name: &str) -> Self {
        Self {
            first_name: first_name.to_owned(),
            last_name: last_name.to_owned(),
            mail: format!("{first_name}.{last_name}@example.org").to_lowercase(),
            password: Self::PASSWORD.to_owned(),
        }
    }
}

/// The next id. Ids are of version 7, by a clock that ticks a millisecond for each: they are in the order in
/// which they are drawn.
#[must_use]
pub fn id() -> Uuid {
    ID.draw()
}

/// The next time, a second after the one before. The first is 2026-01-05 09:00:01 UTC, a Monday.
#[must_use]
pub fn time() -> Timestamp {
    TIME.draw()
}

/// The next job: of the class `WelcomeJob`, for the user of its number, in the queue `default`, enqueued
/// a second after the one before, due at once, and waiting.
///
/// # Panics
/// Never: its arguments can be stored.
#[must_use]
pub fn job() -> JobRecord {
    let (n, id, at) = JOB.draw();
    let keywords = json!({"user_id": n}).as_object().cloned().unwrap_or_default();
    let arguments = Arguments::keywords(keywords).expect("a number can be stored");
    let new = NewJob::of_class("WelcomeJob", arguments, Options::new());
    let new = NewJob { id: id.into(), ..new.expect("a small job can be stored") };
    JobRecord::stored(&new, at)
}

/// An attempt at a job that started when the job says, or 50 ms after it was due, and succeeded in
/// 120 ms.
#[must_use]
pub fn execution(job: &JobRecord) -> ExecutionRecord {
    let due = job.scheduled_at.unwrap_or(job.created_at);
    let started_at = job.performed_at.unwrap_or(due + TimeDelta::milliseconds(50));
    let duration = Duration::from_millis(120);
    ExecutionRecord {
        id: id().into(),
        job: job.id,
        process: job.locked_by,
        scheduled_at: Some(due),
        started_at,
        finished_at: Some(started_at + TimeDelta::milliseconds(120)),
        duration: Some(duration),
        error: None,
        error_event: None,
        backtrace: Vec::new(),
    }
}

/// A batch that was enqueued when it was made, and waits for its jobs.
#[must_use]
pub fn batch() -> BatchRecord {
    let at = time();
    BatchRecord {
        id: id().into(),
        spec: BatchSpec { description: Some("An import".to_owned()), ..BatchSpec::default() },
        created_at: at,
        updated_at: at,
        enqueued_at: Some(at),
        discarded_at: None,
        jobs_finished_at: None,
        finished_at: None,
    }
}

/// A worker of five slots for all queues that started at one time and last beat at the next.
#[must_use]
pub fn process() -> ProcessRow {
    let state = state("worker-1", PID.draw(), "*", 5, 0);
    ProcessRow { id: id().into(), started_at: time(), beaten_at: time(), state }
}

/// What a worker of one pool says of itself, with the keys of the gem (wire contract 7.2).
#[must_use]
pub fn state(host: &str, pid: u32, queues: &str, slots: u32, succeeded: u64) -> serde_json::Value {
    json!({
        "hostname": host,
        "pid": pid,
        "memory": 48_000 + u64::from(pid),
        "proctitle": "goodjob start",
        "preserve_job_records": true,
        "retry_on_unhandled_error": false,
        "schedulers": [{
            "name": format!("goodjob(queues={queues} max_threads={slots})"),
            "queues": queues,
            "max_threads": slots,
            "active_threads": 0,
            "available_threads": slots,
            "max_cache": 10_000,
            "active_cache": 0,
            "available_cache": 10_000,
            "empty_executions_count": 0,
            "errored_executions_count": 0,
            "succeeded_executions_count": succeeded,
            "total_executions_count": succeeded,
            "execution_at": null,
            "check_queue_at": null,
        }],
        "cron_enabled": false,
        "total_succeeded_executions_count": succeeded,
        "total_errored_executions_count": 0,
        "database_connection_pool": {"size": slots, "active": 0},
        "lock_strategy": "hybrid",
        "runtime": "goodjob",
    })
}

/// A tick of the entry `nightly`, at the next time.
#[must_use]
pub fn tick() -> Tick {
    Tick { key: "nightly".to_owned(), at: Some(time()) }
}

/// An entry of cron of this key that enqueues a `NightlyJob` at three every night, UTC.
///
/// # Panics
/// If the key is blank.
#[must_use]
pub fn cron(key: &str) -> CronEntry {
    CronEntry::of_class(key, "0 3 * * * UTC", "NightlyJob", Arguments::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

fn moment(n: u64, step: TimeDelta) -> Timestamp {
    epoch() + step * i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::sequence::Sequences;

    #[test]
    fn the_first_three_people_are_these_in_every_run() {
        let _rewound = Sequences::rewound();
        let names = [(); 3].map(|()| FIRST_NAME.draw());
        assert_eq!(names, ["Ken", "Radia", "Radia"]);
    }

    #[test]
    fn a_mail_is_the_names_in_lower_case_joined_by_a_dot() {
        let _rewound = Sequences::rewound();
        for n in 1..50 {
            let user = User::draw();
            let name = format!("{}.{}", user.first_name, user.last_name).to_lowercase();
            assert_eq!(user.mail, format!("{name}@example.org"));
            assert_eq!(user.first_name, FIRST_NAME.nth(n));
            assert_eq!(user.password, User::PASSWORD);
        }
    }

    #[test]
    fn rows_are_the_same_again_after_a_rewind_and_in_order() {
        let make = || {
            let _rewound = Sequences::rewound();
            let (one, two) = (job(), job());
            assert!(one.id < two.id && one.created_at < two.created_at);
            let attempt = execution(&one);
            (one, two, attempt, batch(), process(), tick(), id())
        };
        assert_eq!(make(), make());
        assert_eq!(cron("nightly").class(), Some("NightlyJob"));
    }

    #[test]
    fn dice_make_no_two_ids_alike() {
        let mut ids: Vec<Uuid> = (0..2_000).map(|n| ID.nth(n)).collect();
        assert!(ids.is_sorted());
        ids.dedup();
        assert_eq!(ids.len(), 2_000);
        assert_ne!(Dice::of("id", 1).number(), Dice::of("job", 1).number());
    }
}
