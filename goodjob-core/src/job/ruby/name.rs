//! Names: symbols, and classes and modules.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::stored::{read, text, write};

pub(super) const SYMBOL: &str = "ActiveJob::Serializers::SymbolSerializer";
const MODULE: &str = "ActiveJob::Serializers::ModuleSerializer";

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $serializer:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                write(to, $serializer, &self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read(from, $expected, |value| text(value, $serializer).map(Self::from))
            }
        }
    };
}

name! {
    /// A symbol, `:mail`. Its name is stored without the colon. Every Rails from 6.1 reads it.
    ///
    /// ```
    /// use goodjob_core::ruby::Symbol;
    /// let via = Symbol::from("mail");
    /// assert_eq!(
    ///     serde_json::to_value(&via)?,
    ///     serde_json::json!({"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": "mail"})
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    Symbol, SYMBOL, "a symbol, as ActiveJob::Serializers::SymbolSerializer stores it"
}

name! {
    /// A class or a module by its full name, `Billing::Invoice`. Every Rails from 6.1 reads it. Ruby
    /// looks the constant up when it reads the job, and fails the job when there is none.
    Module, MODULE, "a class or module, as ActiveJob::Serializers::ModuleSerializer stores it"
}
