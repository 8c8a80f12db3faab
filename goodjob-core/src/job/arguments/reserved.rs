//! The five keys that Active Job reserves, and what has to stand under them.
//!
//! In the order in which `active_job/arguments.rb` looks: an object whose only key is `_aj_globalid`
//! is a record; one with `_aj_serialized` belongs to a serializer, whatever else is in it; any other
//! is a hash, from which the first of three marks is taken away (wire contract 2.3).

use serde_json::{Map, Value};

use super::ArgumentsError;
use crate::job::ruby::{GlobalId, brief};

/// A record, by reference.
pub(in crate::job) const GLOBAL_ID: &str = "_aj_globalid";
/// The class name of the serializer that made the object.
pub(in crate::job) const SERIALIZED: &str = "_aj_serialized";
/// Marks a hash with indifferent access.
pub(in crate::job) const INDIFFERENT: &str = "_aj_hash_with_indifferent_access";
/// Lists the keys of a hash that were symbols.
pub(in crate::job) const SYMBOL_KEYS: &str = "_aj_symbol_keys";
/// Marks the last argument as Ruby keywords, and lists them.
pub(in crate::job) const KEYWORDS: &str = "_aj_ruby2_keywords";
/// The marks of hashes in the order in which Ruby looks for one.
pub(in crate::job) const MARKERS: [&str; 3] = [INDIFFERENT, SYMBOL_KEYS, KEYWORDS];

const NUL: &str = "has a NUL character, which Postgres cannot store";

pub(in crate::job) fn is_reserved(key: &str) -> bool {
    key == GLOBAL_ID || key == SERIALIZED || MARKERS.contains(&key)
}

/// Whether an object stands for a single value of Ruby's, and is no hash.
pub(super) fn is_typed(object: &Map<String, Value>) -> bool {
    object.contains_key(SERIALIZED) || (object.len() == 1 && object.contains_key(GLOBAL_ID))
}

/// Whether an object, if it is the last argument, is Ruby keywords.
pub(super) fn is_keywords(object: &Map<String, Value>) -> bool {
    mark(object) == Some(KEYWORDS)
}

fn mark(object: &Map<String, Value>) -> Option<&'static str> {
    let marked = MARKERS.into_iter().find(|marker| object.contains_key(*marker));
    marked.filter(|_| !is_typed(object))
}

/// Takes its mark from every hash. What a serializer made is left as it is: to take it apart is that
/// serializer's business alone.
pub(super) fn strip_marks(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip_marks),
        Value::Object(object) if !is_typed(object) => {
            if let Some(marker) = mark(object) {
                object.remove(marker);
            }
            object.values_mut().for_each(strip_marks);
        }
        _ => {}
    }
}

/// Where an object stands: only the last argument can be keywords.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Last,
    Elsewhere,
}

/// Whether Postgres can store the arguments and Ruby can read them.
pub(super) fn check(arguments: &[Value]) -> Result<(), ArgumentsError> {
    let last = arguments.len().saturating_sub(1);
    arguments.iter().enumerate().try_for_each(|(n, value)| match value {
        Value::Object(object) if n == last && object.contains_key(KEYWORDS) => {
            check_object(object, "arguments", Place::Last)
        }
        value => check_value(value, &format!("arguments[{n}]")),
    })
}

/// Whether a value that is no last argument can be stored; `path` leads to it.
pub(in crate::job) fn check_value(value: &Value, path: &str) -> Result<(), ArgumentsError> {
    match value {
        Value::String(text) if text.contains('\0') => Err(ArgumentsError::at(path, NUL)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(n, item)| check_value(item, &format!("{path}[{n}]"))),
        Value::Object(object) => check_object(object, path, Place::Elsewhere),
        _ => Ok(()),
    }
}

fn check_object(
    object: &Map<String, Value>,
    path: &str,
    place: Place,
) -> Result<(), ArgumentsError> {
    let mut seen: Option<&str> = None;
    for (key, value) in object {
        if key.contains('\0') {
            return Err(ArgumentsError::at(path, NUL));
        }
        let at = format!("{path}.{key}");
        let key = key.as_str();
        if let Some(expected) = misplaced(key, value, object, place) {
            let found = brief(value);
            return Err(ArgumentsError::at(at, format!("found {found}, expected {expected}")));
        }
        if MARKERS.contains(&key)
            && let Some(other) = seen.replace(key)
        {
            let problem = format!("found beside {other}, expected one of them only");
            return Err(ArgumentsError::at(at, problem));
        }
        check_value(value, &at)?;
    }
    Ok(())
}

/// What should stand there instead, if this is a reserved key and does not fit.
fn misplaced(
    key: &str,
    value: &Value,
    object: &Map<String, Value>,
    place: Place,
) -> Option<&'static str> {
    let text = value.as_str();
    let (fits, expected) = match key {
        GLOBAL_ID if object.len() > 1 => (false, "no other key beside it"),
        GLOBAL_ID => (
            text.is_some_and(|text| text.parse::<GlobalId>().is_ok()),
            "a reference such as \"gid://my-app/User/7\"",
        ),
        SERIALIZED => {
            (text.is_some_and(|name| !name.trim().is_empty()), "the class name of a serializer")
        }
        KEYWORDS if place == Place::Elsewhere || object.contains_key(SERIALIZED) => {
            (false, "no such key: only the last argument can be keywords")
        }
        INDIFFERENT => (*value == Value::Bool(true), "true"),
        SYMBOL_KEYS | KEYWORDS => (are_keys(value, object), "an array of names of keys beside it"),
        _ => return None,
    };
    (!fits).then_some(expected)
}

