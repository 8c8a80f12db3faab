//! What a handler says about itself as JSON: the last line of a command, the body of a reply.
//!
//! Everything in it is optional and none of it is trusted: what is not understood is left out.

use std::time::Duration;

use goodjob_core::JobError;
use serde_json::Value;

/// The longest answer that is read, in bytes.
pub(super) const LONGEST_ANSWER: usize = 64 * 1024;
/// How much of a plain text, stderr or a body, becomes the error's text, in bytes.
pub(super) const LONGEST_TEXT: usize = 8 * 1024;
/// The longest class of an error, in characters: it is a label, and errors are grouped by it.
const LONGEST_CLASS: usize = 200;

/// An answer that could be read.
#[derive(Debug, Default)]
pub(super) struct Answer {
    retry_in: Option<Duration>,
    class: Option<String>,
    message: Option<String>,
    backtrace: Vec<String>,
}

impl Answer {
    /// Reads `{"retry_in": 300}` and `{"error": {"class", "message", "backtrace"}}`.
    pub(super) fn read(text: &[u8]) -> Self {
        match serde_json::from_slice(text) {
            Ok(Value::Object(answer)) => Self {
                retry_in: answer.get("retry_in").and_then(Value::as_f64).map(own_delay),
                ..Self::of_error(answer.get("error").unwrap_or(&Value::Null))
            },
            _ => Self::default(),
        }
    }

    fn of_error(error: &Value) -> Self {
        let text = |value: &Value| value.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        let class = text(&error["class"]).map(|class| class.chars().take(LONGEST_CLASS).collect());
        let backtrace = match &error["backtrace"] {
            Value::String(lines) => lines.lines().map(str::to_owned).collect(),
            Value::Array(lines) => lines.iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        let message = text(error).or_else(|| text(&error["message"]));
        Self { retry_in: None, class, message, backtrace }
    }

    /// When the handler wants to be tried again.
    pub(super) fn retry_in(&self) -> Option<Duration> {
        self.retry_in
    }

    /// The error that the handler describes, completed by what we know of it ourselves.
    pub(super) fn into_error(self, class: &'static str, text: impl FnOnce() -> String) -> JobError {
        let error =
            JobError::from(self.message.unwrap_or_else(text)).with_backtrace(self.backtrace);
        match self.class {
            Some(class) => error.with_class(class),
            None => error.with_class(class),
        }
    }
}

/// A delay that a handler asks for, in seconds: at least one, since a delay uses no attempt and
/// nothing else would slow it down, and at most 30 days.
pub(super) fn own_delay(seconds: f64) -> Duration {
    const SHORTEST: f64 = 1.0;
    const LONGEST: f64 = 30.0 * 24.0 * 60.0 * 60.0;
    Duration::try_from_secs_f64(seconds.clamp(SHORTEST, LONGEST)).unwrap_or(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use goodjob_core::ErrorEvent;
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> (String, Vec<String>) {
        let note = Answer::read(text.as_bytes())
            .into_error("CommandFailed", || "exit status: 1".into())
            .note(ErrorEvent::Retried);
        (note.text().to_owned(), note.backtrace().to_vec())
    }

    #[test]
    fn an_error_is_taken_as_it_is_told() {
        let told = r#"{"error": {"class": "Smtp::Down", "message": "no route", "backtrace": ["a:1", "b:2"]}}"#;
        assert_eq!(error(told), ("Smtp::Down: no route".into(), vec!["a:1".into(), "b:2".into()]));
        assert_eq!(error(r#"{"error": "no route"}"#).0, "CommandFailed: no route");
        let lines = r#"{"error": {"message": "x", "backtrace": "a\nb"}}"#;
        assert_eq!(error(lines).1, ["a", "b"]);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        for text in ["", "no json", "[1]", "7", r#"{"error": 7}"#, r#"{"error": {"message": {}}}"#]
        {
            assert_eq!(error(text), ("CommandFailed: exit status: 1".into(), vec![]), "{text}");
        }
        let deep = "[".repeat(LONGEST_ANSWER);
        assert_eq!(error(&deep).0, "CommandFailed: exit status: 1");
    }

    #[test]
    fn a_delay_is_kept_within_reason() {
        let delay = |text: &str| Answer::read(text.as_bytes()).retry_in().map(|d| d.as_secs());
        assert_eq!(delay(r#"{"retry_in": 300}"#), Some(300));
        assert_eq!(delay(r#"{"retry_in": 0}"#), Some(1));
        assert_eq!(delay(r#"{"retry_in": -1e300}"#), Some(1));
        assert_eq!(delay(r#"{"retry_in": 1e300}"#), Some(30 * 86_400));
        assert_eq!(delay(r#"{"retry_in": "300"}"#), None);
        assert_eq!(own_delay(f64::NAN), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Answer::read(&bytes).into_error("X", String::new).note(ErrorEvent::Retried);
        }
    }
}
