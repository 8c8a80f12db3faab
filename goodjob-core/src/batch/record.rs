//! A batch as it is stored, and the state that it is in.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::callback::BatchEvent;
use crate::clock::Timestamp;
use crate::ids::BatchId;
use crate::job::{Arguments, ArgumentsError, properties};

/// What a batch is for: the columns of its row that its owner may change.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BatchSpec {
    /// What a person reads.
    pub description: Option<String>,
    /// What its jobs and callbacks share, as Active Job encodes one hash (wire contract 9.2). `None` is
    /// NULL. [`BatchRecord::properties`] reads it.
    pub properties: Option<Value>,
    /// The class that is called back when all jobs are over.
    pub on_finish: Option<String>,
    /// The class that is called back when all jobs are over and none was discarded.
    pub on_success: Option<String>,
    /// The class that is called back when the first job was discarded.
    pub on_discard: Option<String>,
    /// The queue of callbacks: `callback_queue_name`. `None` leaves it to the class.
    pub callback_queue: Option<String>,
    /// The priority of callbacks. `None` leaves it to the class.
    pub callback_priority: Option<i32>,
}

impl BatchSpec {
    /// The class that is to be told of an event. A blank one counts as none, as in Ruby.
    #[must_use]
    pub fn callback(&self, event: BatchEvent) -> Option<&str> {
        let class = match event {
            BatchEvent::Discard => &self.on_discard,
            BatchEvent::Success => &self.on_success,
            BatchEvent::Finish => &self.on_finish,
        };
        class.as_deref().filter(|class| !class.trim().is_empty())
    }

    /// Sets the class that is to be told of an event.
    pub fn set_callback(&mut self, event: BatchEvent, class: Option<String>) {
        match event {
            BatchEvent::Discard => self.on_discard = class,
            BatchEvent::Success => self.on_success = class,
            BatchEvent::Finish => self.on_finish = class,
        }
    }

    /// Sets one property. Ruby finds it under a symbol.
    ///
    /// # Errors
    /// When it cannot be stored, or its name is one of the gem's own.
    pub fn set_property(
        &mut self,
        name: &str,
        value: impl Serialize,
    ) -> Result<(), ArgumentsError> {
        let value = properties::value(name, &value)?;
        let mut hash = match self.properties.take() {
            Some(Value::Object(hash)) => hash,
            _ => Map::new(),
        };
        properties::set(&mut hash, name, value);
        self.properties = Some(Value::Object(hash));
        Ok(())
    }

    /// Sets all properties at once: a struct with named fields, or a map.
    ///
    /// # Errors
    /// As [`set_property`](Self::set_property), and when it is no such thing.
    pub fn set_properties(&mut self, all: &impl Serialize) -> Result<(), ArgumentsError> {
        self.properties = Some(properties::hash(all)?);
        Ok(())
    }

    /// Reads the properties. Without any a struct is read from nothing, as by `#[serde(default)]`.
    ///
    /// # Errors
    /// When they do not fit; the error names the one.
    pub fn properties<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        let stored = self.properties.iter().filter(|value| !value.is_null()).cloned().collect();
        Arguments::from_stored(stored).decode().map_err(ArgumentsError::of_properties)
    }
}

/// A stored batch: one row of `good_job_batches`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchRecord {
    /// Its id.
    pub id: BatchId,
    /// What it is for.
    #[serde(flatten)]
    pub spec: BatchSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// When it was enqueued: from then on it may be over.
    pub enqueued_at: Option<Timestamp>,
    /// When the first of its jobs was discarded.
    pub discarded_at: Option<Timestamp>,
    /// When all its jobs were over. On tables that lack the column, before the gem's 4.3,
    /// [`finished_at`](Self::finished_at).
    pub jobs_finished_at: Option<Timestamp>,
    /// When all its jobs and its callbacks were over.
    pub finished_at: Option<Timestamp>,
}

