//! Active Job's `arguments` array on one side, a Rust struct on the other.

mod decode;
mod encode;
mod reserved;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use decode::Decoder;
use encode::Encoder;
pub(super) use reserved::{
    GLOBAL_ID, INDIFFERENT, KEYWORDS, MARKERS, SERIALIZED, SYMBOL_KEYS, check_value, is_reserved,
};
use reserved::{check, is_keywords, strip_marks};

/// The arguments of a job as Active Job stores them: an array of JSON values.
///
/// Active Job reserves five keys, which begin with `_aj_`: an object that holds one is a value of
/// Ruby's, which the types of [`ruby`](crate::ruby) write and read. Well-formed ones are let through
/// from anywhere, so a job that takes JSON from strangers as it is lets them name Ruby's records and
/// classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments(Vec<Value>);

/// Arguments that cannot be stored, or that do not fit the job that should read them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ArgumentsError {
    path: String,
    problem: String,
}

impl ArgumentsError {
    /// Where: `arguments`, or a field such as `arguments.user.id`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn at(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }

    /// The same about the properties of a batch.
    pub(crate) fn of_properties(self) -> Self {
        let field = self.path.strip_prefix("arguments").unwrap_or_default();
        Self::at(format!("properties{field}"), self.problem)
    }
}

impl Arguments {
    /// The arguments that `job` is stored with: keywords for named fields, else positions, which
    /// [`ruby::Keywords`](crate::ruby::Keywords) may follow.
    ///
    /// # Errors
    /// When `job` is no struct, or holds what JSON in Postgres cannot: a NUL character, a map whose
    /// keys are not strings; or one of Active Job's keys where it does not belong.
    pub fn encode<J: Serialize>(job: &J) -> Result<Self, ArgumentsError> {
        let arguments = serde_path_to_error::serialize(job, Encoder).map_err(named)?;
        check(&arguments.0)?;
        Ok(arguments)
    }

    /// Positional arguments, as from a JSON array.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn positional(values: Vec<Value>) -> Result<Self, ArgumentsError> {
        check(&values)?;
        Ok(Self(values))
    }

    /// Keyword arguments, as from a JSON object. No keywords are no argument at all.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn keywords(keywords: Map<String, Value>) -> Result<Self, ArgumentsError> {
        let arguments = Self::from_keywords(keywords);
        check(&arguments.0)?;
        Ok(arguments)
    }

    /// Takes a stored array as it is.
    #[must_use]
    pub fn from_stored(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// The values as they are stored.
    #[must_use]
    pub fn as_stored(&self) -> &[Value] {
        &self.0
    }

    /// Positional values and keywords apart, without Active Job's marks: what a handler in another
    /// language is given.
    #[must_use]
    pub fn split(&self) -> (Vec<Value>, Map<String, Value>) {
        let mut values = self.0.clone();
        let keywords = match values.last() {
            Some(Value::Object(last)) if is_keywords(last) => values.pop(),
            _ => None,
        };
        values.iter_mut().for_each(strip_marks);
        match keywords {
            Some(mut last) => {
                strip_marks(&mut last);
                (values, into_map(last))
            }
            None => (values, Map::new()),
        }
    }

    /// Reads the arguments as a job.
    ///
    /// # Errors
    /// Names the field that does not fit, what was found and what was expected.
    pub fn decode<J: DeserializeOwned>(self) -> Result<J, ArgumentsError> {
        serde_path_to_error::deserialize(Decoder(self.0)).map_err(named)
    }

    fn from_keywords(mut keywords: Map<String, Value>) -> Self {
        if keywords.is_empty() {
            return Self::default();
        }
        let names = keywords.keys().cloned().map(Value::String).collect();
        keywords.insert(KEYWORDS.to_owned(), Value::Array(names));
        Self(vec![Value::Object(keywords)])
    }

    /// Positions, the last of which may be keywords: if there are none, it is no argument.
    fn from_positions(mut values: Vec<Value>) -> Self {
        let none = Value::Object(Map::from_iter([(KEYWORDS.to_owned(), Value::Array(vec![]))]));
        values.pop_if(|last| *last == none);
        Self(values)
    }
}

