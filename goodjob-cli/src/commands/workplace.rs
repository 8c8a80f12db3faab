//! What commands have in common: the settings, the database, the jobs.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use goodjob_core::{CronEntry, Handlers};
use goodjob_postgres::PgOptions;

use crate::args::{Global, WorkerSettings};
use crate::environment::Environment;
use crate::error::CliError;
use crate::logging;
use crate::output::{self, Output};
use crate::settings::{CONFIG_VARIABLE, Loaded, Place, Problem, Problems, Settings, SettingsFile};

/// The name of the settings file that is read when no other is named.
const FILE: &str = "goodjob.toml";

/// Where a command is done.
pub(crate) struct Workplace {
    global: Global,
    environment: Environment,
    directory: PathBuf,
}

impl Workplace {
    pub(crate) fn new(global: Global, environment: Environment, directory: PathBuf) -> Self {
        Self { global, environment, directory }
    }

    /// Where results go.
    pub(crate) fn output(&self) -> Output {
        Output { json: self.global.json }
    }

    /// Loads the settings, starts logging, and says what is odd about them.
    pub(crate) fn settings(&self, typed: &WorkerSettings) -> Result<Settings, CliError> {
        let loaded = self.load(typed)?;
        logging::start(loaded.settings.log_format, &self.global, &self.environment);
        loaded.warnings.iter().for_each(|warning| output::tell("warning", warning));
        Ok(loaded.settings)
    }

    /// The database, for a command that has no settings of a worker.
    pub(crate) fn database(&self) -> Result<PgOptions, CliError> {
        self.settings(&WorkerSettings::default())?.database.ok_or(CliError::NoDatabase)
    }

    /// Loads the settings without a word.
    pub(crate) fn load(&self, typed: &WorkerSettings) -> Result<Loaded, Problems> {
        let mut flags: BTreeMap<_, _> = self.global.settings.0.clone();
        flags.extend(typed.0.clone());
        let file = self.file().map_err(|problem| Problems(vec![problem]))?;
        Settings::load(&flags, &self.environment, file.as_ref())
    }

    fn file(&self) -> Result<Option<SettingsFile>, Problem> {
        settings_file(self.global.config.as_deref(), &self.environment, &self.directory)
    }
}

/// The settings file that was named by the flag or the variable, or lies in the directory.
pub(crate) fn settings_file(
    flag: Option<&Path>,
    environment: &Environment,
    directory: &Path,
) -> Result<Option<SettingsFile>, Problem> {
    let named = match (flag, environment.get(CONFIG_VARIABLE)) {
        (Some(path), _) => Some((path.to_owned(), Place::Flag("--config".to_owned()))),
        (None, Some(path)) => Some((path.into(), Place::Variable(CONFIG_VARIABLE.to_owned()))),
        (None, None) => None,
    };
    match named {
        Some((path, place)) => read(&path, &path).map(Some).map_err(|(_, reason)| Problem {
            message: format!("cannot read {}: {reason}", path.display()),
            place,
        }),
        None => match read(&directory.join(FILE), Path::new(FILE)) {
            Ok(file) => Ok(Some(file)),
            Err((ErrorKind::NotFound, _)) => Ok(None),
            Err((_, message)) => {
                let place = Place::File { path: FILE.to_owned(), key: String::new() };
                Err(Problem { place, message })
            }
        },
    }
}

fn read(path: &Path, name: &Path) -> Result<SettingsFile, (ErrorKind, String)> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SettingsFile { path: name.display().to_string(), text }),
        Err(error) => Err((error.kind(), error.to_string())),
    }
}

/// The application's jobs and those of the file, which may not meet.
pub(crate) fn all_jobs(mut handlers: Handlers, settings: &Settings) -> Result<Handlers, Problems> {
    let mut problems = Vec::new();
    let mut report = |key, message| {
        let place = Place::File { path: settings.jobs_file.clone(), key };
        problems.push(Problem { place, message });
    };
    for (class, job) in &settings.jobs {
        if handlers.get(class).is_some() {
            let message = "this program has a job of that class itself; remove one of the two";
            report(format!("jobs.{class:?}"), message.to_owned());
            continue;
        }
        match job.build(class) {
            Ok(handler) => handlers.add(class, handler),
            // Each text names the class and the key.
            Err(error) => {
                error.problems().iter().for_each(|problem| report(String::new(), problem.clone()));
            }
        }
    }
    if problems.is_empty() { Ok(handlers) } else { Err(Problems(problems)) }
}

