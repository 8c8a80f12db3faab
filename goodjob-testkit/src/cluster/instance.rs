//! The files of one cluster, by name.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::error::ClusterError;
use super::version::Version;

/// How names begin; short, because sockets' paths are.
const SHARED: &str = "s-";
const PRIVATE: &str = "p-";
const LOG_TAIL_BYTES: u64 = 4096;

/// The files of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    path: PathBuf,
}

impl Instance {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether a directory of the home is a cluster's.
    pub(super) fn is_named(name: &OsStr) -> bool {
        [SHARED, PRIVATE].iter().any(|kind| name.as_encoded_bytes().starts_with(kind.as_bytes()))
    }
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn socket_directory(&self) -> PathBuf {
        self.path.join("sock")
    }

    pub(super) fn socket(&self, port: u16) -> PathBuf {
        self.socket_directory().join(format!(".s.PGSQL.{port}"))
    }

    pub(super) fn users(&self) -> PathBuf {
        self.path.join("users")
    }

    pub(super) fn open_marker(&self) -> PathBuf {
        self.path.join("open")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(super) fn is_shared(&self, version: &Version) -> bool {
        let name = self.path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(shared_prefix(version).as_bytes())
    }

    /// Without its pipe, its set-up was cut short before anything ran in it.
    pub(super) fn has_pipe(&self) -> bool {
        self.users().symlink_metadata().is_ok_and(|found| found.file_type().is_fifo())
    }

    pub(super) fn log_tail(&self) -> String {
        let tail = || -> io::Result<String> {
            let mut log = File::open(self.log())?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(if length > LOG_TAIL_BYTES { after_first_line(&text) } else { text })
        };
        tail().unwrap_or_default()
    }

    pub(super) fn remove(&self) -> Result<(), ClusterError> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ClusterError::file("removing", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn shared_prefix(version: &Version) -> String {
    format!("{SHARED}{version}-")
}

pub(super) fn private_prefix(version: &Version) -> String {
    format!("{PRIVATE}{version}-")
}

fn after_first_line(text: &str) -> String {
    text.split_once('\n').map_or("", |(_, rest)| rest).to_owned()
}
