//! Which process of which machine this is, and whether another one is gone.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// Names a process of an operating system so well that a neighbour on the same machine can tell
/// whether it is gone: the pid alone is reused, and means nothing in another container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIdentity {
    /// The host's name.
    pub hostname: String,
    /// The process id.
    pub pid: u32,
    /// The machine's present boot and the process's pid namespace; Linux only.
    pub scope: Option<String>,
    /// When the process started, in clock ticks since boot; Linux only.
    pub started: Option<u64>,
}

impl HostIdentity {
    /// This process.
    #[must_use]
    pub fn here() -> Self {
        let pid = std::process::id();
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { hostname, pid, scope: scope(), started: started(pid) }
    }

    /// Whether the process is certainly gone. False when that cannot be known from here.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match (&self.scope, scope(), self.started) {
            (Some(theirs), Some(ours), Some(started_at)) if *theirs == ours => {
                match status(self.pid) {
                    Status::Alive { started } => started != started_at,
                    Status::Ended => true,
                    Status::Hidden => false,
                }
            }
            _ => false,
        }
    }
}

/// What can be seen of a process.
enum Status {
    Alive {
        started: u64,
    },
    Ended,
    /// It is there, and its particulars are not for us to see.
    Hidden,
}

fn status(pid: u32) -> Status {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if known.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
        return Status::Ended;
    }
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => read(&stat).unwrap_or(Status::Hidden),
        Err(_) => Status::Hidden,
    }
}

/// Field 22 of `/proc/PID/stat`, counted from behind the command name, which may hold anything.
fn read(stat: &str) -> Option<Status> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // A zombie holds nothing any more; only its parent has not looked yet.
    if fields.next()? == "Z" {
        return Some(Status::Ended);
    }
    Some(Status::Alive { started: fields.nth(18)?.parse().ok()? })
}

fn started(pid: u32) -> Option<u64> {
    match status(pid) {
        Status::Alive { started } => Some(started),
        Status::Ended | Status::Hidden => None,
    }
}

fn scope() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_when_its_pid_is_another_ones() {
        let here = HostIdentity::here();
        assert!(!here.is_gone());
        if here.scope.is_some() {
            assert!(
                HostIdentity { started: here.started.map(|t| t + 1), ..here.clone() }.is_gone()
            );
        }
        let elsewhere = HostIdentity { scope: Some("elsewhere".into()), pid: 0, ..here };
        assert!(!elsewhere.is_gone(), "what happens on another machine is not known");
    }
}
