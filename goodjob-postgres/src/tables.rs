//! What the tables are called here, and where they are.

use std::fmt;
use std::str::FromStr;

use crate::key::advisory_key;

/// The gem's five tables, goodjob's ledger, and what it makes by name.
pub(crate) const TABLES: [&str; 7] = [
    "good_jobs",
    "good_job_executions",
    "good_job_processes",
    "good_job_batches",
    "good_job_settings",
    "goodjob_migrations",
    "goodjob_notes",
];

/// The names of the tables: plain, with a prefix, in a schema of their own.
///
/// A prefix is part of a table's name as the gem sees it (Rails' `table_name_prefix`), and so of the
/// names that advisory locks are derived from (wire contract 3.1): both sides have to agree on it. A
/// schema is only where the tables are, as if it stood first in the `search_path`.
///
/// ```
/// use goodjob_postgres::TableNames;
/// let names: TableNames = TableNames::default().with_prefix("acme_")?.in_schema("jobs")?;
/// assert_eq!(names.lock_name("good_jobs"), "acme_good_jobs");
/// # Ok::<(), goodjob_postgres::TableNamesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableNames {
    schema: Option<String>,
    prefix: String,
}

/// A prefix or schema that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: found {found:?}, expected {expected}")]
pub struct TableNamesError {
    what: &'static str,
    found: String,
    expected: &'static str,
}

impl TableNames {
    /// Names that begin with `prefix`, such as `acme_`. One that ends in a dot, `jobs.`, names a schema
    /// in Rails' way: then the schema is part of the locks' names, too.
    ///
    /// # Errors
    /// When it holds anything but lower-case letters, digits, `_` and at most one dot, or begins with a
    /// digit: names that Rails would not have to quote.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, TableNamesError> {
        let parts: Vec<&str> = prefix.split('.').collect();
        let fits = match parts.as_slice() {
            [only] => is_plain(only),
            [schema, rest] => !schema.is_empty() && is_plain(schema) && is_plain(rest),
            _ => false,
        };
        // The longest table name has 19 bytes, and a name 63.
        let names_schema = parts.len() > 1;
        if !fits || prefix.len() > 40 || (names_schema && self.schema.is_some()) {
            return Err(TableNamesError {
                what: "table prefix",
                found: prefix.to_owned(),
                expected: "at most 40 of a-z, 0-9 and _, not a digit first, such as \"acme_\"; a dot ends the name \
                           of a schema, if no other is named",
            });
        }
        prefix.clone_into(&mut self.prefix);
        Ok(self)
    }

    /// Tables in this schema, wherever the `search_path` leads.
    ///
    /// # Errors
    /// When it is empty, longer than a name may be, holds a quote or a NUL character, or the prefix names
    /// one already.
    pub fn in_schema(mut self, schema: &str) -> Result<Self, TableNamesError> {
        if self.prefix.contains('.')
            || schema.is_empty()
            || schema.len() > 63
            || schema.contains(['"', '\'', '\0'])
        {
            return Err(TableNamesError {
                what: "schema",
                found: schema.to_owned(),
                expected: "a name of 1 to 63 bytes without quotes, and none in the prefix",
            });
        }
        self.schema = Some(schema.to_owned());
        Ok(self)
    }

    /// The name of a table as advisory locks spell it.
    #[must_use]
    pub fn lock_name(&self, table: &str) -> String {
        format!("{}{table}", self.prefix)
    }

    /// The table as a statement names it.
    #[must_use]
    pub fn qualified(&self, table: &str) -> String {
        match (&self.schema, self.prefix.split_once('.')) {
            (Some(schema), _) => format!("\"{schema}\".{}{table}", self.prefix),
            // Quoted, since it may be a word of SQL's.
            (None, Some((schema, prefix))) => format!("\"{schema}\".{prefix}{table}"),
            (None, None) => format!("{}{table}", self.prefix),
        }
    }

    /// The schema that has to be there before the tables can be, when one is named.
    pub(crate) fn schema(&self) -> Option<&str> {
        self.schema.as_deref().or_else(|| self.prefix.split_once('.').map(|(schema, _)| schema))
    }

    /// An index's name with the prefix, since two sets of tables may share a schema. One that Postgres
    /// would cut off is cut here, with a hash of the whole to tell it from others.
    pub(crate) fn index(&self, name: &str) -> String {
        const LONGEST: usize = 63;
        let prefix = self.prefix.rsplit('.').next().unwrap_or_default();
        let rest = name.strip_prefix("index_").unwrap_or(name);
        let whole = format!("index_{prefix}{rest}");
        if whole.len() <= LONGEST {
            return whole;
        }
        let hash = format!("_{:08x}", advisory_key(name) as u32);
        let room = LONGEST - prefix.len() - hash.len();
        format!("{prefix}{}{hash}", &rest[..rest.len().min(room)])
    }

    pub(crate) fn are_plain(&self) -> bool {
        *self == Self::default()
    }
}