/// The application's cron entries and those of the settings, which may not meet.
pub(crate) fn all_entries(
    mut entries: Vec<CronEntry>,
    settings: &Settings,
) -> Result<Vec<CronEntry>, Problems> {
    let known: Vec<String> = entries.iter().map(|entry| entry.key().to_owned()).collect();
    let twice = settings.cron.iter().filter(|entry| known.iter().any(|key| key == entry.key()));
    let mut problems: Vec<Problem> = twice
        .map(|entry| Problem {
            place: settings.cron_place.clone(),
            message: format!(
                "this program has a cron entry {:?} itself; remove one of the two",
                entry.key()
            ),
        })
        .collect();
    entries.extend(settings.cron.iter().cloned());
    for entry in &mut entries {
        match limited(entry, settings) {
            Ok(Some(limited)) => *entry = limited,
            Ok(None) => {}
            Err(message) => {
                let message = format!("{}: {message}", entry.key());
                problems.push(Problem { place: settings.cron_place.clone(), message });
            }
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(Problems(problems)) }
}

/// The entry with the limits that the settings file has for its class, if it has some.
fn limited(entry: &CronEntry, settings: &Settings) -> Result<Option<CronEntry>, String> {
    let known = entry.class().and_then(|class| Some((class, settings.jobs.get(class)?)));
    let (Some((class, job)), Some(arguments)) = (known, entry.arguments()) else { return Ok(None) };
    // What is wrong with the class itself is told of with the jobs.
    let Ok(templates) = job.limits(class) else { return Ok(None) };
    let limits = templates.of(arguments).map_err(|error| error.to_string())?;
    entry.clone().limited(limits).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use goodjob_core::{Handler, Policy};

    use super::*;

    #[test]
    fn a_class_of_both_the_program_and_the_file_is_a_problem_of_the_file() {
        let file = SettingsFile {
            path: "jobs.toml".to_owned(),
            text: "[jobs.\"HelloJob\"]\ncommand = [\"true\"]".to_owned(),
        };
        let loaded =
            Settings::load(&BTreeMap::new(), &Environment::default(), Some(&file)).unwrap();
        let mut handlers = Handlers::default();
        let run = Arc::new(|_, _| -> goodjob_core::Running { Box::pin(async { Ok(()) }) });
        handlers.add("HelloJob", Handler { policy: Policy::new(), run });
        let problems = all_jobs(handlers, &loaded.settings).unwrap_err().to_string();
        assert_eq!(
            problems,
            "jobs.toml, jobs.\"HelloJob\": this program has a job of that class itself; \
             remove one of the two"
        );
    }

    #[test]
    fn an_entry_has_the_limits_that_the_file_has_for_its_class() {
        let text = |key: &str| {
            format!(
                "[jobs.\"AJob\"]\ncommand = [\"true\"]\nlimits = [{{ key = \"{key}\", total = 1 }}]\n\
                 [cron.a]\ncron = \"@daily\"\nclass = \"AJob\"\nkwargs = {{ shop = \"x\" }}"
            )
        };
        let load = |text| {
            let file = SettingsFile { path: "jobs.toml".to_owned(), text };
            let none = (BTreeMap::new(), Environment::default());
            Settings::load(&none.0, &none.1, Some(&file)).unwrap().settings
        };
        let entries = all_entries(Vec::new(), &load(text("shop-{shop}"))).unwrap();
        let job = entries[0].job(goodjob_core::Timestamp::UNIX_EPOCH).unwrap().unwrap();
        assert_eq!(job.limits.key(), Some("shop-x"));
        assert_eq!(job.ties.concurrency_key.as_deref(), Some("shop-x"));
        let problems = all_entries(Vec::new(), &load(text("{town}"))).unwrap_err().to_string();
        assert!(problems.starts_with("jobs.toml, cron: a: "), "{problems}");
        assert!(problems.contains("town"), "{problems}");
    }

    #[test]
    fn an_entry_of_both_the_program_and_the_file_is_a_problem_of_the_file() {
        let file = SettingsFile {
            path: "jobs.toml".to_owned(),
            text: "[cron.a]\ncron = \"@daily\"\nclass = \"AJob\"".to_owned(),
        };
        let loaded =
            Settings::load(&BTreeMap::new(), &Environment::default(), Some(&file)).unwrap();
        let entry = |key| {
            CronEntry::of_class(key, "@hourly", "AJob", goodjob_core::Arguments::default()).unwrap()
        };
        let problems = all_entries(vec![entry("a")], &loaded.settings).unwrap_err().to_string();
        assert_eq!(
            problems,
            "jobs.toml, cron: this program has a cron entry \"a\" itself; remove one of the two"
        );
        assert_eq!(all_entries(vec![entry("b")], &loaded.settings).unwrap().len(), 2);
    }
}
