//! The settings for an application's own processes: the same names, places and values as for `goodjob start`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use goodjob_core::{Backend, Config, Cron, CronEntry, ExecutionMode, Handlers, Shutdown};
use goodjob_postgres::{PgOptions, PgStore};

use crate::commands::{all_entries, all_jobs, settings_file};
use crate::environment::Environment;
use crate::error::CliError;
use crate::settings::{Problems, Settings};

/// Settings from the environment and `goodjob.toml`, for a web server that runs pools beside it, or for any
/// process that enqueues.
///
/// ```no_run
/// use goodjob_cli::Configuration;
/// use goodjob_core::{Registry, Role, Setup};
/// use goodjob_postgres::PgStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let configuration = Configuration::load()?;
/// let store = PgStore::connect(configuration.database()?).await?;
/// let backend = configuration.backend(&store);
/// let setup = Setup::new(configuration.mode(), configuration.config(), Registry::default(), backend);
/// setup.start(Role::Server).await?;
/// // … serve …
/// setup.shutdown(configuration.shutdown()).await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Configuration {
    settings: Settings,
    warnings: Vec<String>,
}

impl Configuration {
    /// From this process's environment, and `goodjob.toml` where it is named or in the working directory.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn load() -> Result<Self, ConfigurationError> {
        Self::load_from(&Environment::of_process(), Path::new("."))
    }

    /// From what is given.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn load_from(
        environment: &Environment,
        directory: &Path,
    ) -> Result<Self, ConfigurationError> {
        let file = settings_file(None, environment, directory);
        let file = file.map_err(|problem| Problems(vec![problem]))?;
        let loaded = Settings::load(&BTreeMap::new(), environment, file.as_ref())?;
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        Ok(Self { settings: loaded.settings, warnings })
    }

    /// What is odd about the settings and no reason to stop, such as names that look mistyped. For the log.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Where jobs are done: `execution_mode`.
    #[must_use]
    pub fn mode(&self) -> ExecutionMode {
        self.settings.execution_mode
    }

    /// How a capsule is to run: pools, polls, clean-up.
    #[must_use]
    pub fn config(&self) -> Config {
        self.settings.config()
    }

    /// The application's cron entries with those of the settings, for [`Config::cron`]; none where
    /// `enable_cron` is off.
    ///
    /// # Errors
    /// When a key is in both.
    pub fn cron(
        &self,
        entries: impl IntoIterator<Item = CronEntry>,
    ) -> Result<Cron, ConfigurationError> {
        let entries = all_entries(entries.into_iter().collect(), &self.settings)?;
        let entries = if self.settings.enable_cron { entries } else { Vec::new() };
        Ok(Cron { entries, ..self.settings.config().cron })
    }

    /// The store with what the settings say about callbacks of batches.
    #[must_use]
    pub fn backend(&self, store: &PgStore) -> Backend {
        Backend::from(store).with_callbacks(self.settings.callbacks.clone())
    }

    /// How long a shutdown waits for running jobs: `shutdown_timeout`.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.settings.shutdown
    }

    /// Where probes are to be answered: `probe_host` and `probe_port`, if there is a port.
    #[must_use]
    pub fn probe(&self) -> Option<SocketAddr> {
        self.settings.probe
    }

    /// Where jobs are kept.
    ///
    /// # Errors
    /// When no database is set.
    pub fn database(&self) -> Result<PgOptions, ConfigurationError> {
        Ok(self.settings.database.clone().ok_or(CliError::NoDatabase)?)
    }

    /// The application's jobs with those that the file lists under `[jobs]`.
    ///
    /// # Errors
    /// When a class is in both, or a table of the file is wrong.
    pub fn jobs(&self, handlers: impl Into<Handlers>) -> Result<Handlers, ConfigurationError> {
        Ok(all_jobs(handlers.into(), &self.settings)?)
    }
}

/// Settings that cannot be used. The text has a line for each problem, with where it is, what was found and
/// what was expected. No password is in it.
pub struct ConfigurationError(CliError);

impl ConfigurationError {
    /// The exit code that `goodjob` would end with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.0.code()
    }
}

impl<E: Into<CliError>> From<E> for ConfigurationError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ConfigurationError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_what_a_worker_reads() {
        let environment = Environment::from_iter([
            ("DATABASE_URL", "postgres://ann@localhost/shop"),
            ("GOOD_JOB_EXECUTION_MODE", "async_server"),
            ("GOOD_JOB_QUEUES", "mice:2;elephants:1"),
            ("GOOD_JOB_SHUTDOWN_TIMEOUT", "0"),
            ("GOOD_JOB_PROBE_PORT", "7001"),
        ]);
        let directory = tempfile::tempdir().unwrap();
        let found = Configuration::load_from(&environment, directory.path()).unwrap();
        assert_eq!((found.mode(), found.shutdown()), (ExecutionMode::Async, Shutdown::Now));
        assert_eq!(found.config().slots(), 3);
        assert_eq!(found.probe(), Some(([127, 0, 0, 1], 7001).into()));
        assert!(found.database().is_ok() && found.warnings().is_empty());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let environment = Environment::from_iter([
            ("GOOD_JOB_EXECUTION_MODE", "sync"),
            ("GOOD_JOB_PROBE_PORT", "70000"),
            ("GOOD_JOB_PROBE_HOST", "everywhere"),
        ]);
        let directory = tempfile::tempdir().unwrap();
        let error = Configuration::load_from(&environment, directory.path()).unwrap_err();
        assert_eq!(error.to_string().lines().count(), 3, "{error}");
        assert_eq!(error.exit_code(), 78);
        let none = Configuration::load_from(&Environment::default(), directory.path()).unwrap();
        assert!(none.database().unwrap_err().to_string().contains("DATABASE_URL"));
        assert_eq!((none.mode(), none.probe()), (ExecutionMode::External, None));
    }
}
