//! Where clusters live: one home per user in the temporary directory, and in it one directory per
//! cluster.
//!
//! ```text
//! /tmp/goodjob-1000/            home, ours; traversable if servers run as somebody else
//!   start.lock                  held while a cluster is being set up, joined or swept away
//!   s-15.18-x4Kp2A/             a shared cluster of that version; `p-…` is a private one
//!     users                     named pipe: users hold its write end, the watchdog reads
//!     open                      there while newcomers may join; says how its binaries were found
//!     log  data/  sock/         the last two belong to the server's user
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::environment::Environment;
use super::error::ClusterError;
use super::instance::{Instance, private_prefix, shared_prefix};
use super::version::Version;

/// A socket's path must be shorter than 104 bytes on macOS and the BSDs, 108 on Linux.
const LONGEST_SOCKET_PATH: usize = 100;
const LONGEST_BELOW_HOME: &str = "/s-15.18-a1B2c3/sock/.s.PGSQL.65535";

#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    account: Account,
}

impl Home {
    /// The user's home for clusters, made if need be, and refused if somebody else could write it.
    pub(super) fn open(environment: &Environment, account: Account) -> Result<Self, ClusterError> {
        let own_uid = rustix::process::geteuid().as_raw();
        let name = format!("goodjob-{own_uid}");
        let path = temporary_directory(environment, account, &name).join(&name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(ClusterError::file("creating", &path)(error));
            }
            _ => {}
        }
        let found = path.symlink_metadata().map_err(ClusterError::file("examining", &path))?;
        if !found.is_dir() || found.uid() != own_uid || found.mode() & 0o022 != 0 {
            let reason = io::Error::other("not a directory that this user alone can write");
            return Err(ClusterError::file("using", &path)(reason));
        }
        let home = Self { path, account };
        home.let_server_through(&home.path)?;
        Ok(home)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// One process at a time sets up, joins or sweeps. The kernel gives the lock back at its death.
    pub(super) fn lock(&self) -> Result<File, ClusterError> {
        let path = self.path.join("start.lock");
        let locked = || {
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        locked().map_err(ClusterError::file("locking", &path))
    }

    /// Every cluster there is, running or left behind. Call under the lock.
    pub(super) fn instances(&self) -> Vec<Instance> {
        let Ok(listing) = fs::read_dir(&self.path) else {
            return Vec::new();
        };
        listing
            .flatten()
            .filter(|entry| Instance::is_named(&entry.file_name()))
            .map(|entry| Instance::at(entry.path()))
            .collect()
    }

    pub(super) fn create_shared(&self, version: &Version) -> Result<Instance, ClusterError> {
        self.create(&shared_prefix(version))
    }

    pub(super) fn create_private(&self, version: &Version) -> Result<Instance, ClusterError> {
        self.create(&private_prefix(version))
    }

    fn create(&self, prefix: &str) -> Result<Instance, ClusterError> {
        let path = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(&self.path)
            .map_err(ClusterError::file("creating a directory in", &self.path))?
            .keep();
        self.let_server_through(&path)?;
        let instance = Instance::at(path);
        for directory in [instance.data(), instance.socket_directory()] {
            DirBuilder::new()
                .mode(0o700)
                .create(&directory)
                .and_then(|()| self.account.give(&directory))
                .map_err(ClusterError::file("creating", &directory))?;
        }
        make_pipe(&instance.users())?;
        Ok(instance)
    }

    fn let_server_through(&self, path: &Path) -> Result<(), ClusterError> {
        match self.account {
            Account::Own => Ok(()),
            Account::Dropped { .. } => fs::set_permissions(path, Permissions::from_mode(0o711))
                .map_err(ClusterError::file("opening to the server's user", path)),
        }
    }
}

/// `TMPDIR` unless sockets below it had too long a path or the server's user could not get there,
/// as with a per-user directory of root's.
fn temporary_directory(environment: &Environment, account: Account, home: &str) -> PathBuf {
    let chosen = std::path::absolute(&environment.temporary_directory)
        .unwrap_or_else(|_| environment.temporary_directory.clone());
    let longest = chosen.join(home).as_os_str().len() + LONGEST_BELOW_HOME.len();
    let passable = |dir: &Path| dir.metadata().is_ok_and(|found| found.mode() & 0o001 != 0);
    let reachable = account == Account::Own || chosen.ancestors().all(passable);
    if longest <= LONGEST_SOCKET_PATH && reachable { chosen } else { PathBuf::from("/tmp") }
}

/// By the utility, which is everywhere; rustix has the call on Linux only.
fn make_pipe(path: &Path) -> Result<(), ClusterError> {
    let status = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(ClusterError::file("running mkfifo for", path))?;
    let failed = || io::Error::other(format!("mkfifo: {status}"));
    if status.success() { Ok(()) } else { Err(ClusterError::file("creating", path)(failed())) }
}
