//! What can go wrong, sorted by what the reader of the message can do about it.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why there is no Postgres to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// Nothing on this machine can run a server: install Postgres, or name a database.
    #[error(
        "no postgres server (initdb and postgres, 12 or newer) found in{}\n{remedy}",
        listed(tried)
    )]
    NoBinaries {
        /// Every place that was looked at, in order.
        tried: Vec<Attempt>,
        /// What to do about it on the present system.
        remedy: String,
    },

    /// Postgres refuses to run as root, and there is no other user to run it as.
    #[error("root cannot run a postgres server, and {passwd} has none of the users {wanted}")]
    NoAccount {
        /// The list of users that was read.
        passwd: PathBuf,
        /// The names that would have done.
        wanted: String,
    },

    /// A file or directory is not as it has to be: look at its permissions and at the disk's space.
    #[error("{doing} {path}: {source}")]
    File {
        /// What was being done to it.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },

    /// A program other than the server failed.
    #[error("{command}: {outcome}")]
    Program {
        /// The command line.
        command: String,
        /// How it ended, and what it printed.
        outcome: String,
    },

    /// The server ended instead of accepting connections; its log says why.
    #[error("postgres ended while starting ({status}); its log ends:\n{log}")]
    Ended {
        /// The exit status.
        status: String,
        /// The last lines of its log.
        log: String,
    },

    /// The server runs, yet does not accept connections, or does not stop.
    #[error("postgres is not {wanted} after {waited:?} ({last_seen}); its log ends:\n{log}")]
    Slow {
        /// What was waited for.
        wanted: &'static str,
        /// How long.
        waited: Duration,
        /// What the last look showed.
        last_seen: String,
        /// The last lines of its log.
        log: String,
    },

    /// The shared server has other users, so it cannot be restarted: start a private one.
    #[error("the shared server has other users and cannot be restarted; use Cluster::private")]
    Shared,
}

impl ClusterError {
    pub(super) fn file<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }
}

/// One place where server binaries were looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A variable, a command, a directory or a pattern of directories.
    pub place: String,
    /// What was there instead.
    pub finding: String,
}

fn listed(tried: &[Attempt]) -> String {
    tried.iter().fold(String::new(), |mut list, attempt| {
        // Writing to a String cannot fail.
        let _ = write!(list, "\n  {}: {}", attempt.place, attempt.finding);
        list
    })
}
