//! What `goodjob pause` and `goodjob unpause` take.

use clap::Args;
use goodjob_core::Pause;

pub(crate) const PAUSE_HELP: &str = "\
Jobs of what is paused stay queued until it is unpaused; those that run go on. Workers of Ruby's GoodJob heed \
it where enable_pauses is set.

Examples:
  goodjob pause --queue mail
  goodjob pause --class ReportJob --label slow";

pub(crate) const UNPAUSE_HELP: &str = "\
Wakes workers. What was not paused is told of, and is no failure.

Example: goodjob unpause --queue mail";

#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct PauseArgs {
    /// A queue; may be given often
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// A class of jobs, in every queue; may be given often
    #[arg(long = "class", value_name = "CLASS")]
    classes: Vec<String>,
    /// Jobs with this label among theirs; may be given often
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
}

impl PauseArgs {
    /// Each thing that was named.
    pub(crate) fn pauses(&self) -> Vec<Pause> {
        let queues = self.queues.iter().cloned().map(Pause::Queue);
        let classes = self.classes.iter().cloned().map(Pause::Class);
        queues.chain(classes).chain(self.labels.iter().cloned().map(Pause::Label)).collect()
    }
}
