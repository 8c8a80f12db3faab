//! `goodjob exec`: one attempt at a job that is in no queue, to try a handler out.

use std::time::Instant;

use chrono::Utc;
use goodjob_core::{
    Arguments, BareContext, Claim, EnqueueError, ExecutionId, Handler, Handlers, JobError,
    JobRecord, NewJob, Options, Payload, TimedOut, Token, Verdict,
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
    let outcome = attempt(handler, claim).await;
    let seconds = began.elapsed().as_secs_f64();
    show(workplace, &outcome, seconds);
    outcome
        .map_err(|error| CliError::Failed(format!("the attempt did not succeed: {}", told(&error))))
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
        id: job.id,
        payload: Payload::of(&job, now),
        class: job.class,
        queue: Some(job.queue),
        priority: Some(job.priority.unwrap_or(0)),
        labels: job.labels,
        created_at: now,
        scheduled_at: Some(now),
        performed_at: Some(now),
        finished_at: None,
        error: None,
        error_event: None,
        executions_count: 1,
        locked_by: None,
    };
    Ok(Claim { job: record, token, interruptions: 0 })
}

/// In a task of its own, as in a worker, so that a panic is an outcome too.
async fn attempt(handler: &Handler, claim: Claim) -> Result<(), JobError> {
    let limit = handler.policy.time_limit();
    let arguments = claim.job.payload.arguments();
    let cx = BareContext::for_trial(claim, limit, handler.policy.max_attempts());
    let run = handler.run.clone();
    let body = tokio::spawn(async move { run(arguments, cx).await });
    let ended = match limit {
        Some(after) => tokio::time::timeout(after, body).await.map_err(|_| TimedOut { after })?,
        None => body.await,
    };
    // The panic's own message was printed by the panic hook.
    ended.unwrap_or_else(|_| Err(JobError::from("the handler panicked").with_class("Panic")))
}

fn show(workplace: &Workplace, outcome: &Result<(), JobError>, seconds: f64) {
    let output = workplace.output();
    match outcome {
        Ok(()) => {
            let value = json!({ "outcome": "succeeded", "seconds": seconds });
            output.result(&value, || format!("succeeded in {seconds:.3} s"));
        }
        Err(error) => {
            let then = then(error);
            let value = json!({
                "outcome": "failed", "seconds": seconds, "class": error.class(),
                "error": error.source().to_string(), "then": then,
            });
            let text = || format!("failed after {seconds:.3} s; a worker would {then}");
            output.result(&value, text);
        }
    }
}

fn told(error: &JobError) -> String {
    format!("{}: {}", error.class(), error.source())
}

/// What the handler itself asks for; otherwise the policy of its class decides.
fn then(error: &JobError) -> String {
    match error.verdict() {
        Some(Verdict::Discard) => "discard the job".to_owned(),
        Some(Verdict::RetryIn(wait)) => format!("retry it in {} s", wait.as_secs_f64()),
        Some(Verdict::Snooze(wait)) => format!("put it back for {} s", wait.as_secs_f64()),
        None => "do as the policy of the class says".to_owned(),
    }
}
