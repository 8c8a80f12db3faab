//! Finds an installed Postgres: a directory that has both `initdb` and `postgres`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::environment::Environment;
use super::error::{Attempt, ClusterError};
use super::remedy;
use super::version::Version;

/// The oldest major version that goodjob works with.
const OLDEST_MAJOR: u32 = 12;

/// Where systems keep servers, several versions side by side: a parent, how names in it begin, and
/// where in them the binaries are.
const PLACES: [(&str, &str, &str); 8] = [
    ("usr/lib/postgresql", "", "bin"),
    ("usr/lib", "postgresql", "bin"),
    ("usr", "pgsql-", "bin"),
    ("usr/libexec", "postgresql", ""),
    ("opt/homebrew/opt", "postgresql@", "bin"),
    ("usr/local/opt", "postgresql@", "bin"),
    ("home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// An installed Postgres server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    version: Version,
}

impl Binaries {
    /// The highest version that is installed; `GOOD_JOB_PG_BIN`, if set, is the only place to look.
    ///
    /// # Errors
    /// [`ClusterError::NoBinaries`] with every place that was tried.
    pub fn discover(environment: &Environment) -> Result<Self, ClusterError> {
        let mut search = Search::default();
        match &environment.chosen_binaries {
            Some(chosen) => search.look("GOOD_JOB_PG_BIN", vec![chosen.clone()]),
            None => search.everywhere(environment),
        }
        // The first of equals wins; `max_by_key` would take the last.
        search.found.into_iter().rev().max_by_key(|binaries| binaries.version.order()).ok_or_else(
            || ClusterError::NoBinaries {
                tried: search.tried,
                remedy: remedy::for_system(environment),
            },
        )
    }

    /// The directory that holds `initdb`, `postgres` and their companions.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn in_directory(directory: &Path) -> Result<Self, String> {
        let missing: Vec<_> = ["initdb", "postgres"]
            .into_iter()
            .filter(|name| !directory.join(name).is_file())
            .collect();
        if !missing.is_empty() {
            return Err(format!("no {} in {}", missing.join(", no "), directory.display()));
        }
        let postgres = directory.join("postgres");
        let answer = first_line(&postgres, "--version")?;
        let version = Version::parse(&answer)
            .ok_or_else(|| format!("{} says {answer:?}", postgres.display()))?;
        if version.major() < OLDEST_MAJOR {
            return Err(format!("{} is version {version}", postgres.display()));
        }
        Ok(Self { directory: directory.to_owned(), version })
    }
}

#[derive(Default)]
struct Search {
    found: Vec<Binaries>,
    tried: Vec<Attempt>,
}

impl Search {
    fn everywhere(&mut self, environment: &Environment) {
        self.miss("GOOD_JOB_PG_BIN", "not set");

        let path = &environment.search_path;
        match path.iter().filter(|dir| dir.join("initdb").is_file()).collect::<Vec<_>>() {
            directories if directories.is_empty() => self.miss("PATH", "no initdb"),
            directories => self.look("PATH", directories.into_iter().cloned().collect()),
        }
        let pg_config = path.iter().map(|dir| dir.join("pg_config")).find(|file| file.is_file());
        match pg_config.map(|program| first_line(&program, "--bindir")) {
            Some(Ok(bindir)) => self.look("pg_config --bindir", vec![bindir.into()]),
            Some(Err(reason)) => self.miss("pg_config --bindir", &reason),
            None => self.miss("pg_config --bindir", "no pg_config in PATH"),
        }
        for (parent, prefix, suffix) in PLACES {
            let parent = environment.system(parent);
            let pattern = parent.join(format!("{prefix}*")).join(suffix);
            self.look(&pattern.display().to_string(), entries(&parent, prefix, suffix));
        }
    }

    fn look(&mut self, place: &str, directories: Vec<PathBuf>) {
        if directories.is_empty() {
            self.miss(place, "nothing there");
        }
        for directory in directories {
            if self.found.iter().any(|binaries| binaries.directory == directory) {
                continue;
            }
            match Binaries::in_directory(&directory) {
                Ok(binaries) => self.found.push(binaries),
                Err(reason) => self.miss(place, &reason),
            }
        }
    }

    fn miss(&mut self, place: &str, finding: &str) {
        self.tried.push(Attempt { place: place.to_owned(), finding: finding.to_owned() });
    }
}

fn entries(parent: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let Ok(listing) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut directories: Vec<_> = listing
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(suffix))
        .filter(|directory| directory.is_dir())
        .collect();
    directories.sort();
    directories
}

fn first_line(program: &Path, argument: &str) -> Result<String, String> {
    let failed = |reason: String| format!("{} {argument}: {reason}", program.display());
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
