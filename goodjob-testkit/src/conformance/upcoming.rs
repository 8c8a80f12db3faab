//! Looking ahead.

use chrono::TimeDelta;
use goodjob_core::{Due, Fate, NewJob, Options, QueueSelector, Store, Timestamp, Wanted};

use super::trial::{any, job, job_of, job_on, planted, wanted};
use super::{Member, Subject, Trial};

async fn upcoming<S: Subject>(member: &Member<S>, wanted: &Wanted, limit: usize) -> Vec<Timestamp> {
    member.store.upcoming(wanted, limit).await.expect("a look ahead")
}

fn at(due: Timestamp, mut job: NewJob) -> NewJob {
    job.due = Due::At(due);
    job
}

/// Whatever the priorities.
pub async fn due_times_come_soonest_first_and_limited<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let now = member.beat().await;
    let times: Vec<_> = (1..=5).map(|hours| now + TimeDelta::hours(hours)).collect();
    let jobs = [3, 0, 4, 1, 2].map(|n: usize| {
        let priority = i32::try_from(n).expect("a small number") - 2;
        at(times[n], job_of(super::trial::CLASS, Options::new().priority(-priority)))
    });
    member.insert_all(&jobs).await;
    assert_eq!(upcoming(&member, &any(), 9).await, times);
    assert_eq!(upcoming(&member, &any(), 3).await, times[..3]);
    assert!(upcoming(&member, &any(), 0).await.is_empty());
}

/// By queue and by class.
pub async fn due_times_are_those_of_the_wanted_jobs<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let now = member.beat().await;
    let hour = |n| now + TimeDelta::hours(n);
    let foreign = job_of("Ruby::ForeignJob", Options::new().queue("mice"));
    let jobs = [
        at(hour(1), job_on("mice")),
        at(hour(2), job_on("elephants")),
        at(hour(3), foreign),
        at(hour(4), job_on("whales")),
    ];
    member.insert_all(&jobs).await;
    let mut none = planted(now);
    (none.queue, none.scheduled_at) = (None, Some(hour(5)));
    trial.subject().plant(none).await;

    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let both = names(&["whales", "mice"]);
    let rows = [
        (QueueSelector::All, vec![hour(1), hour(2), hour(4), hour(5)]),
        (QueueSelector::Only(both.clone()), vec![hour(1), hour(4)]),
        (QueueSelector::InOrder(both.clone()), vec![hour(1), hour(4)]),
        (QueueSelector::Except(both), vec![hour(2), hour(5)]),
    ];
    for (queues, expected) in rows {
        assert_eq!(upcoming(&member, &wanted(queues.clone()), 9).await, expected, "{queues}");
    }
}

/// Not those that are due, running, finished or have no time.
pub async fn only_waiting_jobs_of_the_future_are_upcoming<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    member.insert_all(&[job(), job()]).await;
    let claims = member.claim(&any(), 2).await;
    member.settle(claims[0].token, Fate::Succeed).await;
    let now = member.beat().await;
    let mut finished = planted(now);
    (finished.scheduled_at, finished.finished_at) = (Some(now + TimeDelta::hours(1)), Some(now));
    trial.subject().plant(finished).await;
    let mut timeless = planted(now);
    timeless.scheduled_at = None;
    trial.subject().plant(timeless).await;
    let later = at(now + TimeDelta::hours(2), job());
    member.insert_all(&[job(), later]).await;
    assert_eq!(upcoming(&member, &any(), 9).await, [now + TimeDelta::hours(2)]);
}
