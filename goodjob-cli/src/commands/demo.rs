//! `goodjob demo`: slow elephants and quick mice in one process, on a Postgres of the demo's own, once
//! in pools of their own and once in a pool that they share.

mod load;
mod report;
mod round;
mod screen;

use goodjob_core::Pools;
use goodjob_postgres::migrate::Indexes;
use goodjob_postgres::{PgOptions, PgStore};
use goodjob_testkit::cluster::{Cluster, Settings as ServerSettings};

use super::Workplace;
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
    let place = Place::find(settings.database).await?;
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

/// Where the demo takes place.
enum Place {
    /// The database of the settings. Its rows are removed afterwards.
    Given(Box<PgOptions>),
    /// A throwaway server, gone with this process however that ends.
    Own(Cluster),
}

impl Place {
    async fn find(given: Option<PgOptions>) -> Result<Self, CliError> {
        if let Some(options) = given {
            return Ok(Self::Given(Box::new(options)));
        }
        let started = tokio::task::spawn_blocking(|| Cluster::private(ServerSettings::new())).await;
        let started = started.map_err(|error| CliError::Failed(error.to_string()))?;
        started.map(Self::Own).map_err(|error| CliError::Failed(error.to_string()))
    }

    fn options(&self) -> Result<PgOptions, CliError> {
        match self {
            Self::Given(options) => Ok(PgOptions::clone(options)),
            Self::Own(cluster) => Ok(PgOptions::from_url(&cluster.url("postgres"))?),
        }
    }

    fn description(&self) -> String {
        match self {
            Self::Given(options) => format!("using the database {}", options.target()),
            Self::Own(_) => {
                "started a throwaway Postgres; set DATABASE_URL to use yours".to_owned()
            }
        }
    }
}
