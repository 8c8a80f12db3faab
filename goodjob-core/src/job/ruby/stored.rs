//! What the stored forms of single values have in common: an object with a serializer's name.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::job::arguments::SERIALIZED;

/// So much of a value is shown in an error, in characters. Errors are kept in the tables.
const SHOWN: usize = 160;

/// Reads a value that `fit` recognizes. The error shows the whole of what was found, since a wrong
/// serializer and a wrong value look alike to whoever has to repair the caller.
pub(super) fn read<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &str,
    fit: impl FnOnce(&Value) -> Option<T>,
) -> Result<T, D::Error> {
    let found = Value::deserialize(from)?;
    fit(&found)
        .ok_or_else(|| D::Error::custom(format!("found {}, expected {expected}", brief(&found))))
}

/// The keys of an object that `serializer` made.
pub(super) fn made_by<'v>(value: &'v Value, serializer: &str) -> Option<&'v Map<String, Value>> {
    value.as_object().filter(|keys| keys.get(SERIALIZED).is_some_and(|name| name == serializer))
}

/// The text under `value` of an object that `serializer` made.
pub(super) fn text<'v>(value: &'v Value, serializer: &str) -> Option<&'v str> {
    made_by(value, serializer)?.get("value")?.as_str()
}

/// Writes an object with one `value`, the form of most serializers.
pub(super) fn write<S: Serializer>(
    to: S,
    serializer: &str,
    value: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut object = to.serialize_map(Some(2))?;
    object.serialize_entry(SERIALIZED, serializer)?;
    object.serialize_entry("value", value)?;
    object.end()
}

/// A value as JSON, cut to a length that is fit to be read.
pub(in crate::job) fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
