//! Pausing, and what a claim need not even look for because it is paused.
//!
//! Every claim judges each row by the pauses itself. But a claim for queues that are paused altogether would
//! walk their whole backlog to find nothing, and so while anything is paused the names are read before.

use async_trait::async_trait;
use goodjob_core::{Pause, PauseStore, Paused, QueueSelector, StoreError, Wanted};
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

/// The list of the setting, and the name in it.
fn entry(pause: &Pause) -> (&'static str, &str) {
    match pause {
        Pause::Queue(name) => ("queues", name),
        Pause::Class(name) => ("job_classes", name),
        Pause::Label(name) => ("labels", name),
    }
}

/// The gem's setting, which its workers heed that have `enable_pauses` set (wire contract 11). Each change is one
/// statement.
#[async_trait]
impl PauseStore for PgStore {
    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        let (list, name) = entry(pause);
        let query = sqlx::query(self.sql(sql::PAUSE)).bind(list).bind(name);
        query.execute(self.pool()).await.map(drop).map_err(store_error)
    }

    async fn unpause(&self, pause: &Pause) -> Result<bool, StoreError> {
        let (list, name) = entry(pause);
        let queue = matches!(pause, Pause::Queue(_)).then_some(name);
        let query = sqlx::query(self.sql(sql::UNPAUSE)).bind(list).bind(name).bind(queue);
        let changed = query.fetch_optional(self.pool()).await.map_err(store_error)?;
        Ok(changed.is_some())
    }

    async fn paused(&self) -> Result<Paused, StoreError> {
        type Names = Vec<String>;
        let query = sqlx::query_as(self.sql(sql::PAUSED_NAMES));
        let (queues, classes, labels): (Names, Names, Names) =
            query.fetch_one(self.pool()).await.map_err(store_error)?;
        let queues = queues.into_iter().map(Pause::Queue);
        let classes = classes.into_iter().map(Pause::Class);
        Ok(queues.chain(classes).chain(labels.into_iter().map(Pause::Label)).collect())
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
