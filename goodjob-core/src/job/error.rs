//! What a job returns when it did not succeed, and what is written down about it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::store::{ErrorEvent, JobRecord};

/// Any error that a job may return.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What [`Perform::perform`](super::Perform::perform) returns.
pub type JobResult = Result<(), JobError>;

/// An error from a job, or an explicit verdict on it.
///
/// Every error type converts with `?`, and so do strings; the job's [`Policy`](super::Policy) then
/// decides by the error's type. The constructors below decide by themselves, whatever the policy.
///
/// ```
/// use std::time::Duration;
/// use goodjob_core::{JobError, JobResult};
///
/// fn parse(text: &str) -> JobResult {
///     let number: u32 = text.parse()?;                       // the policy decides
///     match number {
///         0 => Err(JobError::discard("zero is not for us")),   // over at once
///         1 => Err(JobError::snooze(Duration::from_secs(60))), // later, and no attempt is used
///         _ => Ok(()),
///     }
/// }
/// assert!(parse("x").unwrap_err().to_string().contains("ParseIntError: invalid digit"));
/// ```
pub struct JobError {
    class: Cow<'static, str>,
    source: BoxError,
    backtrace: Vec<String>,
    verdict: Option<Verdict>,
}

/// What a job itself says should follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The job is over, with its error. Nothing runs it again by itself.
    Discard,
    /// The attempt failed; the next one starts after this long.
    RetryIn(Duration),
    /// Not an error: the job is put back for this long and no attempt is counted.
    Snooze(Duration),
}

impl JobError {
    /// Ends the job with this error.
    pub fn discard<E: Into<BoxError>>(reason: E) -> Self {
        Self::from(reason).with_verdict(Verdict::Discard)
    }

    /// Fails this attempt and starts the next one after `wait`, however many there were.
    pub fn retry_in<E: Into<BoxError>>(wait: Duration, reason: E) -> Self {
        Self::from(reason).with_verdict(Verdict::RetryIn(wait))
    }

    /// Puts the job back for `wait`. It is no failure: nothing is counted and no error recorded.
    #[must_use]
    pub fn snooze(wait: Duration) -> Self {
        Self::from("snoozed").with_verdict(Verdict::Snooze(wait))
    }

    /// A panic, with the place where it happened as its backtrace.
    pub(crate) fn from_panic(panicked: Panicked) -> Self {
        let place = panicked.location.iter().map(|place| format!("panicked at {place}"));
        let place: Vec<String> = place.collect();
        Self::from(panicked).with_class("Panic").with_backtrace(place)
    }

    /// Names the error's class in the tables. By default it is the path of the error's Rust type.
    #[must_use]
    pub fn with_class(mut self, class: impl Into<Cow<'static, str>>) -> Self {
        self.class = class.into();
        self
    }

    /// Adds lines to the backtrace that is stored with the attempt.
    #[must_use]
    pub fn with_backtrace(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.backtrace.extend(lines);
        self
    }

    /// Decides what follows, whatever the policy says.
    #[must_use]
    pub fn with_verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = Some(verdict);
        self
    }

    /// What the job itself decided, if it did.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// The class that is stored in front of the message.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The error itself.
    #[must_use]
    pub fn source(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.source
    }

    /// The error and its causes, the outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        fn cause<'a>(error: &&'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
            let error: &'a (dyn StdError + 'static) = *error;
            error.source()
        }
        let first: &(dyn StdError + 'static) = &*self.source;
        std::iter::successors(Some(first), cause)
    }

    /// What kind of end it is if no rule matches it: that of an interruption stays one (wire contract 4.4).
    pub(crate) fn event_unhandled(&self) -> ErrorEvent {
        match self.source.is::<Interrupted>() {
            true => ErrorEvent::Interrupted,
            false => ErrorEvent::Unhandled,
        }
    }

    /// What the tables keep of this error.
    #[must_use]
    pub fn note(&self, event: ErrorEvent) -> ErrorNote {
        let causes = self.chain().skip(1).map(|cause| format!("caused by: {cause}"));
        let backtrace = self.backtrace.iter().cloned().chain(causes).collect();
        ErrorNote::new(&self.class, &self.source.to_string(), backtrace, event)
    }
}

