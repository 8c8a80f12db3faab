//! What `goodjob jobs` takes: which jobs, and what to do about them.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use goodjob_core::{Due, JobId, JobState, Timestamp};
use goodjob_postgres::jobs::{Filter, FilterError, STATES};

/// `STATES`, by name.
const STATE_NAMES: [&str; 6] =
    ["scheduled", "retried", "queued", "running", "succeeded", "discarded"];

/// The arguments that are filters, by their names in this file. A job that is named needs none.
const FILTERS: [&str; 8] =
    ["states", "queue", "no_queue", "class", "labels", "text", "older_than", "newer_than"];

#[derive(Subcommand)]
pub(crate) enum JobsCommand {
    /// List jobs, newest first
    #[command(after_help = LIST_HELP)]
    List(ListArgs),
    /// Show everything about a job, with its arguments and attempts
    #[command(after_help = "Example: goodjob jobs show 0193f1c0-0000-7000-8000-000000000001\n\n\
                            goodjob explain says why a job is not running.")]
    Show {
        /// The job
        #[arg(value_name = "ID")]
        id: JobId,
    },
    /// Run discarded jobs again, now
    #[command(after_help = RETRY_HELP)]
    Retry(Choice),
    /// End unfinished jobs with an error that says so
    #[command(after_help = DISCARD_HELP)]
    Discard(DiscardArgs),
    /// Move the time of unfinished jobs; without a time, to now
    #[command(after_help = RESCHEDULE_HELP)]
    Reschedule(RescheduleArgs),
    /// Delete finished jobs with their attempts
    #[command(after_help = DELETE_HELP)]
    Delete(Choice),
}

const LIST_HELP: &str = "\
Examples:
  goodjob jobs list --state discarded --class ReportJob
  goodjob jobs list --text 'customer 42' --json
  goodjob jobs list --after 0193f1c0-0000-7000-8000-000000000001";

const RETRY_HELP: &str = "\
Jobs that somebody runs or has locked are left alone. Exits with 3 if a job that was named was not \
retried.

Examples:
  goodjob jobs retry 0193f1c0-0000-7000-8000-000000000001
  goodjob jobs retry --class ReportJob --text timeout --dry-run
  goodjob jobs retry --all --yes";

const DISCARD_HELP: &str = "\
Jobs that somebody runs or has locked are left alone, unless they are named with --force: they are then \
over, but what runs is not stopped. Exits with 3 if a job that was named was not discarded.

Examples:
  goodjob jobs discard 0193f1c0-0000-7000-8000-000000000001 --reason 'sent twice'
  goodjob jobs discard --queue imports --older-than 7d --yes
  goodjob jobs discard --force 0193f1c0-0000-7000-8000-000000000001";

const RESCHEDULE_HELP: &str = "\
Jobs that somebody runs or has locked are left alone. Exits with 3 if a job that was named was not \
rescheduled.

Examples:
  goodjob jobs reschedule 0193f1c0-0000-7000-8000-000000000001
  goodjob jobs reschedule --class ReportJob --in 2h
  goodjob jobs reschedule --queue mail --at 2030-01-31T09:00:00Z --yes";

const DELETE_HELP: &str = "\
Jobs that somebody has locked are left alone. Exits with 3 if a job that was named was not deleted.

Examples:
  goodjob jobs delete 0193f1c0-0000-7000-8000-000000000001
  goodjob jobs delete --state succeeded --older-than 30d --yes";

