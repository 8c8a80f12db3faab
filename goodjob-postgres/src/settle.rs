//! Writes settlements, as many as there are in one statement. The two kinds that nearly all are have short
//! statements of their own; what those have no answer for is left to the one that knows every case.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use goodjob_core::{
    ErrorNote, ExecutionId, Fate, ProcessId, Settled, Settlement, StoreError, Token,
};
use serde_json::Value;
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::rows::SettledRow;
use crate::sql;
use crate::stand::Stand;

/// The columns of `settle.sql`'s parameters, one entry an attempt.
#[derive(Default)]
struct Columns<'a> {
    fates: Vec<&'static str>,
    waits: Vec<f64>,
    payloads: Vec<Option<Value>>,
    errors: Vec<Option<&'a str>>,
    events: Vec<Option<i16>>,
    backtraces: Vec<Option<Value>>,
    seconds: Vec<f64>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, settlement: &'a Settlement) {
        let (fate, wait, payload) = match &settlement.job {
            Fate::Succeed => ("succeed", 0.0, None),
            Fate::Retry { wait, payload, .. } => {
                ("retry", wait.as_secs_f64(), Some(payload.clone().into_value()))
            }
            Fate::PutBack { .. } => ("put_back", 0.0, None),
            Fate::Discard { .. } => ("discard", 0.0, None),
        };
        let error = settlement.job.error();
        self.fates.push(fate);
        self.waits.push(wait);
        self.payloads.push(payload);
        self.errors.push(error.map(ErrorNote::text));
        self.events.push(error.map(|error| error.event().code()));
        self.backtraces.push(error.map(ErrorNote::backtrace_json));
        self.seconds.push(settlement.duration.as_secs_f64());
    }
}

/// How long a settlement or release may take on the pool before its connection is given up.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn settle(
    stand: &Stand,
    dialect: &Dialect,
    process: ProcessId,
    ended: &[(Token, Settlement)],
) -> Result<Vec<Settled>, StoreError> {
    let unkept = ended.iter().filter(|(_, settlement)| settlement.deletes());
    let unkept: Vec<&Token> = unkept.map(|(token, _)| token).collect();
    let mut answers = delete(stand, dialect, process, &unkept).await?;
    let succeeded: Vec<&(Token, Settlement)> =
        ended.iter().filter(|(_, settlement)| is_kept_success(settlement)).collect();
    answers.extend(succeed(stand, dialect, process, &succeeded).await?);
    let rest = ended.iter().filter(|(token, _)| !answers.contains_key(&token.execution));
    let rest: Vec<&(Token, Settlement)> = rest.collect();
    answers.extend(update(stand, dialect, process, &rest).await?);
    let answer = |token: &Token| answers.get(&token.execution).copied();
    Ok(ended.iter().map(|(token, _)| answer(token).unwrap_or(Settled::Fenced)).collect())
}

/// What became of each attempt that a statement had an answer for.
type Answers = HashMap<ExecutionId, Settled>;

/// Ends jobs that are not kept. What it has no answer for is to be updated like any other.
async fn delete(
    stand: &Stand,
    dialect: &Dialect,
    process: ProcessId,
    unkept: &[&Token],
) -> Result<Answers, StoreError> {
    if unkept.is_empty() {
        return Ok(Answers::new());
    }
    let tokens = tokens(unkept.iter().copied());
    let query = sqlx::query_as(dialect.sql(sql::SETTLE_UNKEPT))
        .bind(tokens.jobs)
        .bind(tokens.executions)
        .bind(tokens.performed_at)
        .bind(tokens.counts)
        .bind(process.as_uuid());
    let rows = stand.within(DEADLINE, async |connection| query.fetch_all(connection).await).await?;
    let left: HashSet<ExecutionId> =
        rows.iter().map(|row: &SettledRow| row.execution_id.into()).collect();
    let mut answers = answers(rows);
    answers.extend(written(unkept.iter().copied(), &left));
    Ok(answers)
}

/// All but those that are left.
fn written<'a>(
    ended: impl Iterator<Item = &'a Token>,
    left: &HashSet<ExecutionId>,
) -> impl Iterator<Item = (ExecutionId, Settled)> {
    let ended = ended.map(|token| token.execution);
    ended
        .filter(|execution| !left.contains(execution))
        .map(|execution| (execution, Settled::Written))
}