impl<E: Into<BoxError>> From<E> for JobError {
    fn from(error: E) -> Self {
        let class = match std::any::type_name::<E>() {
            // A text or a boxed error has no type of its own to be named by.
            name if name.starts_with(['&', '<']) || name.contains("::boxed::Box<") => "JobError",
            "alloc::string::String" => "JobError",
            name => name.split('<').next().unwrap_or(name),
        };
        Self { class: class.into(), source: error.into(), backtrace: Vec::new(), verdict: None }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.source)
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobError")
            .field("class", &self.class)
            .field("source", &self.source)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

/// A job's body panicked. `retry_on::<Panicked>` and `discard_on::<Panicked>` match it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Panicked {
    /// The panic's message.
    pub message: String,
    /// `file:line:column`, where it is known.
    pub location: Option<String>,
}

/// The attempt before was interrupted: what a class gets that asked for it
/// ([`Policy::fail_interrupted`](super::Policy::fail_interrupted)). `retry_on::<Interrupted>` and
/// `discard_on::<Interrupted>` match it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the attempt before was interrupted: {last}")]
pub struct Interrupted {
    /// What is known of it.
    pub last: String,
}

impl Interrupted {
    /// The class that the gem raises (`lib/good_job/active_job_extensions/interrupt_errors.rb`).
    const CLASS: &'static str = "GoodJob::InterruptError";

    pub(crate) fn of(job: &JobRecord) -> JobError {
        let last = job.error.as_deref().unwrap_or("its process ended without a word");
        let last = last.split_once(": ").map_or(last, |(_class, message)| message).to_owned();
        JobError::from(Self { last }).with_class(Self::CLASS)
    }
}

/// A job wrote its success into a transaction that was not committed, and then returned as if all were
/// well. What it did in that transaction is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction that the job completed in was not committed")]
pub struct NotCommitted;

/// An attempt took longer than its policy allows. `retry_on::<TimedOut>` matches it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("took longer than {}s", .after.as_secs_f64())]
pub struct TimedOut {
    /// The limit that was set.
    pub after: Duration,
}

/// An error as it is stored: one text, one event, some lines. Always fit to be written.
///
/// NUL characters, which Postgres refuses, are replaced, and long texts are cut, so that writing
/// down how an attempt ended can never fail because of what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorNote {
    text: String,
    backtrace: Vec<String>,
    event: ErrorEvent,
}

impl ErrorNote {
    /// The longest error text kept, in bytes.
    pub const MAX_TEXT: usize = 64 * 1024;
    /// The longest backtrace kept, in bytes over all lines.
    pub const MAX_BACKTRACE: usize = 256 * 1024;

    /// `class: message`, the form that the gem stores and groups by.
    #[must_use]
    pub fn new(class: &str, message: &str, backtrace: Vec<String>, event: ErrorEvent) -> Self {
        let mut room = Self::MAX_BACKTRACE;
        let backtrace = backtrace
            .into_iter()
            .map(|line| storable(&line, Self::MAX_TEXT))
            .take_while(|line| {
                let fits = line.len() <= room;
                room = room.saturating_sub(line.len());
                fits
            })
            .collect();
        Self { text: storable(&format!("{class}: {message}"), Self::MAX_TEXT), backtrace, event }
    }

    /// The text, `Class: message`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One line per frame, or per cause.
    #[must_use]
    pub fn backtrace(&self) -> &[String] {
        &self.backtrace
    }

    /// What kind of end it describes.
    #[must_use]
    pub fn event(&self) -> ErrorEvent {
        self.event
    }

