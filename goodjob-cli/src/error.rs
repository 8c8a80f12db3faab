//! What a person can cause, one clear line each, and the exit code that follows.

use goodjob_core::{EnqueueError, StoreError};
use goodjob_postgres::ConnectError;
use goodjob_postgres::jobs::FilterError;

use crate::pidfile::PidfileError;
use crate::settings::Problems;
use crate::signals::Interrupt;

/// Exit codes. They are part of the interface: supervisors and scripts act on them.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed; the message says why.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// `status --check`, `doctor` or `config check` found something, or a job that was named to
    /// `jobs retry` and its like was not in the state for it.
    pub const CHECK: u8 = 3;
    /// The shutdown timeout cut jobs off. They are put back and run again elsewhere.
    pub const CUT_OFF: u8 = 4;
    /// The database cannot be reached now (`EX_UNAVAILABLE`): starting again later may help.
    pub const UNAVAILABLE: u8 = 69;
    /// Settings, tables or the server are not as they have to be (`EX_CONFIG`): starting again will
    /// not help.
    pub const CONFIG: u8 = 78;
    /// A second SIGINT ended the shutdown, or one a measurement.
    pub const SIGINT: u8 = 130;
    /// A second SIGTERM ended the shutdown, or one a measurement.
    pub const SIGTERM: u8 = 143;
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error(
        "no database: set DATABASE_URL (or GOOD_JOB_DATABASE_URL, or PGHOST and PGDATABASE), \
         or pass --database-url postgres://user@host/database"
    )]
    NoDatabase,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the job was not stored: {0}")]
    Enqueue(#[from] EnqueueError),
    /// The command line can be read, and asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// The text says what a check found.
    #[error("{0}")]
    Check(String),
    #[error("{0} jobs were still running after the shutdown timeout; they are put back")]
    CutOff(usize),
    #[error("a second {0} ended the shutdown; jobs that still ran are put back")]
    Interrupted(Interrupt),
    #[error("{0} ended the measurement; what it had made is removed")]
    #[cfg(feature = "demo")]
    Stopped(Interrupt),
    #[error(transparent)]
    Pidfile(#[from] PidfileError),
    #[error("probes cannot be answered at {address}: {reason}")]
    Probe { address: std::net::SocketAddr, reason: std::io::Error },
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Settings(problems) if problems.are_all_flags() => exit::USAGE,
            Self::Settings(_) | Self::NoDatabase | Self::Pidfile(_) | Self::Probe { .. } => {
                exit::CONFIG
            }
            Self::Connect(error) => connect_code(error),
            Self::Store(error) | Self::Enqueue(EnqueueError::Store(error)) => store_code(error),
            Self::Database(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => exit::UNAVAILABLE,
            Self::Database(_) => exit::FAILED,
            // Nothing is wrong with what was typed.
            Self::Enqueue(EnqueueError::LimitExceeded(_)) => exit::FAILED,
            // What a job cannot be was typed.
            Self::Enqueue(_) | Self::Usage(_) => exit::USAGE,
            Self::Check(_) => exit::CHECK,
            Self::CutOff(_) => exit::CUT_OFF,
            Self::Interrupted(signal) => interrupt_code(*signal),
            #[cfg(feature = "demo")]
            Self::Stopped(signal) => interrupt_code(*signal),
            Self::Failed(_) => exit::FAILED,
        }
    }
}

impl From<FilterError> for CliError {
    fn from(error: FilterError) -> Self {
        Self::Usage(error.to_string())
    }
}

fn interrupt_code(signal: Interrupt) -> u8 {
    match signal {
        Interrupt::Sigint => exit::SIGINT,
        Interrupt::Sigterm => exit::SIGTERM,
    }
}

fn connect_code(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Unreachable { .. } | ConnectError::Failed { .. } => exit::UNAVAILABLE,
        _ => exit::CONFIG,
    }
}

fn store_code(error: &StoreError) -> u8 {
    match error {
        error if error.is_transient() => exit::UNAVAILABLE,
        StoreError::Unfit(_) => exit::CONFIG,
        _ => exit::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Place, Problem};

    #[test]
    fn a_supervisor_can_tell_what_a_restart_may_heal() {
        let target = || "ada@db:5432/app".to_owned();
        let reason = || "connection refused".to_owned();
        let unreachable = ConnectError::Unreachable { target: target(), reason: reason() };
        assert_eq!(CliError::from(unreachable).code(), exit::UNAVAILABLE);
        for fixed in [
            ConnectError::SchemaMissing { target: target() },
            ConnectError::ReadOnly { target: target() },
            ConnectError::SchemaNew { target: target(), unknown: vec![] },
        ] {
            assert_eq!(CliError::from(fixed).code(), exit::CONFIG);
        }
        assert_eq!(CliError::NoDatabase.code(), exit::CONFIG);
    }

    #[test]
    fn a_wrong_flag_is_usage_and_a_wrong_variable_is_configuration() {
        let problem = |place| Problem { place, message: "x".to_owned() };
        let flag = problem(Place::Flag("--queues".into()));
        let variable = problem(Place::Variable("GOOD_JOB_QUEUES".into()));
        let code = |problems| CliError::from(Problems(problems)).code();
        assert_eq!(code(vec![flag.clone()]), exit::USAGE);
        assert_eq!(code(vec![flag, variable]), exit::CONFIG);
    }
}
