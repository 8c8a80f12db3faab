//! Active Job's `arguments` array on one side, a Rust struct on the other.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::ser::{
    self, Impossible, Serialize, SerializeMap, SerializeStruct, SerializeTupleStruct,
};
use serde_json::{Map, Value};

/// Marks the last argument as Ruby keywords (`active_job/arguments.rb`).
const KEYWORDS: &str = "_aj_ruby2_keywords";
/// The keys that Active Job adds to every plain hash; never part of the user's data.
const MARKERS: [&str; 3] = ["_aj_hash_with_indifferent_access", "_aj_symbol_keys", KEYWORDS];

/// The arguments of a job as Active Job stores them: an array of JSON values.
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

    fn at(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

impl Arguments {
    /// The arguments that `job` is stored with: keywords for named fields, else positions.
    ///
    /// # Errors
    /// When `job` is no struct, or holds what JSON in Postgres cannot: a NUL character, a map whose
    /// keys are not strings, a key that Active Job reserves.
    pub fn encode<J: Serialize>(job: &J) -> Result<Self, ArgumentsError> {
        let arguments =
            job.serialize(Encoder).map_err(|e| ArgumentsError::at("arguments", e.to_string()))?;
        arguments.check()?;
        Ok(arguments)
    }

    /// Positional arguments, as from a JSON array.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn positional(values: Vec<Value>) -> Result<Self, ArgumentsError> {
        let arguments = Self(values);
        arguments.check()?;
        Ok(arguments)
    }

    /// Keyword arguments, as from a JSON object. No keywords are no argument at all.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn keywords(keywords: Map<String, Value>) -> Result<Self, ArgumentsError> {
        let arguments = Self::from_keywords(keywords);
        arguments.check()?;
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
            Some(Value::Object(last)) if last.contains_key(KEYWORDS) => values.pop(),
            _ => None,
        };
        values.iter_mut().for_each(strip_markers);
        match keywords {
            Some(mut last) => {
                strip_markers(&mut last);
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
        serde_path_to_error::deserialize(Decoder(self.0)).map_err(|error| {
            let path = match error.path().to_string() {
                root if root == "." => "arguments".to_owned(),
                field if field.starts_with('[') => format!("arguments{field}"),
                field => format!("arguments.{field}"),
            };
            ArgumentsError::at(path, error.into_inner().to_string())
        })
    }

    fn from_keywords(mut keywords: Map<String, Value>) -> Self {
        if keywords.is_empty() {
            return Self::default();
        }
        let names = keywords.keys().cloned().map(Value::String).collect();
        keywords.insert(KEYWORDS.to_owned(), Value::Array(names));
        Self(vec![Value::Object(keywords)])
    }

    fn check(&self) -> Result<(), ArgumentsError> {
        let last = self.0.len().saturating_sub(1);
        for (n, value) in self.0.iter().enumerate() {
            match value {
                Value::Object(map) if n == last && map.contains_key(KEYWORDS) => {
                    for (key, value) in map.iter().filter(|(key, _)| *key != KEYWORDS) {
                        check_value(value, &format!("arguments.{key}"))?;
                    }
                }
                value => check_value(value, &format!("arguments[{n}]"))?,
            }
        }
        Ok(())
    }
}

fn check_value(value: &Value, path: &str) -> Result<(), ArgumentsError> {
    const NUL: &str = "has a NUL character, which Postgres cannot store";
    match value {
        Value::String(text) if text.contains('\0') => Err(ArgumentsError::at(path, NUL)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(n, item)| check_value(item, &format!("{path}[{n}]"))),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            if MARKERS.contains(&key.as_str()) {
                return Err(ArgumentsError::at(path, format!("the key {key:?} is reserved")));
            }
            if key.contains('\0') {
                return Err(ArgumentsError::at(path, NUL));
            }
            check_value(value, &format!("{path}.{key}"))
        }),
        _ => Ok(()),
    }
}

fn strip_markers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip_markers),
        Value::Object(map) => {
            map.retain(|key, _| !MARKERS.contains(&key.as_str()));
            map.values_mut().for_each(strip_markers);
        }
        _ => {}
    }
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Turns a struct into arguments; its kind of struct, which plain JSON forgets, decides how.
struct Encoder;

/// The fields of a struct on their way to keywords.
struct Fields(Map<String, Value>, Option<String>);

/// The fields of a tuple struct on their way to positions.
struct Positions(Vec<Value>);

type Encoded = Result<Arguments, serde_json::Error>;

fn not_a_struct(found: &str) -> serde_json::Error {
    ser::Error::custom(format!("a job is a struct, found {found}"))
}

macro_rules! refuse {
    ($($method:ident($($type:ty),*) => $found:literal;)*) => {
        $(fn $method(self, $(_: $type),*) -> Encoded { Err(not_a_struct($found)) })*
    };
}

impl ser::Serializer for Encoder {
    type Ok = Arguments;
    type Error = serde_json::Error;
    type SerializeSeq = Impossible<Arguments, serde_json::Error>;
    type SerializeTuple = Impossible<Arguments, serde_json::Error>;
    type SerializeTupleStruct = Positions;
    type SerializeTupleVariant = Impossible<Arguments, serde_json::Error>;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Impossible<Arguments, serde_json::Error>;

