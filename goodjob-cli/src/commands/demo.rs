//! `goodjob demo`: slow elephants and quick mice in one process, on a Postgres of the demo's own, once
//! in pools of their own and once in a pool that they share.

mod load;
mod report;
mod round;
mod screen;

use goodjob_core::Pools;
use goodjob_postgres::PgStore;
use goodjob_postgres::migrate::Indexes;
use goodjob_testkit::cluster::Settings as ServerSettings;

use super::Workplace;
use super::place::Place;
use crate::args::{DemoArgs, WorkerSettings};
use crate::error::CliError;
use load::Load;
use report::Report;
use screen::Screen;

/// Pools that keep mice and elephants apart.
const ISOLATED: &str = "mice:2;elephants:1";
/// As many slots, for whoever comes first.
const SHARED: &str = "*:3";

pub(super) async fn demo(args: &DemoArgs, workplace: &Workplace) -> Result<(), CliError> {
    let settings = workplace.settings(&WorkerSettings::default())?;
    let screen = Screen::new(workplace.output().json);
    let place = Place::find(settings.database, ServerSettings::new()).await?;
    screen.say(&place.description());

    let store = PgStore::lazy(place.options()?);
    store.migrate(Indexes::Lean).await?;
    store.close().await;

    let load = Load::from(args);
    screen.say(&load.description());
    let isolated = round::run(&place.options()?, &pools(ISOLATED)?, &load, &screen).await?;
    screen.say("the same load once more, without isolation:");
    let shared = round::run(&place.options()?, &pools(SHARED)?, &load, &screen).await?;

    let report = Report::new(&isolated, &shared);
    workplace.output().result(&report, || report.table());
    match report.ran_once == report.jobs && shared.ran_once == shared.jobs {
        true => Ok(()),
        false => Err(CliError::Failed("not every job ran exactly once".to_owned())),
    }
}

fn pools(text: &str) -> Result<Pools, CliError> {
    text.parse().map_err(|error| CliError::Failed(format!("{error}")))
}
