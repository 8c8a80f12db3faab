//! From what was typed to what it means. The only place that knows sentinels such as `-1`.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use goodjob_core::{
    Callbacks, DEFAULT_CLEANUP_INTERVAL, DEFAULT_CLEANUP_INTERVAL_JOBS, ExecutionMode, Pools,
    Preserve, Shutdown, Unhandled, Zone,
};
use goodjob_postgres::{DequeueOrder, HashFunction, LockStrategy, TableNames};

use super::LogFormat;
use super::seconds::{self, Seconds};

/// Why a text is no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// What should have been there.
    Expected(&'static str),
    /// A message that shows what was found by itself, or has to keep it secret.
    Told(String),
}

type Decoded<T> = Result<T, Unfit>;

pub(super) fn queues(text: &str) -> Decoded<Pools> {
    text.parse().map_err(|error: goodjob_core::QueueStringError| Unfit::Told(error.to_string()))
}

pub(super) fn count<T: FromStr>(text: &str) -> Decoded<T> {
    number(text, "a whole number, 0 or more")
}

pub(super) fn threads(text: &str) -> Decoded<NonZeroUsize> {
    number(text, "a whole number, 1 or more")
}

pub(super) fn at_least_one(text: &str) -> Decoded<u32> {
    number::<std::num::NonZeroU32>(text, "a whole number, 1 or more").map(Into::into)
}

pub(super) fn poll_interval(text: &str) -> Decoded<Option<Duration>> {
    const EXPECTED: &str = "a time such as 10 or 30s, or -1 for no polling";
    Ok(match seconds(text, EXPECTED)? {
        Seconds::Off => None,
        // The gem takes 0 for off, too.
        Seconds::Of(span) => Some(span).filter(|span| !span.is_zero()),
    })
}

pub(super) fn shutdown(text: &str) -> Decoded<Shutdown> {
    const EXPECTED: &str = "a time such as 30 or 30s, -1 to wait for ever, or 0 not to wait";
    Ok(match seconds(text, EXPECTED)? {
        Seconds::Off => Shutdown::Forever,
        Seconds::Of(Duration::ZERO) => Shutdown::Now,
        Seconds::Of(span) => Shutdown::After(span),
    })
}

pub(super) fn idle_timeout(text: &str) -> Decoded<Option<Duration>> {
    // 0 would end every worker before its first job, which nobody can have meant.
    const EXPECTED: &str = "a time above 0 such as 300 or 5m, or -1 for never";
    match seconds(text, EXPECTED)? {
        Seconds::Off => Ok(None),
        Seconds::Of(Duration::ZERO) => Err(Unfit::Expected(EXPECTED)),
        Seconds::Of(span) => Ok(Some(span)),
    }
}

pub(super) fn span(text: &str) -> Decoded<Duration> {
    const EXPECTED: &str = "a time such as 2 or 500ms";
    match seconds(text, EXPECTED)? {
        Seconds::Of(span) => Ok(span),
        Seconds::Off => Err(Unfit::Expected(EXPECTED)),
    }
}

pub(super) fn lock_strategy(text: &str) -> Decoded<LockStrategy> {
    const EXPECTED: &str = "hybrid, advisory or skiplocked";
    text.trim().parse().map_err(|_| Unfit::Expected(EXPECTED))
}

pub(super) fn hash_function(text: &str) -> Decoded<HashFunction> {
    const EXPECTED: &str = "md5, hashtext, uuid_v5, sha1, sha224, sha256, sha384 or sha512";
    text.trim().parse().map_err(|_| Unfit::Expected(EXPECTED))
}

pub(super) fn dequeue_order(text: &str) -> Decoded<DequeueOrder> {
    text.trim().parse().map_err(|_| Unfit::Expected("scheduled_at or created_at"))
}

/// Puts the tables into a schema.
pub(super) fn schema(text: &str, tables: TableNames) -> Decoded<TableNames> {
    tables.in_schema(text).map_err(|error| Unfit::Told(error.to_string()))
}

/// Gives the tables' names a prefix.
pub(super) fn table_prefix(text: &str, tables: TableNames) -> Decoded<TableNames> {
    tables.with_prefix(text).map_err(|error| Unfit::Told(error.to_string()))
}

pub(super) fn boolean(text: &str) -> Decoded<bool> {
    // Rails takes every other text for true; a misspelt "false" is better refused.
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "on" | "yes" => Ok(true),
        "false" | "f" | "0" | "off" | "no" => Ok(false),
        _ => Err(Unfit::Expected("true or false")),
    }
}

