//! Where jobs are done: in the process that enqueues them, or in others.

use std::fmt;
use std::str::FromStr;

/// The gem's execution modes, by its names (wire contract 14.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExecutionMode {
    /// A due job is done at once, while its caller waits, by the whole protocol: locked, recorded and
    /// settled by its policy. An error that nothing handled comes back to the caller. Future jobs are only
    /// stored. For tests, and for scripts that want to see what happens.
    Inline,
    /// Jobs are stored, and done elsewhere: by `goodjob start` or another process of the application. The
    /// default, as it is the gem's in production.
    #[default]
    External,
    /// Jobs are done in this process, by pools beside whatever it serves, if it is a server
    /// ([`Role::Server`]); in any other process they are only stored. The gem's `async`, also called
    /// `async_server`.
    Async,
    /// Jobs are done by pools in this process, whatever it is.
    AsyncAll,
}

impl ExecutionMode {
    /// Whether a process in this role has pools.
    #[must_use]
    pub fn runs_pools(self, role: Role) -> bool {
        match self {
            Self::Inline | Self::External => false,
            Self::Async => role == Role::Server,
            Self::AsyncAll => true,
        }
    }
}

impl fmt::Display for ExecutionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline => "inline",
            Self::External => "external",
            Self::Async => "async",
            Self::AsyncAll => "async_all",
        })
    }
}

/// A mode that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("execution mode: found {0:?}, expected inline, external, async, async_server or async_all")]
pub struct ExecutionModeError(String);

impl FromStr for ExecutionMode {
    type Err = ExecutionModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "inline" => Self::Inline,
            "external" => Self::External,
            "async" | "async_server" => Self::Async,
            "async_all" => Self::AsyncAll,
            other => return Err(ExecutionModeError(other.to_owned())),
        })
    }
}

/// What a process of an application is. The gem guesses it from the call stack; here the program says it,
/// at the one place where it is known: where it begins to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It serves requests until it is told to stop.
    Server,
    /// Anything else: a script, a migration, a console, a scheduled task.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_named_as_the_gem_names_them() {
        use ExecutionMode::{Async, AsyncAll, External, Inline};
        for mode in [Inline, External, Async, AsyncAll] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("async_server".parse(), Ok(Async));
        assert_eq!(
            "sync".parse::<ExecutionMode>().unwrap_err().to_string(),
            "execution mode: found \"sync\", expected inline, external, async, async_server or async_all"
        );
    }

    #[test]
    fn only_servers_run_pools_in_async_mode() {
        let pools = |mode: ExecutionMode| [Role::Server, Role::Other].map(|r| mode.runs_pools(r));
        assert_eq!(pools(ExecutionMode::Inline), [false, false]);
        assert_eq!(pools(ExecutionMode::External), [false, false]);
        assert_eq!(pools(ExecutionMode::Async), [true, false]);
        assert_eq!(pools(ExecutionMode::AsyncAll), [true, true]);
    }
}
