//! `goodjob jobs retry|discard|reschedule|delete`: the jobs that were named, or all that are found.

use std::collections::BTreeSet;

use goodjob_core::JobId;
use goodjob_postgres::PgStore;
use goodjob_postgres::jobs::{Acted, Action, Filter, Tally};
use serde::Serialize;
use serde_json::json;

use super::{bulk, words};
use crate::args::Choice;
use crate::commands::Workplace;
use crate::error::CliError;
use crate::output::tell;

/// What to do, and to which jobs.
pub(super) struct Order {
    pub(super) action: Action,
    /// Whether neither lock nor owner is heeded.
    pub(super) force: bool,
    pub(super) choice: Choice,
}

/// A job that was named, and what became of it.
#[derive(Serialize)]
struct Named {
    id: JobId,
    result: Acted,
}

pub(super) async fn act(order: &Order, workplace: &Workplace) -> Result<(), CliError> {
    check(order)?;
    match order.choice.ids.as_slice() {
        [] => bulk::act(order, workplace).await,
        ids => act_on_named(order, ids, workplace).await,
    }
}

/// What clap cannot see.
fn check(order: &Order) -> Result<(), CliError> {
    let Choice { ids, filter, all, .. } = &order.choice;
    if !ids.is_empty() {
        return Ok(());
    }
    let action = &order.action;
    if order.force {
        let message = "--force is for jobs by id, not for all that a filter finds: \
                       what runs is not stopped, so look at each one first";
        return Err(CliError::Usage(message.to_owned()));
    }
    if filter.is_empty() && !all {
        return Err(CliError::Usage(format!(
            "which jobs? Name them by id, choose them by --state, --class, --queue and so on, or say \
             --all to {action} every {} job",
            words::fitting(action)
        )));
    }
    Ok(())
}

async fn act_on_named(order: &Order, ids: &[JobId], workplace: &Workplace) -> Result<(), CliError> {
    let action = &order.action;
    let store = PgStore::connect(workplace.database()?).await?;
    if order.choice.dry_run {
        let filter = Filter::new().ids(ids.iter().copied()).only(action.states());
        let matched = store.count(&filter).await?;
        store.close().await;
        let result = json!({ "action": action.to_string(), "dry_run": true, "matched": matched });
        let kind = words::fitting(action);
        workplace.output().result(&result, || format!("found {}", words::jobs(matched, kind)));
        return Ok(());
    }
    let acted = if order.force {
        force_discard(&store, ids, action).await?
    } else {
        store.act(ids, action).await?
    };
    store.close().await;
    let tally: Tally = acted.iter().map(|(_, acted)| *acted).collect();
    let jobs = acted.iter().map(|(id, acted)| Named { id: *id, result: *acted });
    let mut result = bulk::result(action, tally.total(), &tally);
    result["jobs"] = json!(jobs.collect::<Vec<_>>());
    workplace.output().result(&result, || words::outcome(action, &tally));
    missed(action, &acted)
}

async fn force_discard(
    store: &PgStore,
    ids: &[JobId],
    action: &Action,
) -> Result<Vec<(JobId, Acted)>, CliError> {
    let Action::Discard { reason } = action else { return Ok(Vec::new()) };
    let (mut seen, mut acted) = (BTreeSet::new(), Vec::with_capacity(ids.len()));
    for id in ids.iter().filter(|id| seen.insert(**id)) {
        acted.push((*id, store.force_discard(*id, reason.as_deref()).await?));
    }
    Ok(acted)
}

/// Who names a job means that one, so that it was not done is worth an exit code.
fn missed(action: &Action, acted: &[(JobId, Acted)]) -> Result<(), CliError> {
    let mut missed = 0_u64;
    for (id, acted) in acted {
        let why = match acted {
            Acted::Done => continue,
            Acted::Busy => format!("job {id} is running or locked"),
            Acted::WrongState => format!("job {id} is not {}", words::fitting(action)),
            Acted::Gone => format!("there is no job {id}"),
        };
        tell("warning", &why);
        missed += 1;
    }
    match missed {
        0 => Ok(()),
        missed => {
            let (jobs, done) = (words::jobs(missed, ""), words::done(action));
            Err(CliError::Check(format!("{jobs} could not be {done}")))
        }
    }
}
