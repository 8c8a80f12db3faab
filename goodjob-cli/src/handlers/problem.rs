//! What is wrong with a handler's settings, all of it at once.

use std::fmt;

/// Settings that no handler can be built from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct HandlerError {
    problems: Vec<String>,
}

impl HandlerError {
    /// Each problem: the key, what was found, what was expected.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// Collects the problems of one class.
#[derive(Debug)]
pub(super) struct Problems {
    class: String,
    found: Vec<String>,
}

impl Problems {
    pub(super) fn of(class: &str) -> Self {
        Self { class: class.to_owned(), found: Vec::new() }
    }

    pub(super) fn add(&mut self, key: &str, problem: impl fmt::Display) {
        self.found.push(format!("jobs.{:?}.{key}: {problem}", self.class));
    }

    /// The value, if nothing is wrong.
    pub(super) fn or<T>(self, value: Option<T>) -> Result<T, HandlerError> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(HandlerError { problems: self.found }),
        }
    }
}
