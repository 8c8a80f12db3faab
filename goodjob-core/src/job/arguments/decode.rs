//! Active Job's arguments on their way to a struct.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, Visitor};
use serde_json::{Map, Value};

use super::strip_markers;

/// Reads arguments as whatever kind of struct asks for them.
pub(super) struct Decoder(pub(super) Vec<Value>);

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
