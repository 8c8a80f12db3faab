//! A server for commands that bring their own: that of the settings, or a throwaway one.

use goodjob_postgres::PgOptions;
use goodjob_testkit::cluster::{Cluster, Settings as ServerSettings};

use crate::error::CliError;

/// Where a demonstration or a measurement takes place.
pub(super) enum Place {
    /// The database of the settings. What is made there is removed afterwards.
    Given(Box<PgOptions>),
    /// A throwaway server, gone with this process however that ends.
    Own(Cluster),
}

impl Place {
    /// The given database, or a server that is started with `settings`.
    pub(super) async fn find(
        given: Option<PgOptions>,
        settings: ServerSettings,
    ) -> Result<Self, CliError> {
        if let Some(options) = given {
            return Ok(Self::Given(Box::new(options)));
        }
        let started = tokio::task::spawn_blocking(|| Cluster::private(settings)).await;
        let started = started.map_err(|error| CliError::Failed(error.to_string()))?;
        started.map(Self::Own).map_err(|error| CliError::Failed(error.to_string()))
    }

    pub(super) fn options(&self) -> Result<PgOptions, CliError> {
        match self {
            Self::Given(options) => Ok(PgOptions::clone(options)),
            Self::Own(cluster) => Ok(PgOptions::from_url(&cluster.url("postgres"))?),
        }
    }

    /// Whether nobody else uses it.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    pub(super) fn description(&self) -> String {
        match self {
            Self::Given(options) => format!("using the database {}", options.target()),
            Self::Own(_) => {
                "started a throwaway Postgres; set DATABASE_URL to use yours".to_owned()
            }
        }
    }
}