fn is_kept_success(settlement: &Settlement) -> bool {
    settlement.job == Fate::Succeed && !settlement.deletes()
}

/// Ends attempts that succeeded. What it has no answer for is to be updated like any other.
async fn succeed(
    stand: &Stand,
    dialect: &Dialect,
    process: ProcessId,
    ended: &[&(Token, Settlement)],
) -> Result<Answers, StoreError> {
    if ended.is_empty() {
        return Ok(Answers::new());
    }
    let tokens = tokens(ended.iter().map(|(token, _)| token));
    let seconds = ended.iter().map(|(_, settlement)| settlement.duration.as_secs_f64());
    let query = sqlx::query_scalar(dialect.sql(sql::SETTLE_SUCCEEDED))
        .bind(tokens.jobs)
        .bind(tokens.executions)
        .bind(tokens.performed_at)
        .bind(tokens.counts)
        .bind(seconds.collect::<Vec<f64>>())
        .bind(process.as_uuid());
    let left = stand.within(DEADLINE, async |connection| query.fetch_all(connection).await);
    let left: Vec<Uuid> = match left.await {
        // Nothing is written: an execution was there that was not expected, as the server's clock was set back.
        Err(StoreError::Rejected { .. }) => return Ok(Answers::new()),
        left => left?,
    };
    let left = left.into_iter().map(ExecutionId::from).collect();
    Ok(written(ended.iter().map(|(token, _)| token), &left).collect())
}

async fn update(
    stand: &Stand,
    dialect: &Dialect,
    process: ProcessId,
    ended: &[&(Token, Settlement)],
) -> Result<Answers, StoreError> {
    if ended.is_empty() {
        return Ok(Answers::new());
    }
    let mut columns = Columns::default();
    ended.iter().for_each(|(_, settlement)| columns.push(settlement));
    let tokens = tokens(ended.iter().map(|(token, _)| token));
    let query = sqlx::query_as(dialect.sql(sql::SETTLE))
        .bind(tokens.jobs)
        .bind(tokens.executions)
        .bind(tokens.performed_at)
        .bind(tokens.counts)
        .bind(columns.fates)
        .bind(columns.waits)
        .bind(columns.payloads)
        .bind(columns.errors)
        .bind(columns.events)
        .bind(columns.backtraces)
        .bind(columns.seconds)
        .bind(process.as_uuid());
    let rows = stand.within(DEADLINE, async |connection| query.fetch_all(connection).await).await?;
    Ok(answers(rows))
}

fn answers(rows: Vec<SettledRow>) -> Answers {
    let answer = |row: SettledRow| {
        let settled = match (row.written, row.blocked) {
            (true, _) => Settled::Written,
            (false, true) => Settled::Blocked,
            (false, false) => return None,
        };
        Some((row.execution_id.into(), settled))
    };
    rows.into_iter().filter_map(answer).collect()
}

pub(crate) async fn release(
    stand: &Stand,
    dialect: &Dialect,
    process: ProcessId,
    unstarted: &[Token],
) -> Result<(), StoreError> {
    let tokens = tokens(unstarted.iter());
    let query = sqlx::query(dialect.sql(sql::RELEASE))
        .bind(tokens.jobs)
        .bind(tokens.executions)
        .bind(tokens.performed_at)
        .bind(tokens.counts)
        .bind(process.as_uuid());
    stand.within(DEADLINE, async |connection| query.execute(connection).await.map(drop)).await
}

/// Tokens as the columns of a parameter.
pub(crate) struct Tokens {
    pub(crate) jobs: Vec<Uuid>,
    pub(crate) executions: Vec<Uuid>,
    pub(crate) performed_at: Vec<goodjob_core::Timestamp>,
    pub(crate) counts: Vec<i32>,
}

pub(crate) fn tokens<'a>(tokens: impl Iterator<Item = &'a Token> + Clone) -> Tokens {
    Tokens {
        jobs: tokens.clone().map(|token| token.job.as_uuid()).collect(),
        executions: tokens.clone().map(|token| token.execution.as_uuid()).collect(),
        performed_at: tokens.clone().map(|token| token.performed_at).collect(),
        counts: tokens.map(|token| token.executions_count).collect(),
    }
}
