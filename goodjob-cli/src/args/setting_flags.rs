//! Flags that are settings. They are made from the table of settings, and stay text here: what a
//! value means is decided once for flags, environment and file.

use std::collections::BTreeMap;

use clap::error::Error;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::settings::{Flag, KEYS, Key};

/// The settings that every command takes.
#[derive(Default)]
pub(crate) struct GlobalSettings(pub(crate) BTreeMap<&'static str, String>);

/// The settings of commands that run jobs.
#[derive(Default)]
pub(crate) struct WorkerSettings(pub(crate) BTreeMap<&'static str, String>);

fn global_keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| matches!(key.flag, Flag::Everywhere(_)))
}

fn worker_keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| matches!(key.flag, Flag::Worker(_)))
}

fn flag(key: &'static Key) -> Arg {
    let arg = Arg::new(key.name)
        .long(key.long().unwrap_or(key.name))
        .value_name(key.value)
        .help(key.help())
        // `-1` and `-elephants:2` are values.
        .allow_hyphen_values(true);
    match key.value {
        // As in the gem's command line, a boolean flag alone means true.
        "BOOLEAN" => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    }
}

fn typed(
    keys: impl Iterator<Item = &'static Key>,
    matches: &ArgMatches,
) -> BTreeMap<&'static str, String> {
    keys.filter_map(|key| Some((key.name, matches.get_one::<String>(key.name)?.clone()))).collect()
}

impl Args for GlobalSettings {
    fn augment_args(command: Command) -> Command {
        command
            .args(global_keys().map(|key| flag(key).global(true).help_heading(super::EVERYWHERE)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GlobalSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(typed(global_keys(), matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.extend(typed(global_keys(), matches));
        Ok(())
    }
}

impl Args for WorkerSettings {
    fn augment_args(command: Command) -> Command {
        command.args(worker_keys().map(|key| flag(key).help_heading("Settings")))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for WorkerSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(typed(worker_keys(), matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.extend(typed(worker_keys(), matches));
        Ok(())
    }
}
