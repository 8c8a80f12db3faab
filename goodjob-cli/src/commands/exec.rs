//! `goodjob exec`: one attempt at a job that is in no queue, to try a handler out.

use std::time::{Duration, Instant};

use chrono::Utc;
use goodjob_core::{
    Arguments, BareContext, Claim, Decision, EnqueueError, ExecutionId, Handler, Handlers,
    JobError, JobRecord, NewJob, Options, TimedOut, Token, Unhandled,
};
use serde_json::json;

use super::Workplace;
use super::workplace::all_jobs;
use crate::args::{ExecArgs, WorkerSettings};
use crate::error::CliError;

pub(super) async fn exec(
    args: &ExecArgs,
    workplace: &Workplace,
    handlers: Handlers,
) -> Result<(), CliError> {
    let settings = workplace.settings(&WorkerSettings::default())?;
    let handlers = all_jobs(handlers, &settings)?;
    let Some(handler) = handlers.get(&args.class) else {
        let known = handlers.classes().join(", ");
        let known = if known.is_empty() { "none".to_owned() } else { known };
        return Err(CliError::Failed(format!("no handler for {:?}; known: {known}", args.class)));
    };
    let claim = claim(&args.class, &args.arguments.value)?;
    let began = Instant::now();
    let outcome = attempt(&handlers, handler, claim).await;
    let seconds = began.elapsed().as_secs_f64();
    let Err(error) = outcome else {
        let value = json!({ "outcome": "succeeded", "seconds": seconds });
        workplace.output().result(&value, || format!("succeeded in {seconds:.3} s"));
        return Ok(());
    };
    let (class, reason) = (error.class(), error.source().to_string());
    let then = then(&error, handler, settings.unhandled);
    let value = json!({
        "outcome": "failed", "seconds": seconds, "class": class, "error": reason, "then": then,
    });
    let text = || format!("failed after {seconds:.3} s; a worker would {then}");
    workplace.output().result(&value, text);
    Err(CliError::Failed(format!("the attempt did not succeed: {class}: {reason}")))
}

/// What a worker would have claimed for this job.
fn claim(class: &str, arguments: &Arguments) -> Result<Claim, EnqueueError> {
    let now = Utc::now();
    let job = NewJob::of_class(class, arguments.clone(), Options::new())?;
    let token = Token {
        job: job.id,
        execution: ExecutionId::generate(),
        performed_at: now,
        executions_count: 1,
    };
    let record = JobRecord {
        performed_at: Some(now),
        executions_count: token.executions_count,
        ..JobRecord::stored(&job, now)
    };
    Ok(Claim { job: record, token, interruptions: 0 })
}

/// In a task of its own, as in a worker, so that a panic is an outcome too.
async fn attempt(handlers: &Handlers, handler: &Handler, claim: Claim) -> Result<(), JobError> {
    let limit = handler.policy.time_limit();
    let cx = BareContext::for_trial(claim, limit, handler.policy.max_attempts());
    let body = tokio::spawn(handlers.begin(handler, cx));
    let ended = match limit {
        Some(after) => tokio::time::timeout(after, body).await.map_err(|_| TimedOut { after })?,
        None => body.await,
    };
    // The panic's own message was printed by the panic hook.
    ended.unwrap_or_else(|_| Err(JobError::from("the handler panicked").with_class("Panic")))
}

/// What a worker would do after this first attempt, but for the random spread of its waits.
fn then(error: &JobError, handler: &Handler, unhandled: Unhandled) -> String {
    let again = |wait: Duration| format!("run it again in {:.0} s", wait.as_secs_f64());
    match handler.policy.decide(error, |_| 0, 0.0) {
        Decision::Retry { wait, .. } => again(wait),
        Decision::Snooze { wait } => format!("{} and count no attempt", again(wait)),
        Decision::Unhandled if unhandled == Unhandled::RetryAtOnce => "run it again".to_owned(),
        Decision::Stop | Decision::Discard | Decision::Unhandled => "discard it".to_owned(),
    }
}
