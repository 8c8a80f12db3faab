//! The stage of a case: the processes in it, and the questions that every case asks.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use goodjob_core::{
    Arguments, Claim, ErrorEvent, ErrorNote, ExecutionRecord, Fate, Inspect, JobId, JobRecord,
    NewJob, Options, Payload, ProcessRecord, QueueSelector, Settled, Settlement, Store, Ties,
    Timestamp, Token, Wanted,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Subject;
use crate::eventually;

/// The class of the suite's jobs.
pub(super) const CLASS: &str = "ConformanceJob";

/// One case's run against one subject.
pub struct Trial<S: Subject> {
    subject: S,
    present: Mutex<Vec<Member<S>>>,
}

/// A process that takes part.
pub struct Member<S: Subject> {
    /// Its view of the data.
    pub store: Arc<S::Store>,
    /// What it says at each beat.
    pub process: ProcessRecord,
}

impl<S: Subject> Clone for Member<S> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), process: self.process.clone() }
    }
}

impl<S: Subject> Trial<S> {
    /// The longest that a case waits for something which has to happen.
    pub const PATIENCE: Duration = Duration::from_secs(30);

    pub(super) fn new(subject: S) -> Self {
        Self { subject, present: Mutex::default() }
    }

    pub(super) async fn finish(self) {
        for member in self.present.into_inner() {
            member.store.leave(&member.process).await.expect("a process leaves");
        }
        self.subject.finish().await;
    }

    /// The backend itself.
    pub fn subject(&self) -> &S {
        &self.subject
    }

    /// A new process that has beaten once.
    pub async fn member(&self) -> Member<S> {
        let member = self.stranger().await;
        member.beat().await;
        self.present.lock().await.push(member.clone());
        member
    }

    /// A new process that has not made itself known.
    pub(super) async fn stranger(&self) -> Member<S> {
        let process = ProcessRecord::new("conformance");
        Member { store: self.subject.another().await, process }
    }

    /// Ends a process without a farewell.
    pub(super) async fn kill(&self, member: Member<S>) {
        self.forget(&member).await;
        self.subject.kill(member.store, member.process).await;
    }

    /// Lets a process leave.
    pub(super) async fn leave(&self, member: Member<S>) {
        self.forget(&member).await;
        member.store.leave(&member.process).await.expect("a process leaves");
    }

    async fn forget(&self, member: &Member<S>) {
        self.present.lock().await.retain(|other| other.process.id != member.process.id);
    }
}

impl<S: Subject> Member<S> {
    pub(super) async fn beat(&self) -> Timestamp {
        self.store.beat(&self.process).await.expect("a beat")
    }

    pub(super) async fn insert(&self, job: &NewJob) -> JobRecord {
        self.insert_all(std::slice::from_ref(job)).await;
        self.row(job.id).await
    }

    pub(super) async fn insert_all(&self, jobs: &[NewJob]) {
        self.store.insert(jobs).await.expect("an insert");
    }

    pub(super) async fn row(&self, id: JobId) -> JobRecord {
        self.store.job(id).await.expect("a look at a job").expect("the job is stored")
    }

    pub(super) async fn attempts(&self, id: JobId) -> Vec<ExecutionRecord> {
        self.store.executions(id).await.expect("a look at attempts")
    }

    /// What a search brings that neither is hindered by a lock that somebody holds for a moment nor looked
    /// only where it expected jobs.
    pub(super) async fn claim(&self, wanted: &Wanted, max: usize) -> Vec<Claim> {
        eventually("a claim that meets no held lock", Trial::<S>::PATIENCE, async || {
            let claims = self.store.claim(wanted, max).await.map_err(|error| error.to_string())?;
            match (claims.taken.is_empty(), claims.contended, claims.look_again) {
                (true, held @ 1.., _) => Err(format!("{held} held locks")),
                (true, 0, Some(wait)) => Err(format!("perhaps some in {wait:?}")),
                _ => Ok(claims.taken),
            }
        })
        .await
    }

    /// Those of these jobs that can be taken.
    pub(super) async fn claim_jobs(&self, jobs: &[JobId]) -> Vec<Claim> {
        let claims =
            eventually("a claim of certain jobs", Trial::<S>::PATIENCE, async || {
                match self.store.claim_jobs(jobs, &any()).await {
                    Err(error) if error.is_transient() => Err(error.to_string()),
                    answer => Ok(answer),
                }
            });
        claims.await.expect("claims").taken
    }

