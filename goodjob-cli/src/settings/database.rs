//! The address of the database. It may hold a password: what is shown is `user@host:port/database`.

use goodjob_postgres::PgOptions;

use super::decode::Unfit;
use crate::environment::Environment;

/// Variables of libpq, any of which says that a database is meant.
const LIBPQ: [&str; 5] = ["PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER"];

/// Reads a URL. No message repeats it.
pub(super) fn of_url(text: &str) -> Result<PgOptions, Unfit> {
    let told = |message: &str| Unfit::Told(message.to_owned());
    let text = text.trim();
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    // The driver takes any scheme, and then half a password for the name of the database.
    let Some(rest) = rest else {
        return Err(told("expected a URL such as postgres://user@host/database"));
    };
    if rest.find(['/', '?', '#']).is_some_and(|authority| rest[authority..].contains('@')) {
        return Err(told("in a password write / ? # @ as %2F %3F %23 %40"));
    }
    PgOptions::from_url(text).map_err(|error| Unfit::Told(error.to_string()))
}

/// The database that libpq's variables mean, with their names, if one of them is set. The driver
/// reads the values by itself, as libpq would.
pub(super) fn of_libpq(environment: &Environment) -> Option<(PgOptions, String)> {
    let set: Vec<_> = LIBPQ.into_iter().filter(|name| environment.get(name).is_some()).collect();
    (!set.is_empty()).then(|| (PgOptions::from_libpq_environment(), set.join(", ")))
}
