//! What a job says about itself while it runs: how far it is, and what came of it.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::store::{StoreError, Token};

/// Progress is written no more often than this by one attempt, but for its end.
pub(crate) const BETWEEN_PROGRESS: Duration = Duration::from_millis(500);
/// The longest text kept with a progress, in bytes.
const MAX_TEXT: usize = 1_000;

/// How far a job is, in units of its own.
///
/// ```
/// use goodjob_core::Progress;
/// let progress = Progress::of(40, 100).text("rows of users.csv");
/// assert_eq!(Progress::from((40, 100)).text("rows of users.csv"), progress);
/// assert_eq!(progress.to_string(), "40 of 100 (40 %): rows of users.csv");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Units that are done.
    pub done: Option<u64>,
    /// Units in all, where that is known.
    pub total: Option<u64>,
    /// What it is doing.
    pub text: Option<String>,
}

impl Progress {
    /// `done` of `total`.
    #[must_use]
    pub fn of(done: u64, total: u64) -> Self {
        Self { done: Some(done), total: Some(total), text: None }
    }

    /// `done`, of nobody knows how many.
    #[must_use]
    pub fn done(done: u64) -> Self {
        Self { done: Some(done), ..Self::default() }
    }

    /// Says what it is doing. Cut at 1,000 bytes; a NUL character, which Postgres refuses, is replaced.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        let text: String = text.into();
        self.text = Some(text[..text.floor_char_boundary(MAX_TEXT)].replace('\0', "\u{fffd}"));
        self
    }

    /// Whether all is done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.done >= Some(total))
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.done, self.total) {
            (Some(done), Some(total)) => {
                write!(f, "{done} of {total}")?;
                let percent = (u128::from(done) * 100).checked_div(total.into());
                percent.iter().try_for_each(|percent| write!(f, " ({percent} %)"))?;
            }
            (Some(done), None) => write!(f, "{done}")?,
            (None, _) => {}
        }
        match (&self.text, self.done) {
            (Some(text), Some(_)) => write!(f, ": {text}"),
            (Some(text), None) => f.write_str(text),
            (None, _) => Ok(()),
        }
    }
}

impl From<(u64, u64)> for Progress {
    fn from((done, total): (u64, u64)) -> Self {
        Self::of(done, total)
    }
}

impl From<&str> for Progress {
    fn from(text: &str) -> Self {
        Self::default().text(text)
    }
}

/// Something that an attempt says.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// How far it is. Takes the place of what was said before.
    Progress(Progress),
    /// What came of it. Takes the place of an earlier result.
    Result(Value),
}

impl Note {
    /// The largest result kept, in bytes of JSON: 64 KiB. Larger ones belong elsewhere.
    pub const MAX_RESULT: usize = 64 * 1024;
}

/// What the attempts at a job have said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobNotes {
    /// The last progress.
    #[serde(flatten)]
    pub progress: Progress,
    /// The last result.
    pub result: Option<Value>,
    /// Which start of the job said the last of these; 1 is the first.
    pub attempt: i32,
    /// When that was.
    pub noted_at: Timestamp,
}

/// Keeps notes beside jobs: a part of a [`Backend`](crate::Backend) that not every one has.
#[async_trait]
pub trait Notes: Send + Sync {
    /// Writes a note if the attempt is still the current one and its job is not over; false when
    /// nothing was written. Notes go with their job.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn note(&self, token: &Token, note: &Note) -> Result<bool, StoreError>;

    /// What was noted; `None` when nothing was.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    async fn notes(&self, job: JobId) -> Result<Option<JobNotes>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_like_a_person_would_say_it() {
        for (progress, text) in [
            (Progress::of(1, 3), "1 of 3 (33 %)"),
            (Progress::of(0, 0), "0 of 0"),
            (
                Progress::of(u64::MAX, u64::MAX),
                "18446744073709551615 of 18446744073709551615 (100 %)",
            ),
            (Progress::done(7), "7"),
            (Progress::done(7).text("mails"), "7: mails"),
            (Progress::from("asks the bank"), "asks the bank"),
            (Progress::default(), ""),
        ] {
            assert_eq!(progress.to_string(), text);
        }
        assert!(Progress::of(3, 3).is_complete() && !Progress::done(3).is_complete());
        let long = Progress::from("ä\0".repeat(2_000).as_str()).text.unwrap();
        assert!(long.len() < 2 * MAX_TEXT && !long.contains('\0'));
    }
}
