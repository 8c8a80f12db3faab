//! A struct on its way to Active Job's arguments.

use serde::ser::{
    self, Impossible, Serialize, SerializeMap, SerializeStruct, SerializeTupleStruct,
};
use serde_json::{Map, Value};

use super::Arguments;

/// Turns a struct into arguments; its kind of struct, which plain JSON forgets, decides how.
pub(super) struct Encoder;

/// The fields of a struct on their way to keywords.
pub(super) struct Fields(Map<String, Value>, Option<String>);

/// The fields of a tuple struct on their way to positions.
pub(super) struct Positions(Vec<Value>);

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
        Ok(Arguments::from_positions(vec![serde_json::to_value(value)?]))
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
        Ok(Arguments::from_positions(self.0))
    }
}
