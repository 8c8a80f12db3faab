//! The properties of a batch: one hash as Active Job encodes it, with symbols for keys.

use serde::Serialize;
use serde_json::{Map, Value};

use super::arguments::{
    ArgumentsError, INDIFFERENT, MARKERS, SYMBOL_KEYS, check_value, is_reserved,
};
use super::ruby::brief;

/// Names that the gem takes for columns of the batch when it is given properties (wire contract 9.2).
const TAKEN: [&str; 7] = [
    "on_finish",
    "on_success",
    "on_discard",
    "callback_queue_name",
    "callback_priority",
    "description",
    "properties",
];

/// No properties.
pub(crate) fn none() -> Value {
    Value::Object(Map::from_iter([(SYMBOL_KEYS.to_owned(), Value::Array(Vec::new()))]))
}

/// A value under a name, if it can be stored there.
pub(crate) fn value(name: &str, value: &impl Serialize) -> Result<Value, ArgumentsError> {
    let path = format!("properties.{name}");
    let value = serde_json::to_value(value)
        .map_err(|error| ArgumentsError::at(path.as_str(), error.to_string()))?;
    check(name, &value)?;
    Ok(value)
}

/// All properties of a struct or a map.
pub(crate) fn hash(all: &impl Serialize) -> Result<Value, ArgumentsError> {
    let value = serde_json::to_value(all)
        .map_err(|error| ArgumentsError::at("properties", error.to_string()))?;
    let Value::Object(given) = value else {
        let problem = format!(
            "found {}, expected a hash: a struct with named fields, or a map",
            brief(&value)
        );
        return Err(ArgumentsError::at("properties", problem));
    };
    let mut hash = Map::new();
    for (name, value) in given {
        check(&name, &value)?;
        set(&mut hash, &name, value);
    }
    hash.entry(SYMBOL_KEYS).or_insert_with(|| Value::Array(Vec::new()));
    Ok(Value::Object(hash))
}

/// Puts a value that was checked into a hash, whose mark then names it.
pub(crate) fn set(hash: &mut Map<String, Value>, name: &str, value: Value) {
    hash.insert(name.to_owned(), value);
    if hash.contains_key(INDIFFERENT) {
        return;
    }
    let marks = MARKERS.into_iter().find(|mark| hash.contains_key(*mark)).unwrap_or(SYMBOL_KEYS);
    let names = hash.entry(marks).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(names) = names
        && !names.iter().any(|known| known == name)
    {
        names.push(name.into());
    }
}

fn check(name: &str, value: &Value) -> Result<(), ArgumentsError> {
    let path = format!("properties.{name}");
    if TAKEN.contains(&name) {
        return Err(ArgumentsError::at(path, "found a name that is a column of the batch's own"));
    }
    if is_reserved(name) || name.contains('\0') {
        return Err(ArgumentsError::at(path, "found a name that Active Job cannot store"));
    }
    check_value(value, &path)
}
