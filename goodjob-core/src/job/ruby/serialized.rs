//! Objects of serializers that this crate does not know.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::Decimal;
use super::stored::read;
use crate::job::arguments::SERIALIZED;

/// What a serializer made, untouched: for one of the application's own, or for a value that is only
/// passed on. Nothing inside it is read or changed, Active Job's marks included.
///
/// Every Rails from 6.1 reads it, if the application there has a serializer of that name.
///
/// ```
/// use goodjob_core::ruby::Serialized;
/// use serde_json::json;
///
/// let stored = json!({"_aj_serialized": "MoneySerializer", "cents": 990, "currency": "EUR"});
/// let money: Serialized = serde_json::from_value(stored.clone())?;
/// assert_eq!((money.serializer.as_str(), &money.keys["cents"]), ("MoneySerializer", &json!(990)));
/// assert_eq!(serde_json::to_value(&money)?, stored);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Serialized {
    /// The serializer's class name.
    pub serializer: String,
    /// What it wrote beside its name.
    pub keys: Map<String, Value>,
}

impl Serialize for Serialized {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let Some(second) = self.keys.get(SERIALIZED) {
            return Err(S::Error::custom(format!(
                "found {second} among the keys, expected the serializer's name beside them only"
            )));
        }
        let mut object = to.serialize_map(Some(self.keys.len() + 1))?;
        object.serialize_entry(SERIALIZED, &self.serializer)?;
        for (key, value) in &self.keys {
            object.serialize_entry(key, value)?;
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for Serialized {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from, "an object with a serializer's name under _aj_serialized", |value| {
            let mut keys = value.as_object()?.clone();
            let serializer = keys.remove(SERIALIZED)?.as_str()?.to_owned();
            Some(Self { serializer, keys })
        })
    }
}

/// The form that Rails 7.2 and later write, and 7.1 and later read: Ruby is given a `BigDecimal`,
/// where the plain text of a [`Decimal`] is given to it as a `String`.
impl From<Decimal> for Serialized {
    fn from(decimal: Decimal) -> Self {
        let value = Value::String(decimal.to_string());
        Self {
            serializer: super::decimal::SERIALIZER.to_owned(),
            keys: Map::from_iter([("value".to_owned(), value)]),
        }
    }
}
