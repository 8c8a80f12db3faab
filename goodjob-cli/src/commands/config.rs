//! `goodjob config show` and `goodjob config check`.

use goodjob_core::{CronEntry, Handlers};
use serde_json::{Map, json};

use super::Workplace;
use super::workplace::{all_entries, all_jobs};
use crate::args::WorkerSettings;
use crate::error::CliError;
use crate::output::{table, tell};
use crate::settings::{Loaded, Shown};

pub(super) fn show(
    typed: &WorkerSettings,
    workplace: &Workplace,
    handlers: &Handlers,
) -> Result<(), CliError> {
    let Loaded { settings, shown, warnings } = workplace.load(typed)?;
    warnings.iter().for_each(|warning| tell("warning", warning));
    let mut jobs = handlers.classes();
    jobs.extend(settings.jobs.into_keys());
    let value = |shown: &Shown| json!({ "value": shown.text, "from": shown.place.to_string() });
    let mut all: Map<_, _> = shown.iter().map(|s| (s.key.name.to_owned(), value(s))).collect();
    all.insert("jobs".to_owned(), json!(jobs));
    workplace.output().result(&all, || {
        let rows = shown.iter().map(|s| {
            [s.key.name.to_owned(), s.text.clone().unwrap_or_default(), s.place.to_string()]
        });
        let jobs = if jobs.is_empty() { "none".to_owned() } else { jobs.join(", ") };
        format!("{}\n\njobs: {jobs}", table(["setting", "value", "from"], rows))
    });
    Ok(())
}

/// A mistyped name only warns elsewhere; here it fails, since this is asked to find it.
pub(super) fn check(
    typed: &WorkerSettings,
    workplace: &Workplace,
    handlers: Handlers,
    entries: Vec<CronEntry>,
) -> Result<(), CliError> {
    let found = match workplace.load(typed) {
        Ok(loaded) => {
            let jobs = all_jobs(handlers, &loaded.settings).err();
            let cron = all_entries(entries, &loaded.settings).err();
            let problems = jobs.into_iter().chain(cron).flat_map(|problems| problems.0);
            loaded.warnings.into_iter().chain(problems).collect()
        }
        Err(problems) => problems.0,
    };
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    workplace.output().result(&json!({ "problems": lines }), || match lines.as_slice() {
        [] => "the settings are fine".to_owned(),
        lines => lines.join("\n"),
    });
    match found.len() {
        0 => Ok(()),
        1 => Err(CliError::Check("one setting is wrong".to_owned())),
        n => Err(CliError::Check(format!("{n} settings are wrong"))),
    }
}
