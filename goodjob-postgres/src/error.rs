//! What Postgres says, turned into what the caller can do about it.

use goodjob_core::StoreError;
use sqlx::Error;

use crate::options::PgOptions;
use crate::tables::HashFunction;

/// Why there is no store to work with. Each text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be read.
    #[error("database URL: {reason}; expected postgres://user:password@host:5432/database")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers.
    #[error(
        "cannot reach Postgres at {target}: {reason}; is the server running, and the address right?"
    )]
    Unreachable {
        /// Where it was looked for.
        target: String,
        /// What was seen.
        reason: String,
    },
    /// The server refuses this user, or does not have this database.
    #[error("Postgres at {target} refuses the connection: {reason}")]
    Refused {
        /// Where.
        target: String,
        /// What it said.
        reason: String,
    },
    /// The server accepts no writes.
    #[error("Postgres at {target} is read-only, perhaps a standby; point goodjob at the primary")]
    ReadOnly {
        /// Where.
        target: String,
    },
    /// The tables are not there.
    #[error(
        "the tables are missing at {target}; run `goodjob migrate`, or the gem's installer in Rails"
    )]
    SchemaMissing {
        /// Where.
        target: String,
    },
    /// The tables are older than this version can use.
    #[error("the tables at {target} lack {}; run `goodjob migrate`, or the gem's update migrations in Rails", .missing.join(", "))]
    SchemaOld {
        /// Where.
        target: String,
        /// `table.column` of each missing column.
        missing: Vec<String>,
    },
    /// A newer goodjob has migrated the database.
    #[error("the tables at {target} were migrated by a newer goodjob ({}); upgrade this one", .unknown.join(", "))]
    SchemaNew {
        /// Where.
        target: String,
        /// Migrations that this version does not know.
        unknown: Vec<String>,
    },
    /// The function that makes the keys of locks is not installed.
    #[error(
        "the hash function {hash_function} needs the extension {extension} at {target}; run `CREATE EXTENSION \"{extension}\"`, or use md5"
    )]
    HashFunction {
        /// Where.
        target: String,
        /// The function.
        hash_function: HashFunction,
        /// What it is part of.
        extension: &'static str,
    },
    /// The lock strategy is not safe on these tables.
    #[error(
        "lock strategy skiplocked: the tables at {target} are older than GoodJob 4.15, so that Ruby's \
         workers lock by advisory alone and would run the same jobs; expected hybrid or advisory"
    )]
    StrategyUnfit {
        /// Where.
        target: String,
    },
    /// The connection worked and then did not.
    #[error("Postgres at {target}: {reason}")]
    Failed {
        /// Where.
        target: String,
        /// What it said.
        reason: String,
    },
}

impl ConnectError {
    /// What kept a connection from being made.
    pub(crate) fn from_sqlx(error: &Error, target: String) -> Self {
        let reason = error.to_string();
        match error {
            Error::Io(_) | Error::PoolTimedOut | Error::Tls(_) => {
                Self::Unreachable { target, reason }
            }
            // 28: authorization; 3D: no such database; 53, 57: the server is full or starting up.
            Error::Database(refusal) => match refusal.code().as_deref().map(|code| &code[..2]) {
                Some("28" | "3D") => Self::Refused { target, reason: refusal.message().to_owned() },
                Some("53" | "57") => {
                    Self::Unreachable { target, reason: refusal.message().to_owned() }
                }
                _ => Self::Failed { target, reason: refusal.message().to_owned() },
            },
            Error::Configuration(_) => Self::Url { reason },
            _ => Self::Failed { target, reason },
        }
    }
}

/// The class of a statement that failed, by what its caller can do. Only what the server finds wrong
/// with the values themselves is rejected: everything else may pass, or be mended by an operator.
pub(crate) fn store_error(error: Error) -> StoreError {
    let reason = error.to_string();
    let code = error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned());
    match code.as_deref() {
        // 22: a value that does not fit; 23: a constraint; 44: a check; P0: raised by a trigger.
        Some(code) if ["22", "23", "44", "P0"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Rejected { reason, source: Some(error.into()) }
        }
        // A table, column or privilege is missing.
        Some(code) if code.starts_with("42") => StoreError::Unfit(reason),
        Some(_) => StoreError::Unavailable { reason, source: Some(error.into()) },
        None => match error {
            Error::Decode(_)
            | Error::ColumnDecode { .. }
            | Error::Encode(_)
            | Error::InvalidArgument(_) => {
                StoreError::Rejected { reason, source: Some(error.into()) }
            }
            error => StoreError::Unavailable { reason, source: Some(error.into()) },
        },
    }
}

/// As [`store_error`], for a statement that may have committed before its connection was lost.
pub(crate) fn commit_error(error: Error) -> StoreError {
    let ended = error.as_database_error().and_then(|e| e.code());
    let ended = ended.is_some_and(|code| code == "57P01" || code == "57P02");
    match error {
        Error::Io(_) | Error::Protocol(_) | Error::WorkerCrashed => {
            StoreError::Unknown { source: error.into() }
        }
        error if ended => StoreError::Unknown { source: error.into() },
        error => store_error(error),
    }
}

/// Whether the session cannot be used after this error.
pub(crate) fn is_fatal(error: &Error) -> bool {
    match error.as_database_error() {
        // 57P: the server ends the session; 08: it is broken; 26, 0A: its prepared statements are not
        // those of this session any more; 3D, 28: it cannot be authorised.
        Some(refusal) => refusal.code().is_some_and(|code| {
            ["57P", "08", "26", "0A", "3D", "28"].iter().any(|class| code.starts_with(class))
        }),
        None => !matches!(
            error,
            Error::Decode(_) | Error::ColumnDecode { .. } | Error::Encode(_) | Error::RowNotFound
        ),
    }
}

/// Whether the server itself answers that it takes nobody now: then nobody else can claim either. A
/// refused TCP connection proves less, since a proxy or a balancer may refuse only this host.
pub(crate) fn is_down_for_everyone(error: &Error, options: &PgOptions) -> bool {
    match error {
        Error::Io(io) => {
            let refused = [std::io::ErrorKind::ConnectionRefused, std::io::ErrorKind::NotFound];
            options.connect.get_socket().is_some() && refused.contains(&io.kind())
        }
        // 57P03 cannot connect now; 57P01 and 57P02 shutting down.
        Error::Database(refusal) => refusal.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
