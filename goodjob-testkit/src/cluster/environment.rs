//! What this module takes from the process's surroundings, read in one place so that tests can
//! hand in another one instead of changing their own.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where to look for Postgres and where to put clusters.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `GOOD_JOB_PG_BIN`: the one directory to take `initdb` and `postgres` from.
    pub chosen_binaries: Option<PathBuf>,
    /// The directories of `PATH`.
    pub search_path: Vec<PathBuf>,
    /// What the system's own directories are below: `/`.
    pub root: PathBuf,
    /// `TMPDIR`, else `/tmp`: data and sockets of running servers.
    pub temporary_directory: PathBuf,
    /// The user's cache directory, if there is one: initialised data directories.
    pub cache_directory: Option<PathBuf>,
}

impl Environment {
    /// The surroundings of the present process; variables that are set to nothing count as unset.
    pub fn of_this_process() -> Self {
        Self {
            chosen_binaries: variable("GOOD_JOB_PG_BIN").map(PathBuf::from),
            search_path: variable("PATH")
                .map(|path| env::split_paths(&path).filter(|dir| dir.is_absolute()).collect())
                .unwrap_or_default(),
            root: PathBuf::from("/"),
            temporary_directory: env::temp_dir(),
            cache_directory: cache_directory(),
        }
    }

    /// A path of the system, given without its leading slash.
    pub(super) fn system(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }
}

/// The database that the user named: `GOOD_JOB_DATABASE_URL`, else `DATABASE_URL`.
///
/// To be asked before a [`Cluster`](super::Cluster) is. An empty variable counts as unset.
pub fn url_from_environment() -> Option<String> {
    first_url(variable)
}

fn first_url(variable: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    ["GOOD_JOB_DATABASE_URL", "DATABASE_URL"]
        .into_iter()
        .filter_map(variable)
        .find_map(|value| value.into_string().ok())
        .filter(|url| !url.is_empty())
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn cache_directory() -> Option<PathBuf> {
    let chosen = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    chosen.or_else(|| Some(env::home_dir()?.join(below_home))).map(|dir| dir.join("goodjob"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(variables: &[(&str, &str)]) -> Option<String> {
        first_url(|name| {
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from(value)).filter(|value| !value.is_empty())
        })
    }

    #[test]
    fn good_jobs_own_variable_wins_and_an_empty_one_counts_as_unset() {
        assert_eq!(url_of(&[]), None);
        assert_eq!(url_of(&[("DATABASE_URL", "b")]).as_deref(), Some("b"));
        let both = [("GOOD_JOB_DATABASE_URL", "a"), ("DATABASE_URL", "b")];
        assert_eq!(url_of(&both).as_deref(), Some("a"));
        let empty = [("GOOD_JOB_DATABASE_URL", ""), ("DATABASE_URL", "b")];
        assert_eq!(url_of(&empty).as_deref(), Some("b"));
    }
}
