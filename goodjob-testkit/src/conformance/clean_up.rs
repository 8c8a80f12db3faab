//! Deleting finished jobs that were kept long enough.

use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{
    Cleaned, ErrorEvent, Fate, Inspect, JobId, JobRecord, Retention, Store, Timestamp,
};

use super::trial::{any, job, note, planted};
use super::{Member, Subject, Trial};
use crate::eventually;

/// More than any case has.
const ALL: usize = 1_000;

/// Whatever ended this long ago, however it did.
fn older_than(age: Duration) -> Retention {
    Retention { age, keep_discarded: false }
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 60 * 60)
}

fn jobs(jobs: u64, executions: u64) -> Cleaned {
    Cleaned { jobs, executions, batches: 0 }
}

/// Stores a job that ended so many hours ago.
async fn ended<S: Subject>(trial: &Trial<S>, now: Timestamp, hours: i64) -> JobRecord {
    let mut row = planted(now);
    row.finished_at = Some(now - TimeDelta::hours(hours));
    row.performed_at = row.finished_at;
    trial.subject().plant(row.clone()).await;
    row
}

async fn is_there<S: Subject>(member: &Member<S>, id: JobId) -> bool {
    member.store.job(id).await.expect("a look at a job").is_some()
}

async fn clean<S: Subject>(member: &Member<S>, keep: &Retention, limit: usize) -> Cleaned {
    member.store.clean_up(keep, limit).await.expect("a clean-up")
}

/// By the store's own clock, and however they ended.
pub async fn old_jobs_go_with_their_attempts<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    member.insert_all(&[job(), job()]).await;
    let claims = member.claim(&any(), 2).await;
    member.settle(claims[0].token, Fate::Succeed).await;
    let error = note(ErrorEvent::Unhandled);
    member.settle(claims[1].token, Fate::Discard { error }).await;
    let old = ended(trial, member.beat().await, 3).await;

    assert_eq!(clean(&member, &older_than(hours(2)), ALL).await, jobs(1, 0));
    assert!(!is_there(&member, old.id).await);
    assert_eq!(clean(&member, &older_than(Duration::ZERO), ALL).await, jobs(2, 2));
    for claim in claims {
        assert!(!is_there(&member, claim.job.id).await);
        assert!(member.attempts(claim.job.id).await.is_empty());
    }
    assert!(clean(&member, &older_than(Duration::ZERO), ALL).await.is_empty());
}

/// However old it is: only its end counts.
pub async fn what_is_young_or_unfinished_stays<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let now = member.beat().await;
    let young = ended(trial, now, 1).await;
    let mut waiting = planted(now - TimeDelta::days(400));
    waiting.error = Some("Weather::Bad: wet".to_owned());
    trial.subject().plant(waiting.clone()).await;
    let running = member.claim_one().await;
    assert_eq!(running.job.id, waiting.id);
    let mut timeless = planted(now - TimeDelta::days(400));
    timeless.scheduled_at = None;
    trial.subject().plant(timeless.clone()).await;

    assert!(clean(&member, &older_than(hours(2)), ALL).await.is_empty());
    assert_eq!(clean(&member, &older_than(Duration::ZERO), ALL).await, jobs(1, 0));
    assert!(!is_there(&member, young.id).await);
    for id in [waiting.id, timeless.id] {
        assert!(is_there(&member, id).await);
    }
    // A store may write an attempt's row some time after its start.
    eventually("the running attempt", Trial::<S>::PATIENCE, async || {
        (member.attempts(waiting.id).await.len() == 1).then_some(())
    })
    .await;
}

/// For ever; with those that succeeded it goes on.
pub async fn discarded_jobs_stay_when_they_are_to_be_kept<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let now = member.beat().await;
    let succeeded = ended(trial, now, 9).await;
    let mut discarded = planted(now);
    discarded.finished_at = Some(now - TimeDelta::hours(9));
    discarded.error = Some("Weather::Bad: wet".to_owned());
    trial.subject().plant(discarded.clone()).await;

    let keep = Retention { age: hours(1), keep_discarded: true };
    assert_eq!(clean(&member, &keep, ALL).await, jobs(1, 0));
    assert!(!is_there(&member, succeeded.id).await);
    assert!(clean(&member, &keep, ALL).await.is_empty());
    assert!(is_there(&member, discarded.id).await);
    assert_eq!(clean(&member, &older_than(hours(1)), ALL).await, jobs(1, 0));
}

/// So that nobody waits for a long one.
pub async fn the_oldest_go_first_and_no_more_than_asked_for<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    let now = member.beat().await;
    let mut rows = Vec::new();
    for hours in [4, 6, 3, 5, 2] {
        rows.push((hours, ended(trial, now, hours).await.id));
    }
    let mut left = vec![2, 3, 4, 5, 6];
    for (limit, deleted) in [(2, 2), (2, 2), (2, 1), (2, 0)] {
        assert_eq!(clean(&member, &older_than(hours(1)), limit).await, jobs(deleted, 0));
        left.truncate(left.len() - deleted as usize);
        for (hours, id) in &rows {
            assert_eq!(is_there(&member, *id).await, left.contains(hours), "{hours} hours old");
        }
    }
    assert!(clean(&member, &older_than(Duration::ZERO), 0).await.is_empty());
}

/// Each job is deleted once, and nobody fails.
pub async fn processes_that_clean_up_at_once_share_the_jobs<S: Subject>(trial: &Trial<S>) {
    let members = [trial.member().await, trial.member().await, trial.member().await];
    let now = members[0].beat().await;
    for _ in 0..60 {
        ended(trial, now, 2).await;
    }
    let tasks = members.map(|member| {
        tokio::spawn(async move {
            let mut all = Cleaned::default();
            loop {
                match clean(&member, &older_than(hours(1)), 7).await {
                    none if none.is_empty() => return all,
                    cleaned => all += cleaned,
                }
            }
        })
    });
    let mut all = Cleaned::default();
    for task in tasks {
        all += task.await.expect("a clean-up");
    }
    assert_eq!(all, jobs(60, 0));
}

/// A setting of "for ever" is no error.
pub async fn an_age_beyond_every_calendar_deletes_nothing<S: Subject>(trial: &Trial<S>) {
    let member = trial.member().await;
    ended(trial, member.beat().await, 9).await;
    for age in [Duration::MAX, Duration::from_secs(u64::from(u32::MAX) * 100)] {
        assert!(clean(&member, &older_than(age), ALL).await.is_empty());
    }
}
