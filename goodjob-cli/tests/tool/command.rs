//! Runs the binary in an empty directory with an empty environment.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A call of `goodjob`.
pub(crate) struct Goodjob {
    command: Command,
    /// Holds `goodjob.toml`; removed with this value.
    directory: TempDir,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn goodjob<'a>(args: impl IntoIterator<Item = &'a str>) -> Goodjob {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_goodjob"));
    command.args(args).current_dir(directory.path()).env_clear();
    Goodjob { command, directory }
}

impl Goodjob {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn toml(self, text: &str) -> Self {
        std::fs::write(self.directory.path().join("goodjob.toml"), text).unwrap();
        self
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn run(&mut self) -> Ended {
        Ended::from(self.command.output().unwrap())
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// Checks the exit code, and shows everything when it is another.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}