pub(super) fn unhandled(text: &str) -> Decoded<Unhandled> {
    Ok(if boolean(text)? { Unhandled::RetryAtOnce } else { Unhandled::Discard })
}

pub(super) fn preserve(text: &str) -> Decoded<Preserve> {
    match (text.trim(), boolean(text)) {
        ("on_unhandled_error", _) => Ok(Preserve::OnUnhandledError),
        (_, Ok(true)) => Ok(Preserve::Always),
        (_, Ok(false)) => Ok(Preserve::Never),
        _ => Err(Unfit::Expected("true, false or on_unhandled_error")),
    }
}

/// How references to batches name the application.
pub(super) fn globalid_app(text: &str) -> Decoded<Callbacks> {
    let expected = "a name such as \"my-app\": letters, digits, - and _";
    Callbacks::new().globalid_app(text).map_err(|_| Unfit::Expected(expected))
}

pub(super) fn retention(text: &str) -> Decoded<Duration> {
    const EXPECTED: &str = "a time such as 1209600 or 14d";
    match seconds(text, EXPECTED)? {
        Seconds::Of(span) => Ok(span),
        Seconds::Off => Err(Unfit::Expected(EXPECTED)),
    }
}

/// As the gem reads it: nothing and `true` are the default, and -1 is always.
pub(super) fn cleanup_interval_jobs(text: &str) -> Decoded<Option<u64>> {
    const EXPECTED: &str = "a whole number such as 1000, false for never, or -1 for always";
    Ok(match text.trim() {
        "" | "true" => Some(DEFAULT_CLEANUP_INTERVAL_JOBS),
        "false" | "off" => None,
        "-1" => Some(0),
        text => Some(number(text, EXPECTED)?).filter(|jobs| *jobs > 0),
    })
}

/// As [`cleanup_interval_jobs`].
pub(super) fn cleanup_interval(text: &str) -> Decoded<Option<Duration>> {
    const EXPECTED: &str = "a time such as 600 or 10m, false for never, or -1 for always";
    Ok(match text.trim() {
        "" | "true" => Some(DEFAULT_CLEANUP_INTERVAL),
        "-1" => Some(Duration::ZERO),
        text => match seconds(text, EXPECTED)? {
            Seconds::Off => None,
            Seconds::Of(span) => Some(span).filter(|span| !span.is_zero()),
        },
    })
}

pub(super) fn zone(text: &str) -> Decoded<Zone> {
    text.parse().map_err(|error: goodjob_core::ZoneError| Unfit::Told(error.to_string()))
}

pub(super) fn graceful_restart(text: &str) -> Decoded<Option<Duration>> {
    const EXPECTED: &str = "a time such as 300 or 5m, or -1 for none";
    Ok(match seconds(text, EXPECTED)? {
        Seconds::Off => None,
        Seconds::Of(span) => Some(span).filter(|span| !span.is_zero()),
    })
}

pub(super) fn log_format(text: &str) -> Decoded<LogFormat> {
    match text.trim() {
        "auto" => Ok(LogFormat::Auto),
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err(Unfit::Expected("auto, pretty or json")),
    }
}

pub(super) fn execution_mode(text: &str) -> Decoded<ExecutionMode> {
    const EXPECTED: &str = "inline, external, async, async_server or async_all";
    text.trim().parse().map_err(|_| Unfit::Expected(EXPECTED))
}

pub(super) fn port(text: &str) -> Decoded<u16> {
    number(text, "a port, 0 to 65535; 0 takes any that is free")
}

pub(super) fn address(text: &str) -> Decoded<IpAddr> {
    const EXPECTED: &str = "an IP address such as 127.0.0.1, 0.0.0.0 or ::";
    match text.trim() {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.parse().map_err(|_| Unfit::Expected(EXPECTED)),
    }
}

pub(super) fn path(text: &str) -> Decoded<PathBuf> {
    match text.trim() {
        "" => Err(Unfit::Expected("a path")),
        path => Ok(path.into()),
    }
}

fn number<T: FromStr>(text: &str, expected: &'static str) -> Decoded<T> {
    text.trim().replace('_', "").parse().map_err(|_| Unfit::Expected(expected))
}

fn seconds(text: &str, expected: &'static str) -> Decoded<Seconds> {
    seconds::parse(text).ok_or(Unfit::Expected(expected))
}