    refuse! {
        serialize_bool(bool) => "a boolean";
        serialize_i8(i8) => "a number"; serialize_i16(i16) => "a number";
        serialize_i32(i32) => "a number"; serialize_i64(i64) => "a number";
        serialize_u8(u8) => "a number"; serialize_u16(u16) => "a number";
        serialize_u32(u32) => "a number"; serialize_u64(u64) => "a number";
        serialize_f32(f32) => "a number"; serialize_f64(f64) => "a number";
        serialize_char(char) => "a character"; serialize_str(&str) => "a string";
        serialize_bytes(&[u8]) => "bytes"; serialize_none() => "nothing"; serialize_unit() => "()";
        serialize_unit_variant(&'static str, u32, &'static str) => "an enum";
    }

    fn serialize_some<T: ?Sized + Serialize>(self, _: &T) -> Encoded {
        Err(not_a_struct("an option"))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Encoded {
        Ok(Arguments::default())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Encoded {
        Ok(Arguments(vec![serde_json::to_value(value)?]))
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Encoded {
        Err(not_a_struct("an enum"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Self::Error> {
        Err(not_a_struct("a sequence"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Self::Error> {
        Err(not_a_struct("a tuple"))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Self::Error> {
        Ok(Positions(Vec::with_capacity(len)))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Self::Error> {
        Err(not_a_struct("an enum"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Self::Error> {
        Ok(Fields(Map::new(), None))
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, Self::Error> {
        Ok(Fields(Map::new(), None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Self::Error> {
        Err(not_a_struct("an enum"))
    }
}

impl SerializeStruct for Fields {
    type Ok = Arguments;
    type Error = serde_json::Error;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        self.0.insert(key.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    fn end(self) -> Encoded {
        Ok(Arguments::from_keywords(self.0))
    }
}

/// A struct with a flattened field is serialized as a map.
impl SerializeMap for Fields {
    type Ok = Arguments;
    type Error = serde_json::Error;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Self::Error> {
        match serde_json::to_value(key)? {
            Value::String(key) => {
                self.1 = Some(key);
                Ok(())
            }
            other => Err(ser::Error::custom(format!("keyword {other} is not a string"))),
        }
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Self::Error> {
        if let Some(key) = self.1.take() {
            self.0.insert(key, serde_json::to_value(value)?);
        }
        Ok(())
    }

    fn end(self) -> Encoded {
        Ok(Arguments::from_keywords(self.0))
    }
}

impl SerializeTupleStruct for Positions {
    type Ok = Arguments;
    type Error = serde_json::Error;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Self::Error> {
        self.0.push(serde_json::to_value(value)?);
        Ok(())
    }

    fn end(self) -> Encoded {
        Ok(Arguments(self.0))
    }
}

/// Reads arguments as whatever kind of struct asks for them.
struct Decoder(Vec<Value>);

impl Decoder {
    fn positions(self) -> Vec<Value> {
        let mut values = self.0;
        values.iter_mut().for_each(strip_markers);
        values
    }

    /// The one hash that named fields are read from.
    fn keywords(self) -> Result<Map<String, Value>, serde_json::Error> {
        let mut values = self.positions();
        match (values.len(), values.pop()) {
            (0, _) => Ok(Map::new()),
            (1, Some(Value::Object(map))) => Ok(map),
            (1, Some(other)) => Err(serde_json::Error::custom(format!(
                "found {other} in position 1, expected keyword arguments"
            ))),
            (n, _) => Err(serde_json::Error::custom(format!(
                "found {n} positional arguments, expected keyword arguments"
            ))),
        }
    }
}

impl<'de> Deserializer<'de> for Decoder {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(SeqDeserializer::new(self.positions().into_iter()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_map(MapDeserializer::new(self.keywords()?.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(MapDeserializer::new(self.keywords()?.into_iter()))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let positions = self.positions();
        if positions.len() != len {
            let found = positions.len();
            return Err(Self::Error::custom(format!("found {found} arguments, expected {len}")));
        }
        visitor.visit_seq(SeqDeserializer::new(positions.into_iter()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let mut positions = self.positions();
        match (positions.len(), positions.pop()) {
            (1, Some(only)) => visitor.visit_newtype_struct(only),
            (found, _) => Err(Self::Error::custom(format!("found {found} arguments, expected 1"))),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0.len() {
            0 => visitor.visit_unit(),
            found => Err(Self::Error::custom(format!("found {found} arguments, expected none"))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit seq tuple enum identifier ignored_any
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
        assert_eq!(wrong(json!([1])), "arguments: found 1 arguments, expected 2");
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
        let reserved = json!({"deep": [{"_aj_symbol_keys": []}]});
        let reserved = Arguments::keywords(into_map(reserved)).unwrap_err();
        assert_eq!(
            reserved.to_string(),
            "arguments.deep[0]: the key \"_aj_symbol_keys\" is reserved"
        );
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
