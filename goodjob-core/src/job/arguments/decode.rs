//! Active Job's arguments on their way to a struct.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::reserved::is_typed;
use super::strip_marks;
use crate::job::ruby::{KEYWORDS_NAME, brief};

/// Reads arguments as whatever kind of struct asks for them.
pub(super) struct Decoder(pub(super) Vec<Value>);

impl Decoder {
    fn positions(self) -> Vec<Value> {
        let mut values = self.0;
        values.iter_mut().for_each(strip_marks);
        values
    }

    /// The one hash that named fields are read from.
    fn keywords(self) -> Result<Map<String, Value>, serde_json::Error> {
        let mut values = self.positions();
        match (values.len(), values.pop()) {
            (0, _) => Ok(Map::new()),
            (1, Some(Value::Object(map))) if !is_typed(&map) => Ok(map),
            (1, Some(other)) => Err(serde_json::Error::custom(format!(
                "found {} in position 1, expected keyword arguments",
                brief(&other)
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
        let missing = Missing { found: positions.len(), expected: len };
        if missing.found > len {
            return missing.refuse();
        }
        visitor.visit_seq(Positions { values: positions.into_iter(), missing })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let mut positions = self.positions();
        match (positions.len(), positions.pop()) {
            (0, _) => visitor.visit_newtype_struct(Missing { found: 0, expected: 1 }),
            (1, Some(only)) => visitor.visit_newtype_struct(only),
            (found, _) => Missing { found, expected: 1 }.refuse(),
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

/// The positions, and behind them what is missing.
struct Positions {
    values: std::vec::IntoIter<Value>,
    missing: Missing,
}

impl<'de> SeqAccess<'de> for Positions {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        match self.values.next() {
            Some(value) => seed.deserialize(value),
            None => seed.deserialize(self.missing),
        }
        .map(Some)
    }
}

/// An argument that is not there. Keywords are read from it, since Ruby stores none for none; for
/// anything else it is an error.
#[derive(Clone, Copy)]
struct Missing {
    found: usize,
    expected: usize,
}

impl Missing {
    fn refuse<T>(self) -> Result<T, serde_json::Error> {
        let Self { found, expected } = self;
        Err(serde_json::Error::custom(format!("found {found} arguments, expected {expected}")))
    }
}

impl<'de> Deserializer<'de> for Missing {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        self.refuse()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match name == KEYWORDS_NAME {
            true => visitor.visit_newtype_struct(Value::Object(Map::new())),
            false => visitor.visit_newtype_struct(self),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
