//! `goodjob migrate`: makes the tables and indexes that are missing, or prints how.

use goodjob_postgres::migrate::{self, Addition, Indexes, Plan};
use goodjob_postgres::{ConnectError, PgOptions, PgStore};
use serde_json::json;

use super::Workplace;
use crate::args::{MigrateArgs, OptIn};
use crate::error::CliError;
use crate::output::print;
use crate::settings::Settings;

pub(super) async fn migrate(args: &MigrateArgs, workplace: &Workplace) -> Result<(), CliError> {
    let plan = plan(args);
    if args.sql {
        print_sql(workplace, plan)?;
        return Ok(());
    }
    let store = reach(workplace.database()?).await?;
    let done = match (args.dry_run, args.check) {
        (false, false) => apply(&store, plan, workplace).await,
        (_, check) => announce(&store, plan, workplace, check).await,
    };
    store.close().await;
    done
}

fn plan(args: &MigrateArgs) -> Plan {
    let plan = Plan::from(if args.gem_indexes { Indexes::All } else { Indexes::Lean });
    args.with.iter().fold(plan, |plan, opt_in| match opt_in {
        OptIn::Notes => plan.with_notes(),
    })
}

async fn apply(store: &PgStore, plan: Plan, workplace: &Workplace) -> Result<(), CliError> {
    let steps = store.migrate(plan).await?;
    let lines = || match steps.as_slice() {
        [] => NOTHING.to_owned(),
        steps => steps.iter().map(|step| format!("applied {}\n", step.name)).collect(),
    };
    workplace.output().list(steps.iter().map(|step| json!({ "step": step.name })), lines);
    Ok(())
}

const NOTHING: &str = "nothing to do: the tables are up to date";

/// Says what would be done, and what that would add to the database.
async fn announce(
    store: &PgStore,
    plan: Plan,
    workplace: &Workplace,
    check: bool,
) -> Result<(), CliError> {
    let steps = store.pending_migrations(plan).await?;
    let additions = store.migration_additions(plan).await?;
    let of = |step: &str| -> Vec<String> {
        let of_step = additions.iter().filter(|addition| addition.step == step);
        of_step.map(Addition::to_string).collect()
    };
    let line = |step: &str| match of(step).as_slice() {
        [] => format!("would apply {step}: adds nothing, it is there\n"),
        adds => format!("would apply {step}: adds {}\n", adds.join(", ")),
    };
    let names: Vec<&str> = match steps.is_empty() {
        true => Vec::new(),
        false => {
            std::iter::once(migrate::FIRST).chain(steps.iter().map(|step| step.name)).collect()
        }
    };
    let lines = || match names.as_slice() {
        [] => NOTHING.to_owned(),
        names => names.iter().map(|name| line(name)).collect(),
    };
    let objects = names.iter().map(|name| json!({ "step": name, "adds": of(name) }));
    workplace.output().list(objects, lines);
    match check && !steps.is_empty() {
        true => Err(CliError::Check("migrations are pending; run `goodjob migrate`".to_owned())),
        false => Ok(()),
    }
}

/// Prints the steps under the names of the settings, which need no database for that.
fn print_sql(workplace: &Workplace, plan: Plan) -> Result<(), CliError> {
    let Settings { tables, .. } = workplace.settings(&crate::args::WorkerSettings::default())?;
    for step in migrate::steps(plan) {
        print(&format!("-- {}\n{}", step.name, migrate::render(step, &tables)));
    }
    Ok(())
}

/// The database, whatever its tables lack. A pool alone would hide why it cannot connect.
async fn reach(options: PgOptions) -> Result<PgStore, ConnectError> {
    match PgStore::connect(options.clone()).await {
        Err(ConnectError::SchemaMissing { .. } | ConnectError::SchemaOld { .. }) => {
            Ok(PgStore::lazy(options))
        }
        reached => reached,
    }
}
