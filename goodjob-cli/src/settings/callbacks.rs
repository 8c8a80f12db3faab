//! `[callbacks."ClassName"]` of `goodjob.toml`: where the callbacks of batches go whose class this program
//! does not know, as it is one of Ruby's.

use goodjob_core::Options;
use serde::Deserialize;

/// What the class says of itself in Ruby.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CallbackSettings {
    queue: Option<String>,
    priority: Option<i32>,
    labels: Vec<String>,
}

impl CallbackSettings {
    /// The options of a job of the class, or what is wrong with them.
    pub(super) fn options(self) -> Result<Options, String> {
        let mut options = Options::new();
        if let Some(queue) = self.queue {
            if queue.trim().is_empty() || queue.contains('\0') {
                return Err(format!("queue: found {queue:?}, expected the name of a queue"));
            }
            options = options.queue(queue);
        }
        if let Some(priority) = self.priority {
            options = options.priority(priority);
        }
        Ok(self.labels.into_iter().fold(options, Options::label))
    }
}
