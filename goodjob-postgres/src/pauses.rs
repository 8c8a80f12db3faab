//! Pausing, and what a claim need not even look for because it is paused.
//!
//! Every claim judges each row by the pauses itself. But a claim for queues that are paused altogether would
//! walk their whole backlog to find nothing, and so while anything is paused the names are read before.

use std::fmt;

use goodjob_core::{QueueSelector, StoreError, Wanted};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};

use crate::dialect::Dialect;
use crate::error::store_error;
use crate::sql;
use crate::store::PgStore;

/// The setting as claims read it.
#[derive(Debug, FromRow)]
pub(crate) struct Pauses {
    /// Whether anything is paused.
    pub(crate) something: bool,
    queues: Vec<String>,
    classes: Vec<String>,
}

impl Pauses {
    pub(crate) async fn read(session: &mut PgConnection, dialect: &Dialect) -> sqlx::Result<Self> {
        sqlx::query_as(dialect.sql(sql::PAUSED)).fetch_one(session).await
    }

    /// What is left of a search; `None` when that is nothing.
    pub(crate) fn leave_of(&self, wanted: &Wanted) -> Option<Wanted> {
        let left = |names: &[String], paused: &[String]| -> Vec<String> {
            names.iter().filter(|name| !paused.contains(name)).cloned().collect()
        };
        let queues = match &wanted.queues {
            QueueSelector::Only(names) => QueueSelector::Only(left(names, &self.queues)),
            QueueSelector::InOrder(names) => QueueSelector::InOrder(left(names, &self.queues)),
            QueueSelector::All if self.queues.is_empty() => QueueSelector::All,
            QueueSelector::All => QueueSelector::Except(self.queues.clone()),
            QueueSelector::Except(names) => {
                let more = self.queues.iter().filter(|queue| !names.contains(queue));
                QueueSelector::Except(names.iter().chain(more).cloned().collect())
            }
        };
        let classes = left(&wanted.classes, &self.classes);
        let is_nothing = match &queues {
            QueueSelector::Only(names) | QueueSelector::InOrder(names) => names.is_empty(),
            QueueSelector::All | QueueSelector::Except(_) => false,
        };
        (!is_nothing && !classes.is_empty()).then_some(Wanted { queues, classes })
    }
}

/// Something whose jobs may be paused: they stay queued, and no worker starts them. Those that run go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A queue.
    Queue(String),
    /// A class of jobs, whatever their queue.
    Class(String),
    /// Jobs with a label among theirs.
    Label(String),
}

impl Pause {
    /// The list of the setting, and the name in it.
    fn entry(&self) -> (&'static str, &str) {
        match self {
            Self::Queue(name) => ("queues", name),
            Self::Class(name) => ("job_classes", name),
            Self::Label(name) => ("labels", name),
        }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue {name:?}"),
            Self::Class(name) => write!(f, "class {name:?}"),
            Self::Label(name) => write!(f, "label {name:?}"),
        }
    }
}

/// Everything that is paused, each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct Paused {
    /// Queues.
    pub queues: Vec<String>,
    /// Classes.
    #[serde(rename = "job_classes")]
    pub classes: Vec<String>,
    /// Labels.
    pub labels: Vec<String>,
}

impl Paused {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Pause> {
        let queues = self.queues.iter().cloned().map(Pause::Queue);
        let classes = self.classes.iter().cloned().map(Pause::Class);
        queues.chain(classes).chain(self.labels.iter().cloned().map(Pause::Label))
    }
}

impl PgStore {
    /// Pauses jobs, also for the gem's workers that have `enable_pauses` set (wire contract 11). To pause what
    /// is paused changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    pub async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        let (list, name) = pause.entry();
        let query = sqlx::query(self.sql(sql::PAUSE)).bind(list).bind(name);
        query.execute(self.pool()).await.map(drop).map_err(store_error)
    }

    /// Takes a pause back, and wakes workers. False when there was none.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    pub async fn unpause(&self, pause: &Pause) -> Result<bool, StoreError> {
        let (list, name) = pause.entry();
        let queue = matches!(pause, Pause::Queue(_)).then_some(name);
        let query = sqlx::query(self.sql(sql::UNPAUSE)).bind(list).bind(name).bind(queue);
        let changed = query.fetch_optional(self.pool()).await.map_err(store_error)?;
        Ok(changed.is_some())
    }

    /// What is paused.
    ///
    /// # Errors
    /// [`StoreError`] by what the caller can do.
    pub async fn paused(&self) -> Result<Paused, StoreError> {
        let query = sqlx::query_as(self.sql(sql::PAUSED_NAMES));
        let mut paused: Paused = query.fetch_one(self.pool()).await.map_err(store_error)?;
        for names in [&mut paused.queues, &mut paused.classes, &mut paused.labels] {
            names.sort_unstable();
        }
        Ok(paused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paused_is_not_looked_for() {
        let texts =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let pauses = |queues: &[&str], classes: &[&str]| Pauses {
            something: true,
            queues: texts(queues),
            classes: texts(classes),
        };
        let wanted = |queues| Wanted { queues, classes: texts(&["A", "B"]) };
        let only = || wanted(QueueSelector::Only(texts(&["a", "b"])));
        assert_eq!(pauses(&[], &[]).leave_of(&only()), Some(only()));
        let left = pauses(&["b", "x"], &["A"]).leave_of(&only()).unwrap();
        assert_eq!(left.queues, QueueSelector::Only(texts(&["a"])));
        assert_eq!(left.classes, ["B"]);
        assert_eq!(pauses(&["a", "b"], &[]).leave_of(&only()), None);
        assert_eq!(pauses(&[], &["B", "A"]).leave_of(&wanted(QueueSelector::All)), None);
        let except = wanted(QueueSelector::Except(texts(&["a"])));
        let left = pauses(&["a", "b"], &[]).leave_of(&except).unwrap();
        assert_eq!(left.queues, QueueSelector::Except(texts(&["a", "b"])));
        let all = wanted(QueueSelector::All);
        assert_eq!(pauses(&[], &[]).leave_of(&all), Some(all.clone()));
        let left = pauses(&["a"], &[]).leave_of(&all).unwrap();
        assert_eq!(left.queues, QueueSelector::Except(texts(&["a"])));
    }
}