    /// The jobs that a search brings, in its order.
    pub(super) async fn claim_ids(&self, wanted: &Wanted, max: usize) -> Vec<JobId> {
        self.claim(wanted, max).await.iter().map(|claim| claim.job.id).collect()
    }

    /// The one job of the suite that is due.
    pub(super) async fn claim_one(&self) -> Claim {
        let mut claims = self.claim(&any(), 2).await;
        assert_eq!(claims.len(), 1, "one job is due");
        claims.remove(0)
    }

    /// The job of a process that died, as soon as beats have freed it.
    pub(super) async fn inherit(&self, id: JobId) -> Claim {
        eventually("the job of a dead process to be free", Trial::<S>::PATIENCE, async || {
            self.beat().await;
            let claims = self.store.claim(&any(), 9).await.map_err(|error| error.to_string())?;
            match claims.taken.into_iter().next() {
                Some(claim) if claim.job.id == id => Ok(claim),
                Some(other) => Err(format!("another job, {}", other.job.id)),
                None => Err(format!("the row {:?}", self.row(id).await)),
            }
        })
        .await
    }

    pub(super) async fn settle(&self, token: Token, job: Fate) -> Settled {
        let ended = [(token, Settlement { job, keep: true, duration: TOOK })];
        self.store.settle(&ended).await.expect("a settle")[0]
    }

    pub(super) async fn release(&self, token: Token) {
        self.store.release(&[token]).await.expect("a release");
    }
}

/// How long the suite says that attempts took.
pub(super) const TOOK: Duration = Duration::from_micros(1_234_567);

/// A job on the default queue, due now.
pub(super) fn job() -> NewJob {
    job_of(CLASS, Options::new())
}

/// A job on `queue`, due now.
pub(super) fn job_on(queue: &str) -> NewJob {
    job_of(CLASS, Options::new().queue(queue))
}

pub(super) fn job_of(class: &str, options: Options) -> NewJob {
    NewJob::of_class(class, Arguments::default(), options).expect("a job that can be stored")
}

/// A row as another client may have written it, due a minute ago.
pub(super) fn planted(now: Timestamp) -> JobRecord {
    let id = JobId::generate();
    let due = now - TimeDelta::minutes(1);
    JobRecord {
        id,
        class: CLASS.to_owned(),
        queue: Some("default".to_owned()),
        priority: Some(0),
        payload: Payload::from_value(json!({
            "job_class": CLASS, "job_id": id, "queue_name": "default", "priority": null,
            "arguments": [], "executions": 0, "exception_executions": {},
        })),
        labels: Vec::new(),
        ties: Ties::default(),
        created_at: due,
        scheduled_at: Some(due),
        performed_at: None,
        finished_at: None,
        error: None,
        error_event: None,
        executions_count: 0,
        locked_by: None,
    }
}

/// Every queue's jobs of the suite's class.
pub(super) fn any() -> Wanted {
    wanted(QueueSelector::All)
}

pub(super) fn wanted(queues: QueueSelector) -> Wanted {
    Wanted { queues, classes: vec![CLASS.to_owned()] }
}

pub(super) fn note(event: ErrorEvent) -> ErrorNote {
    let backtrace = vec!["app.rs:7:1".to_owned(), "caused by: rain".to_owned()];
    ErrorNote::new("Weather::Bad", "wet: and cold", backtrace, event)
}

/// Whether two times are the same but for the time that a statement takes.
pub(super) fn near(one: Timestamp, other: Timestamp) -> bool {
    (one - other).abs() <= TimeDelta::seconds(1)
}

#[track_caller]
pub(super) fn assert_near(what: &str, found: Option<Timestamp>, expected: Timestamp) {
    let found = found.unwrap_or_else(|| panic!("{what}: found none, expected about {expected}"));
    assert!(near(found, expected), "{what}: found {found}, expected about {expected}");
}

/// An envelope without its times, which a store renews at a retry.
pub(super) fn timeless(payload: &Payload) -> Value {
    let mut value = payload.clone().into_value();
    if let Value::Object(map) = &mut value {
        map.remove("enqueued_at");
        map.remove("scheduled_at");
    }
    value
}