impl BatchRecord {
    /// Reads the properties. As [`BatchSpec::properties`].
    ///
    /// # Errors
    /// When they do not fit; the error names the one.
    pub fn properties<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        self.spec.properties()
    }

    /// Whether it was enqueued.
    #[must_use]
    pub fn is_enqueued(&self) -> bool {
        self.enqueued_at.is_some()
    }

    /// Whether one of its jobs was discarded.
    #[must_use]
    pub fn is_discarded(&self) -> bool {
        self.discarded_at.is_some()
    }

    /// Whether all its jobs are over.
    #[must_use]
    pub fn are_jobs_finished(&self) -> bool {
        self.jobs_finished_at.is_some()
    }

    /// Whether its jobs and its callbacks are over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }

    /// Whether it is finished and none of its jobs was discarded.
    #[must_use]
    pub fn is_succeeded(&self) -> bool {
        self.is_finished() && !self.is_discarded()
    }

    /// The state in one word. Total: every batch is in exactly one.
    #[must_use]
    pub fn state(&self) -> BatchState {
        if self.is_discarded() {
            BatchState::Discarded
        } else if self.is_finished() {
            BatchState::Succeeded
        } else if self.are_jobs_finished() {
            BatchState::JobsFinished
        } else if self.is_enqueued() {
            BatchState::Enqueued
        } else {
            BatchState::Collecting
        }
    }
}

/// The state of a batch in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchState {
    /// Not enqueued yet: jobs are added, and may run already.
    Collecting,
    /// Waits for its jobs.
    Enqueued,
    /// Its jobs are over and none was discarded; waits for its callbacks.
    JobsFinished,
    /// Over, and none of its jobs was discarded.
    Succeeded,
    /// One of its jobs was discarded, whether the others are over or not. It may be retried.
    Discarded,
}

impl BatchState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Collecting, Self::Enqueued, Self::JobsFinished, Self::Succeeded, Self::Discarded];

    /// Its name, as commands and JSON have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Enqueued => "enqueued",
            Self::JobsFinished => "jobs_finished",
            Self::Succeeded => "succeeded",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for BatchState {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::job::ruby::Symbol;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Import {
        user: i64,
        tag: Symbol,
    }

    #[test]
    fn properties_are_stored_as_the_gem_stores_them_and_read_by_type() {
        let mut spec = BatchSpec::default();
        let import = Import { user: 7, tag: "x".into() };
        spec.set_properties(&import).unwrap();
        // As the gem wrote them (wire contract 9.2), but for the order of the names.
        let symbol =
            json!({"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": "x"});
        let stored = json!({"user": 7, "tag": symbol, "_aj_symbol_keys": ["tag", "user"]});
        assert_eq!(spec.properties, Some(stored));
        assert_eq!(spec.properties::<Import>().unwrap(), import);

        spec.set_property("user", 8).unwrap();
        spec.set_property("note", "n").unwrap();
        let keys = &spec.properties.as_ref().unwrap()["_aj_symbol_keys"];
        assert_eq!(keys, &json!(["tag", "user", "note"]));
        assert_eq!(spec.properties::<Import>().unwrap().user, 8);
    }

    #[test]
    fn missing_properties_are_no_properties() {
        #[derive(Deserialize)]
        struct Maybe {
            #[serde(default)]
            user: Option<i64>,
        }
        for stored in [None, Some(json!(null)), Some(json!({"_aj_symbol_keys": []}))] {
            let spec = BatchSpec { properties: stored, ..BatchSpec::default() };
            assert_eq!(spec.properties::<Maybe>().unwrap().user, None);
        }
    }

    #[test]
    fn what_cannot_be_a_property_is_named() {
        let mut spec = BatchSpec::default();
        for (error, text) in [
            (spec.set_property("on_finish", "X"), "properties.on_finish: "),
            (spec.set_property("_aj_serialized", "X"), "properties._aj_serialized: "),
            (spec.set_property("a", "\0"), "properties.a: has a NUL character"),
            (spec.set_properties(&json!({"description": 1})), "properties.description: "),
            (spec.set_properties(&[1]), "properties: found "),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
        spec.set_property("user", "seven").unwrap();
        spec.set_property("tag", Symbol::from("x")).unwrap();
        let error = spec.properties::<Import>().unwrap_err().to_string();
        assert!(error.starts_with("properties.user: "), "{error}");
    }
}