fn are_keys(names: &Value, object: &Map<String, Value>) -> bool {
    let is_key = |name: &Value| {
        name.as_str().is_some_and(|name| object.contains_key(name) && !is_reserved(name))
    };
    names.as_array().is_some_and(|names| names.iter().all(is_key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(arguments: Value) -> String {
        check(arguments.as_array().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_active_job_stores_is_let_through_at_any_depth() {
        let stored = json!([
            {"_aj_globalid": "gid://my-app/User/7"},
            [{"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": "a"}],
            {"deep": {"a": 1, "b": [{"_aj_symbol_keys": []}], "_aj_symbol_keys": ["a", "b"]},
             "_aj_hash_with_indifferent_access": true},
            {"_aj_serialized": "MoneySerializer", "of": {"_aj_globalid": "gid://a/B/1"},
             "cents": 1, "_aj_symbol_keys": ["cents"]},
            {"k": {"_aj_hash_with_indifferent_access": true}, "_aj_ruby2_keywords": ["k"]},
        ]);
        assert_eq!(check(stored.as_array().unwrap()), Ok(()));
    }

    #[test]
    fn what_ruby_could_not_read_is_refused_by_path_and_value() {
        let gid = "a reference such as \"gid://my-app/User/7\"";
        let names = "an array of names of keys beside it";
        let last = "no such key: only the last argument can be keywords";
        for (arguments, problem) in [
            (
                json!([{"_aj_globalid": "gid://a/B/1", "x": 1}]),
                "arguments[0]._aj_globalid: found \"gid://a/B/1\", expected no other key beside it"
                    .to_owned(),
            ),
            (
                json!([[{"_aj_globalid": "User/7"}]]),
                format!("arguments[0][0]._aj_globalid: found \"User/7\", expected {gid}"),
            ),
            (
                json!([{"_aj_globalid": 7}]),
                format!("arguments[0]._aj_globalid: found 7, expected {gid}"),
            ),
            (
                json!([{"_aj_serialized": null}]),
                "arguments[0]._aj_serialized: found null, expected the class name of a serializer"
                    .to_owned(),
            ),
            (
                json!([{"a": {"_aj_symbol_keys": "b"}}]),
                format!("arguments[0].a._aj_symbol_keys: found \"b\", expected {names}"),
            ),
            (
                json!([{"a": 1, "_aj_symbol_keys": ["b"]}]),
                format!("arguments[0]._aj_symbol_keys: found [\"b\"], expected {names}"),
            ),
            (
                json!([{"_aj_symbol_keys": ["_aj_symbol_keys"]}]),
                format!(
                    "arguments[0]._aj_symbol_keys: found [\"_aj_symbol_keys\"], expected {names}"
                ),
            ),
            (
                json!([{"_aj_hash_with_indifferent_access": false}]),
                "arguments[0]._aj_hash_with_indifferent_access: found false, expected true"
                    .to_owned(),
            ),
            (
                json!([{"_aj_hash_with_indifferent_access": true, "_aj_symbol_keys": []}]),
                "arguments[0]._aj_symbol_keys: found beside _aj_hash_with_indifferent_access, \
                 expected one of them only"
                    .to_owned(),
            ),
            (
                json!([{"a": 1, "_aj_ruby2_keywords": ["a"]}, 2]),
                format!("arguments[0]._aj_ruby2_keywords: found [\"a\"], expected {last}"),
            ),
            (
                json!([{"deep": {"_aj_ruby2_keywords": []}, "_aj_ruby2_keywords": ["deep"]}]),
                format!("arguments.deep._aj_ruby2_keywords: found [], expected {last}"),
            ),
            (
                json!([{"_aj_serialized": "X", "_aj_ruby2_keywords": []}]),
                format!("arguments._aj_ruby2_keywords: found [], expected {last}"),
            ),
        ] {
            assert_eq!(fault(arguments), problem);
        }
    }

    #[test]
    fn one_mark_is_taken_from_each_hash_and_the_users_keys_stay() {
        let strip = |mut value: Value| {
            strip_marks(&mut value);
            value
        };
        assert_eq!(
            strip(json!([{"a": {"b": 1, "_aj_symbol_keys": []}, "_aj_ruby2_keywords": ["a"]}])),
            json!([{"a": {"b": 1}}])
        );
        assert_eq!(
            strip(json!({
                "_aj_hash_with_indifferent_access": true, "_aj_symbol_keys": ["a"], "a": 1,
            })),
            json!({"_aj_symbol_keys": ["a"], "a": 1}),
            "the first in Ruby's order, and no more"
        );
        for kept in [
            json!({"_aj_globalid": "gid://a/B/1"}),
            json!({"_aj_serialized": "X", "of": {"a": 1, "_aj_symbol_keys": ["a"]}, "_aj_symbol_keys": []}),
        ] {
            assert_eq!(strip(kept.clone()), kept, "no hash");
        }
    }
}
