//! `goodjob doctor`.
use super::Workplace;
use crate::error::CliError;

pub(super) async fn doctor(workplace: &Workplace) -> Result<(), CliError> {
    workplace.database()?;
    Ok(())
}