/// Which jobs. All that is given has to hold.
#[derive(Args)]
#[command(next_help_heading = "Which jobs")]
pub(crate) struct FilterArgs {
    /// In this state; may be given often
    #[arg(long = "state", value_name = "STATE", value_parser = state_parser())]
    states: Vec<JobState>,
    /// In this queue
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// In no queue
    #[arg(long, conflicts_with = "queue")]
    no_queue: bool,
    /// Of this class
    #[arg(long)]
    class: Option<String>,
    /// With this label; may be given often, for jobs that have them all
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// With this text in the id, the arguments or the error, in upper or lower case
    #[arg(long)]
    text: Option<String>,
    /// Enqueued this long ago or earlier; 90, 90s, 5m and 7d are understood
    #[arg(long, value_name = "SECONDS", value_parser = crate::settings::parse_wait)]
    older_than: Option<Duration>,
    /// Enqueued this long ago or later
    #[arg(long, value_name = "SECONDS", value_parser = crate::settings::parse_wait)]
    newer_than: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// How many jobs at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Go on after this job, the last of the page before
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<JobId>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Jobs by id, or by filter.
#[derive(Args)]
pub(crate) struct Choice {
    /// The jobs
    #[arg(value_name = "ID", conflicts_with_all = FILTERS)]
    pub(crate) ids: Vec<JobId>,
    /// Do not ask before doing it to all that is found
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Say how many jobs it would be done to, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    // Its heading in help is that of all that follows.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// All jobs that it can be done to
    #[arg(long, conflicts_with_all = FILTERS, conflicts_with = "ids")]
    pub(crate) all: bool,
}

#[derive(Args)]
pub(crate) struct DiscardArgs {
    /// Why, for those who find the error
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Even if it runs or is locked; only for jobs by id
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

#[derive(Args)]
pub(crate) struct RescheduleArgs {
    /// To this time, such as 2030-01-31T09:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// To this many seconds from now; 90, 90s and 5m are understood
    #[arg(long = "in", value_name = "SECONDS", conflicts_with = "at", value_parser = crate::settings::parse_wait)]
    wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

impl RescheduleArgs {
    pub(crate) fn due(&self) -> Due {
        match (self.wait, self.at) {
            (Some(wait), _) => Due::In(wait),
            (None, Some(at)) => Due::At(at),
            (None, None) => Due::Now,
        }
    }
}

impl FilterArgs {
    /// Whether nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.states.is_empty() && self.other_conditions().is_empty()
    }

    pub(crate) fn filter(&self) -> Result<Filter, FilterError> {
        let mut filter = Filter::new();
        if !self.states.is_empty() {
            filter = filter.states(self.states.iter().copied());
        }
        if let Some(queue) = &self.queue {
            filter = filter.queue(queue)?;
        }
        if self.no_queue {
            filter = filter.without_queue();
        }
        if let Some(class) = &self.class {
            filter = filter.class(class)?;
        }
        for label in &self.labels {
            filter = filter.label(label)?;
        }
        if let Some(text) = &self.text {
            filter = filter.text(text)?;
        }
        if let Some(age) = self.older_than {
            filter = filter.older_than(age);
        }
        if let Some(age) = self.newer_than {
            filter = filter.newer_than(age);
        }
        Ok(filter)
    }

    /// The states as typed.
    pub(crate) fn states(&self) -> &[JobState] {
        &self.states
    }

    /// All but the states, as they follow the word "jobs".
    pub(crate) fn other_conditions(&self) -> String {
        let span = |age: Duration| humantime::format_duration(age).to_string();
        let mut words = Vec::new();
        words.extend(self.class.as_ref().map(|class| format!("of class {class}")));
        words.extend(self.queue.as_ref().map(|queue| format!("in queue {queue}")));
        words.extend(self.no_queue.then(|| "in no queue".to_owned()));
        words.extend(self.labels.iter().map(|label| format!("with label {label}")));
        words.extend(self.text.as_ref().map(|text| format!("with the text {text:?}")));
        words.extend(self.older_than.map(|age| format!("older than {}", span(age))));
        words.extend(self.newer_than.map(|age| format!("newer than {}", span(age))));
        words.iter().map(|word| format!(" {word}")).collect()
    }
}

fn state_parser() -> impl TypedValueParser<Value = JobState> {
    PossibleValuesParser::new(STATE_NAMES).try_map(|name| {
        let state = STATES.into_iter().find(|state| state.to_string() == name);
        state.ok_or_else(|| format!("expected one of {}", STATE_NAMES.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_name() {
        assert_eq!(STATES.map(|state| state.to_string()), STATE_NAMES);
    }
}
