//! `goodjob migrate`.
use super::Workplace;
use crate::args::MigrateArgs;
use crate::error::CliError;

pub(super) async fn migrate(_: &MigrateArgs, workplace: &Workplace) -> Result<(), CliError> {
    workplace.database()?;
    Ok(())
}
