//! Runs one handler on one made-up job, without a queue.

use std::path::Path;
use std::time::Duration;

use goodjob_cli::handlers::HandlerSettings;
use goodjob_core::{
    Arguments, BareContext, Claim, ErrorEvent, ExecutionId, Handler, JobError, JobId, JobRecord,
    JobResult, Payload, Ties, Timestamp, Token, Verdict,
};
use serde_json::{Value, json};

/// No condition in these tests takes longer, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn handler(settings: Value) -> Handler {
    serde_json::from_value::<HandlerSettings>(settings).unwrap().build("MailJob").unwrap()
}

/// A handler that runs a piece of shell with `$0` as a path.
pub(crate) fn shell(script: &str, path: &Path) -> Value {
    json!({"command": ["sh", "-c", script, path]})
}

pub(crate) fn claim(arguments: Value) -> Claim {
    let due: Timestamp = "2026-01-02T03:04:05.000006Z".parse().unwrap();
    let job = JobRecord {
        id: JobId::generate(),
        class: "MailJob".into(),
        queue: Some("mail".into()),
        priority: Some(-3),
        payload: Payload::from_value(json!({"arguments": arguments, "executions": 1})),
        labels: vec!["urgent".into()],
        ties: Ties::default(),
        created_at: due,
        scheduled_at: Some(due),
        performed_at: Some(due),
        finished_at: None,
        error: None,
        error_event: None,
        executions_count: 2,
        locked_by: None,
    };
    let execution = ExecutionId::generate();
    let token = Token { job: job.id, execution, performed_at: due, executions_count: 2 };
    Claim { job, token, interruptions: 0 }
}

/// One attempt, which must end in time.
pub(crate) async fn attempt(handler: &Handler, claim: Claim, limit: Option<Duration>) -> JobResult {
    let arguments: Option<Arguments> = claim.job.payload.arguments();
    let cx = BareContext::for_trial(claim, limit, handler.policy.max_attempts());
    let running = (handler.run)(arguments, cx);
    tokio::time::timeout(PATIENCE, running).await.expect("the handler hangs")
}

pub(crate) async fn perform(settings: Value) -> JobResult {
    attempt(&handler(settings), claim(json!([])), None).await
}

/// What became of an attempt: `None` leaves it to the policy.
pub(crate) fn verdict(result: JobResult) -> Result<(), Option<Verdict>> {
    result.map_err(|error| error.verdict())
}

/// The error as it would be stored.
pub(crate) fn stored(error: &JobError) -> String {
    error.note(ErrorEvent::Retried).text().to_owned()
}
