//! The user that servers run as: oneself, unless that is root, which Postgres refuses.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

use super::environment::Environment;
use super::error::ClusterError;

/// Whom root becomes, in order of preference: the first has its own shared memory and quotas where
/// Postgres is packaged, the second exists everywhere.
const SERVER_USERS: [&str; 2] = ["postgres", "nobody"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    Own,
    Dropped { uid: u32, gid: u32 },
}

impl Account {
    pub(super) fn for_server(environment: &Environment) -> Result<Self, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let passwd = environment.system("etc/passwd");
        let users = fs::read_to_string(&passwd).map_err(ClusterError::file("reading", &passwd))?;
        SERVER_USERS
            .into_iter()
            .find_map(|name| in_passwd(&users, name))
            .ok_or_else(|| ClusterError::NoAccount { passwd, wanted: SERVER_USERS.join(", ") })
    }

    pub(super) fn uid(self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Dropped { uid, .. } => uid,
        }
    }

    /// Hands a file or directory that this process made over to the server.
    pub(super) fn give(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Dropped { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        }
    }

    /// A command that runs as this user, with nothing of ours that could change what it does: no
    /// working directory that it may not read, no `PG*` variables, no locale, no terminal signals.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C").process_group(0);
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        if let Self::Dropped { uid, gid } = self {
            // As root, this also clears the supplementary groups.
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// Ids may be negative there: `nobody` is -2 on macOS.
fn in_passwd(users: &str, wanted: &str) -> Option<Account> {
    let id = |field: &str| field.parse::<i64>().ok().map(|id| id as u32);
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
        (name == wanted).then_some(Account::Dropped { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_passwd() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# nobody\nnobody:*:-2:-2:No one:/:/bin/false\n";
        let nobody = Account::Dropped { uid: u32::MAX - 1, gid: u32::MAX - 1 };
        assert_eq!(in_passwd(users, "nobody"), Some(nobody));
        assert_eq!(in_passwd(users, "postgres"), None);
    }
}
