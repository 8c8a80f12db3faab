//! Hashes that Ruby marks: by keywords, by symbol keys, by indifferent access.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::brief;
use crate::job::arguments::{INDIFFERENT, KEYWORDS, MARKERS, SYMBOL_KEYS, is_reserved};

/// By this name [`Keywords`] asks for itself, and is answered though no argument is there.
pub(in crate::job) const KEYWORDS_NAME: &str = "goodjob_core::ruby::Keywords";

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident, $marker:expr, $mark:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name<T>(pub T);

        impl<T> From<T> for $name<T> {
            fn from(hash: T) -> Self {
                Self(hash)
            }
        }

        impl<T: Serialize> Serialize for $name<T> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let mut hash = plain::<_, S::Error>(&self.0)?;
                let mark: fn(&Map<String, Value>) -> Value = $mark;
                hash.insert($marker.to_owned(), mark(&hash));
                hash.serialize(to)
            }
        }
    };
}

hash! {
    /// Keyword arguments that follow positional ones: the last field of a tuple struct.
    /// `ChargeJob.perform_later(42, dry_run: true)` is `Charge(42, Keywords(Options { dry_run: true }))`.
    ///
    /// `T` is a struct with named fields, or a map. As in Ruby, no keywords at all are no argument:
    /// none is written, and where none is stored, `T` is read from nothing. A last hash that Ruby
    /// passed in braces is read, too. Every Rails from 6.1 reads it.
    ///
    /// A job whose arguments are keywords only is a struct with named fields and needs no `Keywords`.
    ///
    /// ```
    /// use goodjob_core::{Arguments, ruby::Keywords};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Charge(i64, Keywords<Options>);
    /// #[derive(Serialize, Deserialize)]
    /// struct Options { #[serde(default)] dry_run: bool }
    ///
    /// let stored = Arguments::encode(&Charge(42, Keywords(Options { dry_run: true })))?;
    /// assert_eq!(
    ///     serde_json::json!(stored.as_stored()),
    ///     serde_json::json!([42, {"dry_run": true, "_aj_ruby2_keywords": ["dry_run"]}])
    /// );
    /// let Charge(amount, Keywords(options)) = Arguments::positional(vec![42.into()])?.decode()?;
    /// assert!(amount == 42 && !options.dry_run);
    /// # Ok::<(), goodjob_core::ArgumentsError>(())
    /// ```
    Keywords, KEYWORDS, names
}

hash! {
    /// A hash whose keys are symbols, `{limit: 5}`. Every Rails from 6.1 reads it.
    ///
    /// Without it a struct or map among the arguments is a hash whose keys are strings. It goes one
    /// level deep: a hash inside needs its own. It reads a hash with any keys.
    ///
    /// ```
    /// use goodjob_core::ruby::SymbolKeys;
    /// let hash = SymbolKeys(std::collections::BTreeMap::from([("limit", 5)]));
    /// assert_eq!(
    ///     serde_json::to_value(&hash)?,
    ///     serde_json::json!({"limit": 5, "_aj_symbol_keys": ["limit"]})
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    SymbolKeys, SYMBOL_KEYS, names
}

hash! {
    /// An `ActiveSupport::HashWithIndifferentAccess`, whose keys Ruby finds by string and by symbol;
    /// permitted parameters of a request are stored as one, too. Every Rails from 6.1 reads it.
    ///
    /// Ruby gives indifferent access to the hashes inside, whatever their marks. It reads a hash with
    /// any keys.
    Indifferent, INDIFFERENT, |_| Value::Bool(true)
}

fn names(hash: &Map<String, Value>) -> Value {
    hash.keys().cloned().map(Value::String).collect()
}

/// A value as a hash that has no marks yet.
fn plain<T: Serialize, E: serde::ser::Error>(value: &T) -> Result<Map<String, Value>, E> {
    match serde_json::to_value(value).map_err(E::custom)? {
        Value::Object(hash) if !hash.keys().any(|key| is_reserved(key)) => Ok(hash),
        other => Err(E::custom(format!(
            "found {}, expected a plain hash: a struct with named fields, or a map",
            brief(&other)
        ))),
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Keywords<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let visitor = HashVisitor { expected: "keyword arguments", of: PhantomData };
        from.deserialize_newtype_struct(KEYWORDS_NAME, visitor).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for SymbolKeys<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(HashVisitor { expected: "a hash", of: PhantomData }).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Indifferent<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(HashVisitor { expected: "a hash", of: PhantomData }).map(Self)
    }
}

/// Reads a `T` from a hash without its marks. It passes the entries on one by one, since an error
/// inside could not name its path if the hash were collected first.
struct HashVisitor<T> {
    expected: &'static str,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for HashVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        from.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(Unmarked(entries)))
    }
}

/// The entries of a hash that are not marks.
struct Unmarked<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Unmarked<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        loop {
            match self.0.next_key::<String>()? {
                None => return Ok(None),
                Some(key) if MARKERS.contains(&key.as_str()) => {
                    self.0.next_value::<serde::de::IgnoredAny>()?;
                }
                Some(key) => return seed.deserialize(key.into_deserializer()).map(Some),
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}
