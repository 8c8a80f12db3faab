//! What `goodjob enqueue` takes, and the arguments of a job as JSON.

use std::time::Duration;

use clap::Args;
use goodjob_core::{Arguments, Due, EnqueueError, JobId, NewJob, Options, Timestamp};
use serde_json::Value;

pub(super) const HELP: &str = "\
Examples:
  goodjob enqueue HelloJob --args '{\"name\": \"Ada\"}'
  goodjob enqueue ReportJob --args '[2024, \"q1\"]' --queue reports --wait 5m";

#[derive(Args)]
pub(crate) struct EnqueueArgs {
    /// The job's class
    pub(crate) class: String,
    #[command(flatten)]
    pub(crate) arguments: ArgumentsJson,
    /// The queue [default: default]
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// A smaller number runs first [default: 0]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Start no sooner than this many seconds from now; 90, 90s and 5m are understood
    #[arg(long, value_name = "SECONDS", value_parser = crate::settings::parse_wait)]
    pub(crate) wait: Option<Duration>,
    /// Start no sooner than this time, such as 2030-01-31T09:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "wait")]
    pub(crate) wait_until: Option<Timestamp>,
    /// A label; may be given often
    #[arg(long = "label", value_name = "LABEL")]
    pub(crate) labels: Vec<String>,
    /// The id; enqueueing twice with one id stores one job
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<JobId>,
}

impl EnqueueArgs {
    /// The job that was asked for.
    pub(crate) fn job(&self) -> Result<NewJob, EnqueueError> {
        let arguments = self.arguments.value.clone();
        let mut job = NewJob::of_class(&self.class, arguments, self.options())?;
        job.due = match (self.wait, self.wait_until) {
            (Some(wait), _) => Due::In(wait),
            (None, Some(at)) => Due::At(at),
            (None, None) => Due::Now,
        };
        if let Some(id) = self.id {
            job.id = id;
        }
        Ok(job)
    }

    fn options(&self) -> Options {
        let mut options = Options::new();
        if let Some(queue) = &self.queue {
            options = options.queue(queue);
        }
        if let Some(priority) = self.priority {
            options = options.priority(priority);
        }
        self.labels.iter().fold(options, |options, label| options.label(label))
    }
}

/// The arguments of a job.
#[derive(Args)]
pub(crate) struct ArgumentsJson {
    /// Its arguments: a JSON array is positional, a JSON object is keywords
    #[arg(long = "args", value_name = "JSON", default_value = "[]", value_parser = arguments)]
    pub(crate) value: Arguments,
}

/// Reads arguments. An error names line and column.
fn arguments(json: &str) -> Result<Arguments, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let arguments = match value {
        Value::Array(values) => Arguments::positional(values),
        Value::Object(keywords) => Arguments::keywords(keywords),
        _ => return Err("expected a JSON array or object".to_owned()),
    };
    arguments.map_err(|error| error.to_string())
}
