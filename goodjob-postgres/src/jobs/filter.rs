//! Which jobs are wanted.

use std::collections::BTreeSet;
use std::time::Duration;

use goodjob_core::{JobId, JobState};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Postgres, SqlStr};
use uuid::Uuid;

/// Every state, in the order of a job's life.
pub const STATES: [JobState; 6] = [
    JobState::Scheduled,
    JobState::Retried,
    JobState::Queued,
    JobState::Running,
    JobState::Succeeded,
    JobState::Discarded,
];

/// The jobs for which every condition holds. Without a condition these are all jobs.
///
/// ```
/// use goodjob_core::JobState;
/// use goodjob_postgres::jobs::Filter;
///
/// let failed = Filter::new().states([JobState::Discarded]).class("ReportJob")?;
/// assert!(Filter::new().text("").is_err());
/// # Ok::<(), goodjob_postgres::jobs::FilterError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    states: BTreeSet<JobState>,
    queue: Option<Queue>,
    class: Option<String>,
    labels: Vec<String>,
    text: Option<String>,
    ids: Option<Vec<Uuid>>,
    older_than: Option<Duration>,
    newer_than: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Queue {
    Named(String),
    Without,
}

/// What no filter can ask for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// Postgres holds no NUL character, so no row can have it.
    #[error("{what}: found a NUL character, which Postgres cannot hold")]
    Nul {
        /// Which condition.
        what: &'static str,
    },
    /// Every job has the empty text; who asks for it has left something out.
    #[error("text: found nothing, expected what to look for")]
    NoText,
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

impl Filter {
    /// All jobs.
    #[must_use]
    pub fn new() -> Self {
        Self {
            states: STATES.into(),
            queue: None,
            class: None,
            labels: Vec::new(),
            text: None,
            ids: None,
            older_than: None,
            newer_than: None,
        }
    }

    /// In one of these states.
    #[must_use]
    pub fn states(mut self, states: impl IntoIterator<Item = JobState>) -> Self {
        self.states = states.into_iter().collect();
        self
    }

    /// In this queue.
    ///
    /// # Errors
    /// [`FilterError::Nul`].
    pub fn queue(mut self, name: impl Into<String>) -> Result<Self, FilterError> {
        self.queue = Some(Queue::Named(storable("queue", name.into())?));
        Ok(self)
    }

    /// In no queue: NULL is legal.
    #[must_use]
    pub fn without_queue(mut self) -> Self {
        self.queue = Some(Queue::Without);
        self
    }

    /// Of this class.
    ///
    /// # Errors
    /// [`FilterError::Nul`].
    pub fn class(mut self, class: impl Into<String>) -> Result<Self, FilterError> {
        self.class = Some(storable("class", class.into())?);
        Ok(self)
    }

    /// With this label, beside those asked for before.
    ///
    /// # Errors
    /// [`FilterError::Nul`].
    pub fn label(mut self, label: impl Into<String>) -> Result<Self, FilterError> {
        self.labels.push(storable("label", label.into())?);
        Ok(self)
    }

    /// With this text in the id, the arguments or the error. Upper and lower case are the same, and no
    /// character stands for others. The first 262,144 characters of arguments and error are looked at,
    /// as by the gem. No index helps: every row that the other conditions leave is read.
    ///
    /// # Errors
    /// [`FilterError::Nul`], and [`FilterError::NoText`] for an empty one.
    pub fn text(mut self, text: impl Into<String>) -> Result<Self, FilterError> {
        let text = storable("text", text.into())?;
        if text.is_empty() {
            return Err(FilterError::NoText);
        }
        self.text = Some(text);
        Ok(self)
    }

    /// With one of these ids.
    #[must_use]
    pub fn ids(mut self, ids: impl IntoIterator<Item = JobId>) -> Self {
        self.ids = Some(ids.into_iter().map(Uuid::from).collect());
        self
    }

    /// Enqueued this long ago or earlier, by the database's clock.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Enqueued this long ago or later, by the database's clock.
    #[must_use]
    pub fn newer_than(mut self, age: Duration) -> Self {
        self.newer_than = Some(age);
        self
    }

    /// The same, and in one of these states.
    #[must_use]
    pub fn only(mut self, states: &[JobState]) -> Self {
        self.states.retain(|state| states.contains(state));
        self
    }

    /// The states that are looked for. Without any nothing is found.
    #[must_use]
    pub fn wanted_states(&self) -> &BTreeSet<JobState> {
        &self.states
    }

    /// A statement that begins with `jobs_matching.sql`, with the parameters of that; its own come after.
    ///
    /// Not kept prepared: its plan has to know the values, and a plan for all values reads every row.
    pub(super) fn query(&self, statement: SqlStr) -> Query<'static, Postgres, PgArguments> {
        let queue = match &self.queue {
            Some(Queue::Named(name)) => Some(name.clone()),
            _ => None,
        };
        let query = sqlx::query(statement).persistent(false);
        STATES
            .iter()
            .fold(query, |query, state| query.bind(self.states.contains(state)))
            .bind(queue)
            .bind(self.queue == Some(Queue::Without))
            .bind(self.class.clone())
            .bind((!self.labels.is_empty()).then(|| self.labels.clone()))
            .bind(self.text.clone())
            .bind(self.text.as_deref().map(in_json))
            .bind(self.ids.clone())
            .bind(self.older_than.map(|age| age.as_secs_f64()))
            .bind(self.newer_than.map(|age| age.as_secs_f64()))
    }
}

/// The state of this name.
pub(super) fn state(name: &str) -> Option<JobState> {
    STATES.into_iter().find(|state| state.to_string() == name)
}

fn storable(what: &'static str, text: String) -> Result<String, FilterError> {
    if text.contains('\0') { Err(FilterError::Nul { what }) } else { Ok(text) }
}

/// The text as it stands inside a JSON text, without the quotes around it.
fn in_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_cannot_hold_is_refused_by_name() {
        let nul = Filter::new().class("a\0b").unwrap_err().to_string();
        assert_eq!(nul, "class: found a NUL character, which Postgres cannot hold");
        for refused in [
            Filter::new().queue("\0"),
            Filter::new().label("\0"),
            Filter::new().text("x\0"),
            Filter::new().text(""),
        ] {
            assert!(refused.is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_text_is_looked_for_as_json_writes_it_too() {
        assert_eq!(in_json("plain % _"), "plain % _");
        assert_eq!(in_json("say \"hi\"\n\\"), "say \\\"hi\\\"\\n\\\\");
    }

    #[test]
    fn narrowing_never_widens() {
        let filter = Filter::new().states([JobState::Queued, JobState::Discarded]);
        let narrow = filter.only(&[JobState::Discarded, JobState::Succeeded]);
        assert_eq!(narrow.wanted_states(), &BTreeSet::from([JobState::Discarded]));
        assert!(narrow.only(&[]).wanted_states().is_empty());
    }

    #[test]
    fn every_state_is_found_by_its_name() {
        for state in STATES {
            assert_eq!(super::state(&state.to_string()), Some(state));
        }
        assert_eq!(state("done"), None);
    }
}
