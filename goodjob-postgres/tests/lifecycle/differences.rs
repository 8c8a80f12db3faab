//! What a row tells of who ran the job after all: every difference between the gem's rows and ours, each
//! with its reason. What is not listed here has to be the same, and what is listed has to be met.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::rows::{in_the_form_of, lines};
use crate::ruby::Rails;

/// Where the gem writes one thing and we write another.
pub(crate) struct Difference {
    /// Part of the path of the value.
    pub(crate) column: &'static str,
    /// A part of the line as the gem leaves it.
    pub(crate) gem: &'static str,
    /// What stands there instead.
    pub(crate) ours: &'static str,
    /// Why that is right.
    pub(crate) why: &'static str,
}

/// Every difference in the jobs of the page.
pub(crate) static DIFFERENCES: [Difference; 4] = [
    Difference {
        column: ".error = ",
        gem: "FailJob::Boom: ",
        ours: "lifecycle::jobs::Boom: ",
        why: "the class of an error is its Rust type, unless the job names another (`with_class`)",
    },
    Difference {
        column: ".exception_executions.",
        gem: "[FailJob::Boom]",
        ours: "[lifecycle::jobs::Boom]",
        why: "a rule counts under the type that it matches, unless it names Ruby's (`counted_as`)",
    },
    Difference {
        column: ".error_backtrace = ",
        gem: "\"<backtrace>\"",
        ours: "[]",
        why: "a Rust error has no frames; its causes are listed, and the array is there in any case",
    },
    Difference {
        column: "created_at is",
        gem: "that of the last retry",
        ours: "that of the enqueue",
        why: "a retry keeps the age of its job, unless the order is `created_at` (adr/0008)",
    },
];

/// What the gem writes of a retry into a job that was discarded by force meanwhile, and we do not.
pub(crate) static AFTER_A_FORCED_DISCARD: [Difference; 5] = [
    Difference {
        column: "job.performed_at = ",
        gem: "null",
        ours: "\"<time>\"",
        why: "the job is over, and its row says when it ran last",
    },
    Difference {
        column: "job.serialized_params.executions = ",
        gem: "1",
        ours: "0",
        why: "the retry does not take place, so it is not counted",
    },
    Difference {
        column: "job.serialized_params.exception_executions",
        gem: ".[lifecycle::jobs::Boom] = 1",
        ours: " = {}",
        why: "the retry does not take place, so it is not counted",
    },
    Difference {
        column: "job.serialized_params.provider_job_id = ",
        gem: "\"<uuid>\"",
        ours: "null",
        why: "the envelope is that of the last enqueue",
    },
    Difference {
        column: "job.serialized_params.scheduled_at = ",
        gem: "\"<time>\"",
        ours: "null",
        why: "the envelope is that of the last enqueue",
    },
];

/// Compares rows, and remembers which differences were met.
pub(crate) struct Comparison {
    excused: Vec<(&'static Difference, bool)>,
    unexpected: Vec<String>,
}

impl Default for Comparison {
    /// By the differences of the page.
    fn default() -> Self {
        Self::excusing(&[])
    }
}

impl Comparison {
    /// By the differences of the page, and these after them.
    pub(crate) fn excusing(more: &'static [Difference]) -> Self {
        Self::by(DIFFERENCES.iter().chain(more))
    }

    /// By these differences alone.
    pub(crate) fn by(differences: impl IntoIterator<Item = &'static Difference>) -> Self {
        let excused = differences.into_iter().map(|difference| (difference, false));
        Self { excused: excused.collect(), unexpected: Vec::new() }
    }

    /// Compares what is stored of a job with what the gem leaves of it.
    pub(crate) fn rows(&mut self, name: &str, rails: Rails, gem: &Value, ours: &Value) {
        self.lines(name, lines(gem, rails), lines(ours, rails));
    }

    pub(crate) fn lines(&mut self, name: &str, gem: Vec<String>, ours: Vec<String>) {
        let expected: BTreeSet<String> =
            gem.into_iter().map(|line| self.as_we_write_it(line)).collect();
        let ours: BTreeSet<String> = ours.into_iter().collect();
        let missing = expected.difference(&ours).map(|line| format!("{name}: gem  {line}"));
        let surplus = ours.difference(&expected).map(|line| format!("{name}: ours {line}"));
        self.unexpected.extend(missing.chain(surplus));
    }

    fn as_we_write_it(&mut self, mut line: String) -> String {
        for (difference, met) in &mut self.excused {
            if line.contains(difference.column) && line.contains(difference.gem) {
                *met = true;
                line = line.replace(difference.gem, difference.ours);
            }
        }
        line
    }

    /// Fails at what was not listed.
    pub(crate) fn assert_nothing_unexpected(&self) {
        assert!(self.unexpected.is_empty(), "not in the table:\n{}", self.unexpected.join("\n"));
    }

    /// Fails at one of these that was not met.
    pub(crate) fn assert_met(&self, differences: &'static [Difference]) {
        for (difference, met) in &self.excused {
            let wanted = differences.iter().any(|wanted| std::ptr::eq(wanted, *difference));
            let (column, why) = (difference.column, difference.why);
            assert!(*met || !wanted, "no job differs in {column} ({why})");
        }
    }
}

/// Compares one job of Rails 7.1 by the differences of the page.
pub(crate) fn assert_as_the_gem_leaves_it(name: &str, gem: Value, ours: &Value) {
    let mut comparison = Comparison::default();
    comparison.rows(name, Rails::V7_1, &in_the_form_of(Rails::V7_1, gem), ours);
    comparison.assert_nothing_unexpected();
}
