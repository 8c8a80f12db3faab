//! What was typed, merged, decoded and validated once. Past this point nothing is a sentinel.

mod callbacks;
mod cron;
mod database;
mod decode;
mod keys;
mod layers;
mod nearest;
mod problem;
mod reader;
mod seconds;
#[cfg(test)]
mod tests;

pub(crate) use keys::{CONFIG_VARIABLE, Flag, KEYS, Key};
pub(crate) use layers::SettingsFile;
pub(crate) use nearest::nearest;

pub(crate) use problem::{Place, Problem, Problems};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use goodjob_core::{
    Callbacks, Cleanup, Config, Cron, CronEntry, ExecutionMode, Pools, Preserve, Shutdown,
    Unhandled, Zone,
};
use goodjob_postgres::{PgOptions, TableNames};

use crate::environment::Environment;
use layers::Layers;
use reader::Reader;

/// What `[jobs."ClassName"]` holds.
pub(crate) use crate::handlers::HandlerSettings as JobSettings;

/// Every setting.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the jobs are and how they are locked; `None` when no address was given.
    pub(crate) database: Option<PgOptions>,
    /// What the tables are called.
    pub(crate) tables: TableNames,
    pub(crate) queues: Pools,
    pub(crate) max_threads: NonZeroUsize,
    pub(crate) poll_interval: Option<Duration>,
    pub(crate) max_cache: usize,
    pub(crate) shutdown: Shutdown,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_interruptions: u32,
    pub(crate) unhandled: Unhandled,
    pub(crate) preserve: Preserve,
    pub(crate) cleanup: Cleanup,
    pub(crate) enable_cron: bool,
    /// The entries of the settings.
    pub(crate) cron: Vec<CronEntry>,
    /// Where those were written.
    pub(crate) cron_place: Place,
    /// Where entries are at home that name no zone; `None` when nobody said, which is UTC.
    pub(crate) cron_zone: Option<Zone>,
    pub(crate) graceful_restart: Option<Duration>,
    pub(crate) cancel_grace: Duration,
    pub(crate) log_format: LogFormat,
    /// How the callbacks of batches are made.
    pub(crate) callbacks: Callbacks,
    /// Where an application's own processes do jobs.
    pub(crate) execution_mode: ExecutionMode,
    /// Where probes are answered.
    pub(crate) probe: Option<SocketAddr>,
    pub(crate) pidfile: Option<PathBuf>,
    /// By class.
    pub(crate) jobs: BTreeMap<String, JobSettings>,
    /// The file that they came from.
    pub(crate) jobs_file: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One line each, coloured on a terminal.
    Auto,
    /// Many lines each, for a person.
    Pretty,
    /// One JSON object each.
    Json,
}

/// Settings with what is to be said about them.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// Each setting as text with its place, for `config show`.
    pub(crate) shown: Vec<Shown>,
    /// What is odd but no reason to stop.
    pub(crate) warnings: Vec<Problem>,
}

/// A setting as `config show` has it. Secrets are left out.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) key: &'static Key,
    pub(crate) text: Option<String>,
    pub(crate) place: Place,
}

impl Settings {
    /// Merges and decodes.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub(crate) fn load(
        flags: &BTreeMap<&'static str, String>,
        environment: &Environment,
        file: Option<&SettingsFile>,
    ) -> Result<Loaded, Problems> {
        let layers = Layers::merge(flags, environment, file).map_err(|p| Problems(vec![p]))?;
        let (settings, shown) = Reader::new(&layers).read_all(environment)?;
        Ok(Loaded { settings, shown, warnings: warnings(&layers, environment) })
    }

    /// How the capsule is to run.
    pub(crate) fn config(&self) -> Config {
        Config {
            pools: self.queues.with_default(self.max_threads),
            poll_interval: self.poll_interval,
            max_cache: self.max_cache,
            max_interruptions: self.max_interruptions,
            unhandled: self.unhandled,
            preserve: self.preserve,
            cleanup: self.cleanup,
            cron: self.cron(),
            cancel_grace: self.cancel_grace,
            ..Config::default()
        }
    }

    /// The cron of a worker; without entries when it is switched off.
    fn cron(&self) -> Cron {
        match self.enable_cron {
            true => Cron {
                entries: self.cron.clone(),
                zone: self.cron_zone.unwrap_or_default(),
                graceful_restart: self.graceful_restart,
            },
            false => Cron::default(),
        }
    }
}

fn warnings(layers: &Layers, environment: &Environment) -> Vec<Problem> {
    let queus = layers::about_queus(environment).map(|message| Problem {
        place: Place::Variable(keys::QUEUS_VARIABLE.to_owned()),
        message,
    });
    let variables = nearest::variables(environment)
        .into_iter()
        .map(|(name, message)| Problem { place: Place::Variable(name), message });
    let keys = layers
        .unknown_keys()
        .into_iter()
        .map(|key| Problem { place: layers.in_file(key), message: nearest::about_key(key) });
    queus.into_iter().chain(variables).chain(keys).collect()
}

/// Reads the time of `--wait`.
pub(crate) fn parse_wait(text: &str) -> Result<Duration, String> {
    match seconds::parse(text) {
        Some(seconds::Seconds::Of(span)) => Ok(span),
        _ => Err("expected a time such as 90, 90s or 5m".to_owned()),
    }
}
