//! `goodjob status`.
use super::Workplace;
use crate::args::StatusArgs;
use crate::error::CliError;

pub(super) async fn status(_: &StatusArgs, workplace: &Workplace) -> Result<(), CliError> {
    workplace.database()?;
    Ok(())
}
