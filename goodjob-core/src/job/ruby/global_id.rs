//! References to records.

use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ValueError;
use super::stored::read;
use crate::job::arguments::GLOBAL_ID;

const EXPECTED: &str = "a reference such as \"gid://my-app/User/7\"";

/// A record by reference, `gid://app/Model/id`: what Ruby makes of an Active Record object among the
/// arguments, and finds the record by again. Every Rails from 6.1 reads it.
///
/// The app is the Rails application's name with dashes, `my-app` for `MyApp`, unless it set another.
///
/// ```
/// use goodjob_core::ruby::GlobalId;
/// let invoice: GlobalId = "gid://my-app/Billing::Invoice/7".parse()?;
/// assert_eq!((invoice.app(), invoice.model(), invoice.id()), ("my-app", "Billing::Invoice", "7"));
/// assert_eq!(invoice, GlobalId::new("my-app", "Billing::Invoice", 7)?);
/// # Ok::<(), goodjob_core::ruby::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GlobalId {
    app: String,
    model: String,
    id: String,
    params: Option<String>,
}

impl GlobalId {
    /// The reference to the record of `model` with that id.
    ///
    /// # Errors
    /// When a part is empty or holds what a URI cannot; such characters of an id are to be written
    /// percent-escaped.
    pub fn new(app: &str, model: &str, id: impl fmt::Display) -> Result<Self, ValueError> {
        format!("gid://{app}/{model}/{id}").parse()
    }

    /// As [`new`](Self::new), for parts that were looked at before.
    pub(crate) fn of_checked(app: &str, model: &str, id: impl fmt::Display) -> Self {
        Self { app: app.to_owned(), model: model.to_owned(), id: id.to_string(), params: None }
    }

    /// The application.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The class name of the record.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Its primary key, as the URI has it: percent-escaped, the parts of a composite key with a `/`
    /// between them.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What follows a `?`, for a locator of the application's own.
    #[must_use]
    pub fn params(&self) -> Option<&str> {
        self.params.as_deref()
    }
}

impl fmt::Display for GlobalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gid://{}/{}/{}", self.app, self.model, self.id)?;
        self.params.as_ref().map_or(Ok(()), |params| write!(f, "?{params}"))
    }
}

impl FromStr for GlobalId {
    type Err = ValueError;

    /// # Errors
    /// When the text is no such reference; the error shows it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ValueError { found: format!("{text:?}"), expected: EXPECTED })
    }
}

fn parse(text: &str) -> Option<GlobalId> {
    let rest = text.strip_prefix("gid://")?;
    let (path, params) = match rest.split_once('?') {
        Some((path, params)) => (path, Some(params)),
        None => (rest, None),
    };
    let (app, path) = path.split_once('/')?;
    let (model, id) = path.split_once('/')?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_uri = |c: char| c.is_ascii_graphic() && !r##""#<>?[\]^`{|}"##.contains(c);
    let fits = !app.is_empty()
        && app.chars().all(is_host)
        && std::iter::once(model)
            .chain(id.split('/'))
            .all(|part| !part.is_empty() && part.chars().all(is_uri))
        && params.is_none_or(|params| params.chars().all(|c| c.is_ascii_graphic() && c != '#'));
    fits.then(|| GlobalId {
        app: app.to_owned(),
        model: model.to_owned(),
        id: id.to_owned(),
        params: params.map(str::to_owned),
    })
}

impl Serialize for GlobalId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(Some(1))?;
        object.serialize_entry(GLOBAL_ID, &self.to_string())?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for GlobalId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from, "a record: {\"_aj_globalid\": \"gid://app/Model/id\"}", |value| {
            let object = value.as_object().filter(|object| object.len() == 1)?;
            parse(object.get(GLOBAL_ID)?.as_str()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_reference_is_read_and_written_again() {
        let composite: GlobalId = "gid://my-app/Shop::Item/7/a%2Fb?tenant=x".parse().unwrap();
        assert_eq!(composite.id(), "7/a%2Fb");
        assert_eq!(composite.params(), Some("tenant=x"));
        assert_eq!(composite.to_string(), "gid://my-app/Shop::Item/7/a%2Fb?tenant=x");
    }

    #[test]
    fn what_is_no_reference_is_shown() {
        for bad in [
            "",
            "gid://",
            "gid://app",
            "gid://app/User",
            "gid://app/User/",
            "gid:///User/7",
            "gid://app//7",
            "gid://app/User/7/",
            "gid://app/User/a b",
            "gid://app/User/ä",
            "http://app/User/7",
            "gid://a b/User/7",
            "gid://app/User/7#x",
            "gid://app/User/7?a b",
        ] {
            let error = bad.parse::<GlobalId>().unwrap_err().to_string();
            assert_eq!(error, format!("found {bad:?}, expected {EXPECTED}"));
        }
        assert!(GlobalId::new("app", "User", "a b").is_err());
    }
}
