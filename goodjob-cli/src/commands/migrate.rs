//! `goodjob migrate`: makes the tables and indexes that are missing, or prints how.

use goodjob_postgres::migrate::{self, Indexes, Step};
use goodjob_postgres::{ConnectError, PgOptions, PgStore};
use serde_json::json;

use super::Workplace;
use crate::args::MigrateArgs;
use crate::error::CliError;
use crate::output::print;

pub(super) async fn migrate(args: &MigrateArgs, workplace: &Workplace) -> Result<(), CliError> {
    let indexes = if args.gem_indexes { Indexes::All } else { Indexes::Lean };
    if args.sql {
        migrate::steps(indexes).iter().for_each(print_sql);
        return Ok(());
    }
    let store = reach(workplace.database()?).await?;
    let (done, steps) = match args.dry_run {
        true => ("would apply", migrate::pending(store.pool(), indexes).await?),
        false => ("applied", migrate::run(store.pool(), indexes).await?),
    };
    store.close().await;
    let lines = || match steps.as_slice() {
        [] => "nothing to do: the tables are up to date".to_owned(),
        steps => steps.iter().map(|s| format!("{done} {}\n", s.name)).collect(),
    };
    workplace.output().list(steps.iter().map(|step| json!({ "step": step.name })), lines);
    Ok(())
}

fn print_sql(step: &Step) {
    print(&format!("-- {}\n{}", step.name, step.sql));
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
