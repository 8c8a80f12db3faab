//! What a callback is told: which batch, and what happened to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::BatchId;
use crate::job::ruby::{GlobalId, Symbol, SymbolKeys, ValueError};

/// The class of a batch in Ruby, as references name it.
const MODEL: &str = "GoodJob::Batch";

/// What happens to a batch, and what a callback is enqueued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchEvent {
    /// The first of its jobs was discarded. The others go on.
    Discard,
    /// All its jobs are over, and none was discarded.
    Success,
    /// All its jobs are over.
    Finish,
}

impl BatchEvent {
    /// Every event.
    pub const ALL: [Self; 3] = [Self::Discard, Self::Success, Self::Finish];
}

impl fmt::Display for BatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discard => "discard",
            Self::Success => "success",
            Self::Finish => "finish",
        })
    }
}

/// The arguments of a callback, in the gem's form (wire contract 9.5): the batch by reference, and the
/// event. A job that is a callback is a struct around it that is `transparent` to serde.
///
/// ```
/// use goodjob_core::{BatchCallback, BatchEvent, Context, Job, JobResult, Perform};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(transparent)]
/// struct ImportOver(BatchCallback);
///
/// impl Job for ImportOver {
///     const CLASS: &'static str = "ImportOverJob";
/// }
///
/// impl Perform for ImportOver {
///     async fn perform(self, cx: Context) -> JobResult {
///         if self.0.event() == BatchEvent::Success {
///             println!("batch {} succeeded", self.0.batch());
///         }
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct BatchCallback {
    app: String,
    batch: BatchId,
    event: BatchEvent,
}

impl BatchCallback {
    /// The arguments of a callback for an event of a batch, whose reference names this application.
    ///
    /// # Errors
    /// When the name of the application cannot be part of a reference.
    pub fn new(app: &str, batch: BatchId, event: BatchEvent) -> Result<Self, ValueError> {
        GlobalId::new(app, MODEL, batch)?;
        Ok(Self { app: app.to_owned(), batch, event })
    }

    /// As [`new`](Self::new), for an application whose name was looked at before.
    pub(super) fn of_checked(app: &str, batch: BatchId, event: BatchEvent) -> Self {
        Self { app: app.to_owned(), batch, event }
    }

    /// The batch.
    #[must_use]
    pub fn batch(&self) -> BatchId {
        self.batch
    }

    /// What happened to it.
    #[must_use]
    pub fn event(&self) -> BatchEvent {
        self.event
    }

    /// The application that the batch's reference names.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }
}

/// The two positions as they are stored.
#[derive(Serialize, Deserialize)]
struct Form(GlobalId, SymbolKeys<Told>);

#[derive(Serialize, Deserialize)]
struct Told {
    event: Symbol,
}

impl From<BatchCallback> for Form {
    fn from(callback: BatchCallback) -> Self {
        let told = Told { event: callback.event.to_string().as_str().into() };
        Self(GlobalId::of_checked(&callback.app, MODEL, callback.batch), SymbolKeys(told))
    }
}

impl TryFrom<Form> for BatchCallback {
    type Error = String;

    fn try_from(Form(reference, SymbolKeys(told)): Form) -> Result<Self, String> {
        let batch = BatchId::from_str(reference.id()).ok();
        let batch = batch.filter(|_| reference.model() == MODEL);
        let batch = batch.ok_or_else(|| {
            format!("found {reference}, expected a batch such as gid://my-app/{MODEL}/UUID")
        })?;
        let name = told.event.as_str();
        let event = BatchEvent::ALL.into_iter().find(|event| event.to_string() == name);
        let event = event.ok_or_else(|| {
            format!("found the event {name:?}, expected discard, success or finish")
        })?;
        Ok(Self { app: reference.app().to_owned(), batch, event })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::Arguments;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Over(BatchCallback);

    #[test]
    fn a_callback_has_the_arguments_of_the_gem_and_reads_them() {
        let id = "2d90ab2e-1e6e-4029-bb45-2dc0f01ddd13".parse().unwrap();
        let over = Over(BatchCallback::new("lab-app", id, BatchEvent::Finish).unwrap());
        let stored = Arguments::encode(&over).unwrap();
        // As the gem wrote them (wire contract 9.5).
        let symbol = json!({"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": "finish"});
        assert_eq!(
            json!(stored.as_stored()),
            json!([
                {"_aj_globalid": format!("gid://lab-app/GoodJob::Batch/{id}")},
                {"event": symbol, "_aj_symbol_keys": ["event"]},
            ])
        );
        assert_eq!(stored.decode::<Over>().unwrap(), over);
    }

    #[test]
    fn what_is_no_callback_is_told() {
        let told = |gid: &str, event: &str| {
            let event = json!({"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": event});
            let stored = vec![json!({"_aj_globalid": gid}), json!({"event": event})];
            Arguments::from_stored(stored).decode::<Over>().unwrap_err().to_string()
        };
        let id = BatchId::generate();
        let batch = format!("gid://a/GoodJob::Batch/{id}");
        assert!(
            told("gid://a/User/7", "finish").contains("found gid://a/User/7, expected a batch")
        );
        assert!(told(&format!("gid://a/User/{id}"), "finish").contains("expected a batch"));
        assert!(told(&batch, "rain").contains("found the event \"rain\""));
    }
}
