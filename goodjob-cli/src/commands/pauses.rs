//! `goodjob pause`, `unpause` and `pauses`: what no worker takes for now.

use goodjob_core::{Pause, PauseStore, Paused};
use goodjob_postgres::PgStore;

use super::Workplace;
use crate::args::PauseArgs;
use crate::error::CliError;
use crate::output;

pub(super) async fn pause(args: &PauseArgs, workplace: &Workplace) -> Result<(), CliError> {
    let store = PgStore::connect(workplace.database()?).await?;
    for pause in args.pauses() {
        store.pause(&pause).await?;
    }
    show(store, workplace).await
}

pub(super) async fn unpause(args: &PauseArgs, workplace: &Workplace) -> Result<(), CliError> {
    let store = PgStore::connect(workplace.database()?).await?;
    for pause in args.pauses() {
        if !store.unpause(&pause).await? {
            output::tell("warning", &format!("the {pause} was not paused"));
        }
    }
    show(store, workplace).await
}

pub(super) async fn list(workplace: &Workplace) -> Result<(), CliError> {
    let store = PgStore::connect(workplace.database()?).await?;
    show(store, workplace).await
}

/// What is paused now is the result of each of the three.
async fn show(store: PgStore, workplace: &Workplace) -> Result<(), CliError> {
    let paused = store.paused().await?;
    store.close().await;
    workplace.output().result(&paused, || text(&paused));
    Ok(())
}

fn text(paused: &Paused) -> String {
    let row = |pause| match pause {
        Pause::Queue(name) => ["queue".to_owned(), name],
        Pause::Class(name) => ["class".to_owned(), name],
        Pause::Label(name) => ["label".to_owned(), name],
    };
    match paused.iter().next() {
        None => "nothing is paused".to_owned(),
        Some(_) => output::table(["PAUSED", "NAME"], paused.iter().map(row)),
    }
}
