//! Who uses a cluster, and what stops it when nobody does any more.
//!
//! Users hold the write end of the cluster's named pipe; a detached `sh`, the watchdog, sits in
//! `read` at the other end. Descriptors are close-on-exec, so the kernel closes the last write end
//! when the last user is gone by whatever means, and the `read` returns. Compared with the rest:
//! a parent-death signal is Linux's alone and follows the spawning *thread*; a watchdog per user
//! that waits for a file lock needs `flock(1)`, which macOS lacks; polling process ids meets
//! recycled ones. And it leaves one way to stop, for an orderly end as for a crash.
//!
//! **No newcomer loses its server.** A newcomer takes the write end *and then* looks for the `open`
//! marker; the watchdog removes the marker *and then* reads to the end once more. So either the
//! newcomer misses the marker and goes away, or the watchdog's second read waits for it.
//!
//! **A dead watchdog is replaced**: whoever finds the pipe without a reader starts another one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::error::ClusterError;
use super::instance::Instance;

/// Arguments: the cluster's directory, and seconds to linger once nobody is left.
///
/// The shell forks at once, so that no user of the cluster has it as a child to reap, and reads
/// from a copy of its input, as shells give background commands an empty one. A process is
/// signalled only if its command line names the data directory: after a reboot the number in
/// `postmaster.pid` may be anybody's. Removing is tried again because a server that was about to
/// start when its starter was killed may still be creating files.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
watch() {
  until_nobody_is_left
  if [ "$2" != 0 ]; then
    while rest "$2"; read -r newcomer; do until_nobody_is_left; done
  fi
  rm -f "$1/open"
  until_nobody_is_left
  for attempt in 1 2 3 4 5; do
    stop "$1/data"
    rm -rf "$1"
    [ -d "$1" ] || break
    rest 0.2
  done
}
until_nobody_is_left() { while read -r newcomer; do :; done; }
rest() { sleep "$1" || sleep 1; }
stop() {
  for signal in QUIT KILL; do
    runs "$1" || return
    kill "-$signal" "$pid"
    looks=0
    while runs "$1" && [ "$((looks += 1))" -lt 200 ]; do rest 0.05; done
  done
}
runs() {
  read -r pid <"$1/postmaster.pid" || return
  case $(command_line "$pid") in *"-D $1 "*) ;; *) return 1 ;; esac
}
command_line() {
  if [ -r "/proc/$1/cmdline" ]; then
    tr '\0' ' ' <"/proc/$1/cmdline"
  else
    ps -ww -p "$1" -o args=
  fi
}
exec 3<&0
watch "$1" "$2" <&3 3<&- &
"#;

/// Holding this keeps the cluster running.
#[derive(Debug)]
pub(super) struct Presence {
    _users: File,
}

/// How long the watchdog waits for newcomers after the last user.
#[derive(Clone, Copy, Debug)]
pub(super) enum Linger {
    No,
    /// Long enough for the next process of a test run to start, short enough to go unnoticed.
    HalfASecond,
}

impl Presence {
    /// Counts this process among the users of a cluster, with a watchdog on guard.
    pub(super) fn begin(instance: &Instance, linger: Linger) -> Result<Self, ClusterError> {
        let users = instance.users();
        let opened = match write_end(&users).map_err(ClusterError::file("opening", &users))? {
            Some(file) => file,
            None => hire(instance, linger)?,
        };
        // A line interrupts the watchdog's lingering. If it died this instant, the next one to
        // come replaces it, and ours is the end that its successor waits for.
        let _ = (&opened).write(b"\n");
        Ok(Self { _users: opened })
    }
}

/// Stops and removes a cluster that has neither users nor a watchdog; leaves any other alone.
pub(super) fn sweep(instance: &Instance) -> Result<(), ClusterError> {
    if !instance.has_pipe() {
        return instance.remove();
    }
    Presence::begin(instance, Linger::No).map(drop)
}

/// `None`: nobody reads.
fn write_end(users: &Path) -> io::Result<Option<File>> {
    match open(users, OpenOptions::new().write(true)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens an end of a pipe without waiting for the other one.
fn open(users: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // The flags are small positive numbers; their type differs by platform.
    options.custom_flags(OFlags::NONBLOCK.bits() as i32).open(users)
}

fn hire(instance: &Instance, linger: Linger) -> Result<File, ClusterError> {
    let seconds = match linger {
        Linger::No => "0",
        Linger::HalfASecond => "0.5",
    };
    let hired = || {
        let read_end = open(&instance.users(), OpenOptions::new().read(true))?;
        let write_end = open(&instance.users(), OpenOptions::new().write(true))?;
        rustix::fs::fcntl_setfl(&read_end, OFlags::empty())?;
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "goodjob-watchdog"])
            .arg(instance.path())
            .arg(seconds)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(read_end))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(write_end)
    };
    hired().map_err(ClusterError::file("starting a watchdog for", instance.path()))
}
