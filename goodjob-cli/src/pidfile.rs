//! `--pidfile`: the process id in a file, for supervisors that know a worker by one.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A file that this process wrote, and removes when this is dropped.
#[derive(Debug)]
pub(crate) struct Pidfile {
    path: PathBuf,
}

/// Why it was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidfileError {
    #[error("pidfile {path}: process {pid} is alive; stop it first, or name another file")]
    Alive { path: PathBuf, pid: i32 },
    #[error("pidfile {path}: found {found:?}, expected a process id; remove it if it is nobody's")]
    Strange { path: PathBuf, found: String },
    #[error("pidfile {path}: {reason}")]
    Io { path: PathBuf, reason: std::io::Error },
}

impl Pidfile {
    /// Writes it. One that a dead process left behind is replaced, and so is one with our own id: in a
    /// container the process before this one had the same.
    pub(crate) fn write(path: &Path) -> Result<Self, PidfileError> {
        let failed = |reason| PidfileError::Io { path: path.to_owned(), reason };
        loop {
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Ok(mut file) => {
                    writeln!(file, "{}", std::process::id()).map_err(failed)?;
                    return Ok(Self { path: path.to_owned() });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_dead(path)?,
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

fn remove_dead(path: &Path) -> Result<(), PidfileError> {
    let failed = |reason| PidfileError::Io { path: path.to_owned(), reason };
    let found = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?,
    };
    let pid = found.trim().parse::<i32>().ok().and_then(Pid::from_raw);
    let Some(pid) = pid else {
        return Err(PidfileError::Strange {
            path: path.to_owned(),
            found: found.trim().to_owned(),
        });
    };
    let is_ours = u32::try_from(pid.as_raw_nonzero().get()) == Ok(std::process::id());
    // A process of somebody else's may not be signalled, and is alive all the same.
    if !is_ours && test_kill_process(pid) != Err(Errno::SRCH) {
        let pid = pid.as_raw_nonzero().get();
        return Err(PidfileError::Alive { path: path.to_owned(), pid });
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Somebody who removed or replaced it has taken it over.
        let ours = std::process::id().to_string();
        if fs::read_to_string(&self.path).is_ok_and(|found| found.trim() == ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_one_is_refused_and_a_dead_one_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("goodjob.pid");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, child.id().to_string()).unwrap();
        let refused = Pidfile::write(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {} is alive", child.id())), "{refused}");
        child.kill().unwrap();
        child.wait().unwrap();
        let written = Pidfile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(Pidfile::write(&path).unwrap());
        assert!(!path.exists(), "our own is replaced");
        drop(written);
        fs::write(&path, "no number").unwrap();
        let strange = Pidfile::write(&path).unwrap_err().to_string();
        assert!(strange.contains("found \"no number\""), "{strange}");
        let nowhere = Pidfile::write(&directory.path().join("nowhere/x.pid")).unwrap_err();
        assert!(matches!(nowhere, PidfileError::Io { .. }), "{nowhere}");
    }
}