fn named(error: serde_path_to_error::Error<serde_json::Error>) -> ArgumentsError {
    let path = match error.path().to_string() {
        root if root == "." => "arguments".to_owned(),
        field if field.starts_with('[') => format!("arguments{field}"),
        field => format!("arguments.{field}"),
    };
    ArgumentsError::at(path, error.into_inner().to_string())
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Welcome {
        user_id: i64,
        #[serde(default)]
        note: Option<String>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Add(i64, i64);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct One(String);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;

    fn stored(values: Value) -> Arguments {
        Arguments::from_stored(values.as_array().unwrap().clone())
    }

    #[test]
    fn named_fields_are_keywords_and_tuples_are_positions() {
        let welcome = Arguments::encode(&Welcome { user_id: 7, note: None }).unwrap();
        assert_eq!(
            json!(welcome.as_stored()),
            json!([{"user_id": 7, "note": null, "_aj_ruby2_keywords": ["note", "user_id"]}])
        );
        assert_eq!(json!(Arguments::encode(&Add(1, 2)).unwrap().as_stored()), json!([1, 2]));
        assert_eq!(json!(Arguments::encode(&One("a".into())).unwrap().as_stored()), json!(["a"]));
        assert_eq!(json!(Arguments::encode(&Nothing).unwrap().as_stored()), json!([]));
    }

    #[test]
    fn what_ruby_stores_is_read_without_its_marks() {
        let keywords = stored(json!([{"user_id": 7, "_aj_ruby2_keywords": ["user_id"]}]));
        assert_eq!(keywords.decode::<Welcome>().unwrap(), Welcome { user_id: 7, note: None });
        let hash = stored(json!([{"user_id": 7, "_aj_symbol_keys": ["user_id"]}]));
        assert_eq!(hash.decode::<Welcome>().unwrap().user_id, 7);

        #[derive(Deserialize)]
        struct Counts(std::collections::BTreeMap<String, i64>);
        let nested = stored(json!([{"b": 1, "_aj_symbol_keys": ["b"]}]));
        assert_eq!(nested.decode::<Counts>().unwrap().0, [("b".to_owned(), 1)].into());
    }

    #[test]
    fn arguments_that_do_not_fit_name_the_field() {
        let wrong = |value: Value| stored(value).decode::<Welcome>().unwrap_err().to_string();
        assert_eq!(
            wrong(json!([{"user_id": "x"}])),
            "arguments.user_id: invalid type: string \"x\", expected i64"
        );
        assert_eq!(wrong(json!([{}])), "arguments: missing field `user_id`");
        assert_eq!(
            wrong(json!([1, 2])),
            "arguments: found 2 positional arguments, expected keyword arguments"
        );
        let wrong = |value: Value| stored(value).decode::<Add>().unwrap_err().to_string();
        assert_eq!(wrong(json!([1])), "arguments[1]: found 1 arguments, expected 2");
        assert_eq!(wrong(json!([1, 2, 3])), "arguments: found 3 arguments, expected 2");
        assert_eq!(
            wrong(json!([1, true])),
            "arguments[1]: invalid type: boolean `true`, expected i64"
        );
        assert!(stored(json!([1])).decode::<Nothing>().is_err());
    }

    #[test]
    fn what_postgres_cannot_store_is_refused_before_it_gets_there() {
        let nul = Arguments::encode(&One("a\0b".into())).unwrap_err();
        assert_eq!(nul.path(), "arguments[0]");
        let malformed = json!({"deep": [{"_aj_symbol_keys": [1]}]});
        let malformed = Arguments::keywords(into_map(malformed)).unwrap_err();
        assert_eq!(malformed.path(), "arguments.deep[0]._aj_symbol_keys");
        for name in [GLOBAL_ID, SERIALIZED, INDIFFERENT, SYMBOL_KEYS, KEYWORDS] {
            let keywords = Map::from_iter([(name.to_owned(), json!(true))]);
            assert!(Arguments::keywords(keywords).is_err(), "{name} is no keyword");
        }

        #[derive(Serialize)]
        struct Unfit {
            counts: Vec<std::collections::BTreeMap<(i64, i64), i64>>,
        }
        let unfit = Arguments::encode(&Unfit { counts: vec![[((1, 2), 3)].into()] }).unwrap_err();
        assert_eq!(unfit.path(), "arguments.counts[0]");
        assert!(Arguments::encode(&vec![1]).is_err(), "a sequence is no job");
    }

    #[test]
    fn a_handler_elsewhere_is_given_positions_and_keywords_apart() {
        let (args, kwargs) = stored(
            json!([1, {"a": 2, "_aj_symbol_keys": ["a"]}, {"k": 3, "_aj_ruby2_keywords": ["k"]}]),
        )
        .split();
        assert_eq!(json!([args, kwargs]), json!([[1, {"a": 2}], {"k": 3}]));
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_again_changes_nothing(
            user_id in any::<i64>(), note in prop::option::of("[^\0]{0,20}"), pair in any::<(i64, i64)>()
        ) {
            let welcome = Welcome { user_id, note };
            let back: Welcome = Arguments::encode(&welcome).unwrap().decode().unwrap();
            prop_assert_eq!(back, welcome);
            let back: Add = Arguments::encode(&Add(pair.0, pair.1)).unwrap().decode().unwrap();
            prop_assert_eq!(back, Add(pair.0, pair.1));
        }
    }
}