    /// The same in printable ASCII, short and without a backtrace: for a store that refused it.
    pub(crate) fn plain(&self) -> Self {
        self.plain_with("", self.event)
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.backtrace.is_empty()
            && self.text.len() <= Self::MAX_PLAIN
            && self.text.chars().all(|c| c.is_ascii() && !c.is_ascii_control())
    }

    /// What ends a job whose retry the store refused to write.
    pub(crate) fn of_refused_retry(error: Option<&Self>) -> Self {
        const REMARK: &str = " (the store refused to write the retry)";
        match error {
            Some(error) => error.plain_with(REMARK, ErrorEvent::RetryStopped),
            None => Self::new("JobError", "snoozed", Vec::new(), ErrorEvent::RetryStopped)
                .plain_with(REMARK, ErrorEvent::RetryStopped),
        }
    }

    /// The longest plain text, in bytes.
    const MAX_PLAIN: usize = 1_000;

    fn plain_with(&self, remark: &str, event: ErrorEvent) -> Self {
        let mut text = String::new();
        for c in self.text.chars().take(Self::MAX_PLAIN) {
            match c {
                ' '..='~' => text.push(c),
                _ => text.extend(c.escape_default()),
            }
        }
        text.truncate(Self::MAX_PLAIN - remark.len());
        text.push_str(remark);
        Self { text, backtrace: Vec::new(), event }
    }

    /// The backtrace as a JSON array.
    #[must_use]
    pub fn backtrace_json(&self) -> Value {
        self.backtrace.iter().cloned().map(Value::String).collect()
    }
}

fn storable(text: &str, max: usize) -> String {
    let cut = text.floor_char_boundary(max);
    text[..cut].replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_is_the_errors_type_unless_it_has_none() {
        let class = |error: JobError| error.class().to_owned();
        assert_eq!(class(std::fmt::Error.into()), "core::fmt::Error");
        assert_eq!(class("text".into()), "JobError");
        assert_eq!(class(String::from("text").into()), "JobError");
        assert_eq!(class(BoxError::from("text").into()), "JobError");
        assert_eq!(class(JobError::from("x").with_class("Mail::Bounced")), "Mail::Bounced");
    }

    #[test]
    fn a_note_can_always_be_stored() {
        let note = ErrorNote::new("A", "x\0y", vec!["l\0".into()], ErrorEvent::Unhandled);
        assert_eq!(
            (note.text(), note.backtrace()),
            ("A: x\u{fffd}y", &["l\u{fffd}".to_owned()][..])
        );
        let long = "ä".repeat(ErrorNote::MAX_TEXT);
        let note = ErrorNote::new("A", &long, vec![long.clone(); 9], ErrorEvent::Unhandled);
        assert!(note.text().len() <= ErrorNote::MAX_TEXT);
        assert!(
            note.backtrace().iter().map(String::len).sum::<usize>() <= ErrorNote::MAX_BACKTRACE
        );
    }

    #[test]
    fn a_plain_note_is_short_printable_ascii() {
        let note = |text: &str| ErrorNote::new("A", text, Vec::new(), ErrorEvent::Unhandled);
        let plain = note("ü\n\u{1}").plain();
        assert_eq!(plain.text(), r"A: \u{fc}\n\u{1}");
        assert!(plain.is_plain() && !note("ü").is_plain() && note("u").is_plain());
        for text in ["x".repeat(9_999), "🐘".repeat(9_999)] {
            assert!(!note(&text).is_plain() && note(&text).plain().is_plain());
            let refused = ErrorNote::of_refused_retry(Some(&note(&text)));
            assert!(refused.is_plain() && refused.text().ends_with("write the retry)"));
        }
    }

    #[test]
    fn causes_become_lines_of_the_backtrace() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::fmt::Error);
        let note = JobError::from(Outer(std::fmt::Error)).note(ErrorEvent::Unhandled);
        assert!(note.text().ends_with("Outer: outer"));
        assert_eq!(note.backtrace().len(), 1);
        assert!(note.backtrace()[0].starts_with("caused by: "));
    }
}
