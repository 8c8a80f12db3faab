//! Which process of which machine this is, and whether another one is gone.

use std::fs;

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
                started(self.pid) != Some(started_at)
            }
            _ => false,
        }
    }
}

fn scope() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Field 22 of `/proc/PID/stat`, counted from behind the command name, which may hold anything.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // A zombie holds nothing any more; only its parent has not looked yet.
    (state != "Z").then(|| fields.nth(18)?.parse().ok()).flatten()
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
