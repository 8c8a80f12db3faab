//! Flags over environment over file over defaults, merged by the `config` crate.
//!
//! Each value carries where it was written as its `origin`, and stays the text that was typed:
//! `config`'s own environment source parses `1e3`, a fine name for a queue, into a number, and knows
//! no aliases. Values from the file have no origin, since only `config` makes those.

use std::collections::BTreeMap;

use config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use super::keys::{KEYS, Key, QUEUES_VARIABLE, QUEUS_VARIABLE};
use super::problem::{Place, Problem};
use crate::environment::Environment;

/// The origin of a value that nobody wrote.
const DEFAULT: &str = "default";

/// What holds a table for each of some classes.
const CLASSES: [&str; 2] = ["jobs", "callbacks"];

/// The text of a settings file and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingsFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All values after merging, with their places.
pub(super) struct Layers {
    values: Map<String, Value>,
    path: String,
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) place: Place,
}

impl Layers {
    /// Merges. `flags` are by key.
    pub(super) fn merge(
        flags: &BTreeMap<&'static str, String>,
        environment: &Environment,
        file: Option<&SettingsFile>,
    ) -> Result<Self, Problem> {
        let path = file.map(|file| file.path.clone()).unwrap_or_default();
        let text = file.map_or("", |file| file.text.as_str());
        let merged = config::Config::builder()
            .add_source(defaults())
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(variables(environment))
            .add_source(Layer::of(flags.iter().filter_map(|(name, text)| {
                Some((*name, text.clone(), format!("--{}", Key::named(name)?.long()?)))
            })))
            .build()
            .and_then(|merged| merged.collect());
        match merged {
            Ok(values) => Ok(Self { values, path }),
            Err(error) => {
                let place = Place::File { path, key: String::new() };
                Err(Problem { place, message: error.to_string().trim_end().to_owned() })
            }
        }
    }

    /// The value of a setting; `None` when nobody gave one and it has no default.
    pub(super) fn get(&self, name: &str) -> Result<Option<Found>, Problem> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        let place = self.place(value, name);
        match value.clone().into_string() {
            Ok(text) => Ok(Some(Found { text, place })),
            Err(_) => Err(Problem {
                place,
                message: "found a table or a list, expected one value".into(),
            }),
        }
    }

    /// The tables under one of [`CLASSES`], by class.
    pub(super) fn classes(&self, name: &str) -> Result<BTreeMap<String, Value>, Problem> {
        match self.values.get(name).map(|classes| &classes.kind) {
            None => Ok(BTreeMap::new()),
            Some(ValueKind::Table(classes)) => {
                Ok(classes.iter().map(|(class, table)| (class.clone(), table.clone())).collect())
            }
            Some(_) => Err(Problem {
                place: self.in_file(name),
                message: format!("expected tables such as [{name}.\"HelloJob\"]"),
            }),
        }
    }

    /// The cron entries as they are written: tables of the file, or a text of the environment.
    pub(super) fn cron(&self) -> Option<(&Value, Place)> {
        let value = self.values.get("cron")?;
        Some((value, self.place(value, "cron")))
    }

    /// The keys of the file that are no setting.
    pub(super) fn unknown_keys(&self) -> Vec<&str> {
        let known = |name: &str| CLASSES.contains(&name) || Key::named(name).is_some();
        let mut unknown: Vec<_> =
            self.values.keys().map(String::as_str).filter(|name| !known(name)).collect();
        unknown.sort_unstable();
        unknown
    }

    /// The file.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A place in the file.
    pub(super) fn in_file(&self, key: &str) -> Place {
        Place::File { path: self.path.clone(), key: key.to_owned() }
    }

    fn place(&self, value: &Value, name: &str) -> Place {
        match value.origin() {
            None => self.in_file(name),
            Some(DEFAULT) => Place::Default,
            Some(flag) if flag.starts_with("--") => Place::Flag(flag.to_owned()),
            Some(variable) => Place::Variable(variable.to_owned()),
        }
    }
}

/// A source that `config` does not have: values with origins of our own.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Layer {
    fn of<'a>(values: impl Iterator<Item = (&'a str, String, String)>) -> Self {
        let value = |(name, text, origin): (&str, String, String)| {
            (name.to_owned(), Value::new(Some(&origin), ValueKind::String(text)))
        };
        Self(values.map(value).collect())
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn defaults() -> Layer {
    Layer::of(KEYS.iter().filter_map(|key| Some((key.name, key.default?.into(), DEFAULT.into()))))
}

fn variables(environment: &Environment) -> Layer {
    Layer::of(KEYS.iter().filter_map(|key| {
        let variable = *key.variables.iter().find(|name| environment.get(name).is_some())?;
        Some((key.name, environment.get(variable)?.to_owned(), variable.to_owned()))
    }))
}

/// What to say about the announcement's spelling, if it is there.
pub(super) fn about_queus(environment: &Environment) -> Option<String> {
    environment.get(QUEUS_VARIABLE)?;
    Some(match environment.get(QUEUES_VARIABLE) {
        None => format!("the name is {QUEUES_VARIABLE}; it was read all the same"),
        Some(_) => format!("ignored, because {QUEUES_VARIABLE} is set, which is the right name"),
    })
}
