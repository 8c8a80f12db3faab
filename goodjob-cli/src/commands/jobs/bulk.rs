//! An action on all jobs that a filter finds: counted, asked about, done with a bar.

use std::io::{self, BufRead, IsTerminal, Write};

use goodjob_postgres::PgStore;
use goodjob_postgres::jobs::{Action, Bulk, Tally};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::act::Order;
use super::words;
use crate::commands::Workplace;
use crate::error::CliError;
use crate::output::tell;

pub(super) async fn act(order: &Order, workplace: &Workplace) -> Result<(), CliError> {
    let (action, choice) = (&order.action, &order.choice);
    let filter = choice.filter.filter()?.only(action.states());
    if filter.wanted_states().is_empty() {
        let (kind, states) = (words::fitting(action), words::states(choice.filter.states()));
        let message = format!("{action} is for {kind} jobs; found --state {states}");
        return Err(CliError::Usage(message));
    }
    let store = PgStore::connect(workplace.database()?).await?;
    let mut bulk = store.bulk(filter, action.clone()).await?;
    let matched = bulk.matched();
    let found = format!("found {}", found(order, matched));
    if choice.dry_run {
        store.close().await;
        let result = json!({ "action": action.to_string(), "dry_run": true, "matched": matched });
        workplace.output().result(&result, || found);
        return Ok(());
    }
    if matched > 0 && !choice.yes {
        agree(&found, action)?;
    } else {
        tell("jobs", &found);
    }
    let tally = work(&mut bulk, workplace.output().json).await?;
    store.close().await;
    workplace.output().result(&result(action, matched, &tally), || words::outcome(action, &tally));
    Ok(())
}

/// The jobs in words: `1,204 discarded jobs of class ReportJob`.
fn found(order: &Order, matched: u64) -> String {
    let typed = order.choice.filter.states();
    let states: Vec<_> =
        order.action.states().iter().copied().filter(|state| typed.contains(state)).collect();
    let kind = match states.as_slice() {
        [] => words::fitting(&order.action).to_owned(),
        states => words::states(states),
    };
    words::jobs(matched, &kind) + &order.choice.filter.other_conditions()
}

/// The result for a machine.
pub(super) fn result(action: &Action, matched: u64, tally: &Tally) -> Value {
    json!({
        "action": action.to_string(), "matched": matched, "done": tally.done, "busy": tally.busy,
        "wrong_state": tally.wrong_state, "gone": tally.gone,
    })
}

/// Does it, and tells how far it came if it cannot go on.
async fn work(bulk: &mut Bulk, json: bool) -> Result<Tally, CliError> {
    let bar = bar(bulk.matched(), json);
    let mut tally = Tally::default();
    loop {
        match bulk.next_batch().await {
            Ok(Some(batch)) => {
                tally += batch;
                bar.set_position(tally.total());
            }
            Ok(None) => {
                bar.finish_and_clear();
                return Ok(tally);
            }
            Err(error) => {
                bar.finish_and_clear();
                tell("jobs", &format!("so far: {}", words::outcome(bulk.action(), &tally)));
                return Err(error.into());
            }
        }
    }
}

/// On a terminal only; elsewhere it hides itself.
fn bar(jobs: u64, json: bool) -> ProgressBar {
    if json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(jobs);
    match ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Asks on a terminal. Elsewhere nobody answers, so it has to be said beforehand.
fn agree(found: &str, action: &Action) -> Result<(), CliError> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(CliError::Usage(format!("{found}; to {action} them, pass --yes")));
    }
    if agreed(found, action, &mut io::stdin().lock(), &mut io::stderr().lock())? {
        Ok(())
    } else {
        Err(CliError::Failed("nothing was done".to_owned()))
    }
}

fn agreed(
    found: &str,
    action: &Action,
    person: &mut impl BufRead,
    screen: &mut impl Write,
) -> Result<bool, CliError> {
    let failed = |error: io::Error| CliError::Failed(format!("cannot ask: {error}"));
    write!(screen, "{found}; {action} them? [y/N] ").map_err(failed)?;
    screen.flush().map_err(failed)?;
    let mut answer = String::new();
    person.read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (answer, expected) in [
            ("y\n", true),
            (" YES \n", true),
            ("n\n", false),
            ("\n", false),
            ("", false),
            ("yo", false),
        ] {
            let mut screen = Vec::new();
            let found = "found 2 discarded jobs";
            let agreed = agreed(found, &Action::Retry, &mut answer.as_bytes(), &mut screen);
            assert_eq!(agreed.unwrap(), expected, "{answer:?}");
            assert_eq!(screen, b"found 2 discarded jobs; retry them? [y/N] ");
        }
    }
}