fn is_plain(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

impl fmt::Display for TableNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.qualified("good_jobs"))
    }
}

/// Which function turns a lock's name into its key, as the gem's `hash_function` (since 4.17): every
/// process on the tables has to use the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    /// The first 8 bytes of MD5. The default, and the only one that the gem's `hybrid` workers use
    /// whatever they are told (wire contract H9).
    #[default]
    Md5,
    /// Postgres' own 32-bit hash of texts.
    Hashtext,
    /// The first 8 bytes of a version 5 UUID in the DNS namespace; needs the extension `uuid-ossp`.
    UuidV5,
    /// SHA-1; needs the extension `pgcrypto`, as the others below do.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A hash function that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "hash function: found {0:?}, expected md5, hashtext, uuid_v5, sha1, sha224, sha256, sha384 or sha512"
)]
pub struct HashFunctionError(String);

impl HashFunction {
    const ALL: [Self; 8] = [
        Self::Md5,
        Self::Hashtext,
        Self::UuidV5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    /// The key of a text expression, as a bigint expression (wire contract 3.1).
    pub(crate) fn key(self, text: &str) -> String {
        let digest = match self {
            Self::Md5 => format!("md5({text})"),
            Self::Hashtext => return format!("hashtext({text})::bigint"),
            Self::UuidV5 => format!(
                "replace(uuid_generate_v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid, {text})::text, '-', '')"
            ),
            sha => format!("encode(digest({text}, '{sha}'), 'hex')"),
        };
        format!("('x' || substr({digest}, 1, 16))::bit(64)::bigint")
    }

    /// The extension that has to be installed for it.
    #[must_use]
    pub const fn extension(self) -> Option<&'static str> {
        match self {
            Self::Md5 | Self::Hashtext => None,
            Self::UuidV5 => Some("uuid-ossp"),
            Self::Sha1 | Self::Sha224 | Self::Sha256 | Self::Sha384 | Self::Sha512 => {
                Some("pgcrypto")
            }
        }
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "md5",
            Self::Hashtext => "hashtext",
            Self::UuidV5 => "uuid_v5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        })
    }
}

impl FromStr for HashFunction {
    type Err = HashFunctionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|function| function.to_string() == text)
            .ok_or_else(|| HashFunctionError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_in_the_locks_name_and_a_schema_is_not() {
        let prefixed = TableNames::default().with_prefix("acme_").unwrap();
        assert_eq!(prefixed.qualified("good_jobs"), "acme_good_jobs");
        let both = prefixed.in_schema("Our jobs").unwrap();
        assert_eq!(both.qualified("good_jobs"), "\"Our jobs\".acme_good_jobs");
        assert_eq!(both.lock_name("good_jobs"), "acme_good_jobs");
        let railsy = TableNames::default().with_prefix("jobs.").unwrap();
        assert_eq!(railsy.lock_name("good_jobs"), "jobs.good_jobs");
        assert_eq!(railsy.qualified("good_jobs"), "\"jobs\".good_jobs");
        assert!(railsy.clone().in_schema("x").is_err(), "one schema is enough");
        assert_eq!(railsy.schema(), Some("jobs"));
    }

    #[test]
    fn what_would_have_to_be_quoted_is_refused() {
        for prefix in ["1a", "A_", "a-", "a.b.c", ".a", "a'", "a b", &"a".repeat(41)] {
            let error = TableNames::default().with_prefix(prefix).unwrap_err();
            assert!(error.to_string().starts_with("table prefix: found "), "{error}");
        }
        for schema in ["", "a\"b", "a\0", &"a".repeat(64)] {
            assert!(TableNames::default().in_schema(schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn index_names_stay_apart_under_a_prefix() {
        let names = TableNames::default().with_prefix("a_long_prefix_of_twenty_nine__").unwrap();
        let long = names.index("index_good_jobs_on_queue_name_priority_scheduled_at_unfinished");
        let other = names.index("index_good_jobs_on_priority_scheduled_at_unfinished");
        assert!(long.len() <= 63 && other.len() <= 63 && long != other, "{long} {other}");
        assert_eq!(TableNames::default().index("index_x"), "index_x");
    }

    #[test]
    fn hash_functions_are_named_as_the_gem_names_them() {
        for function in HashFunction::ALL {
            assert_eq!(function.to_string().parse(), Ok(function));
        }
        assert!("md4".parse::<HashFunction>().unwrap_err().to_string().contains("found \"md4\""));
    }
}
