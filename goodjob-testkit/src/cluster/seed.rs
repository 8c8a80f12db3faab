//! Initialised data directories. `initdb` takes 0.4 s and copying its result 0.03 s, so a stopped
//! copy per server version and user is kept in the user's cache, else in the clusters' home.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::account::Account;
use super::binaries::Binaries;
use super::error::ClusterError;
use super::{SUPERUSER, Site};

/// Counts changes of the arguments below, so that copies made with other ones are not used.
const REVISION: u32 = 1;
const ARGUMENTS: [&str; 6] = ["-A", "trust", "-N", "--no-locale", "-E", "UTF8"];
/// Written last by `initdb`, and gone first when a cache is cleaned of what has not been used.
const VITAL: [&str; 3] = ["PG_VERSION", "postgresql.conf", "global/pg_control"];

/// Makes the empty directory `data` one that a server can start on.
pub(super) fn fill(data: &Path, site: &Site, binaries: &Binaries) -> Result<(), ClusterError> {
    let kept = kept_copies(site, binaries);
    if let Some(copy) = kept.iter().find(|copy| is_whole(copy)) {
        match copy_tree(copy, data, site.account) {
            Ok(()) => return Ok(()),
            // Somebody cleans the cache under our hands.
            Err(_) => empty(data, site.account)?,
        }
    }
    initialise(data, site, binaries)?;
    // Not being able to keep it costs the next start 0.4 s, and nothing else.
    let _ = kept.iter().any(|copy| keep(data, copy).is_ok());
    Ok(())
}

fn kept_copies(site: &Site, binaries: &Binaries) -> Vec<PathBuf> {
    let name = format!(
        "initdb-{}-{}-{}-{REVISION}",
        binaries.version(),
        std::env::consts::ARCH,
        site.account.uid()
    );
    let spare = site.home.path().join("cache");
    let shelves = site.environment.cache_directory.iter().chain([&spare]);
    shelves.map(|shelf| shelf.join(&name)).collect()
}

fn is_whole(copy: &Path) -> bool {
    VITAL.iter().all(|file| copy.join(file).is_file())
}

fn initialise(data: &Path, site: &Site, binaries: &Binaries) -> Result<(), ClusterError> {
    let mut command = site.account.command(&binaries.program("initdb"));
    command.args(["-U", SUPERUSER]).args(ARGUMENTS).arg("-D").arg(data).stdin(Stdio::null());
    let outcome = match command.output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim())
        }
        Err(error) => error.to_string(),
    };
    Err(ClusterError::Program { command: format!("{command:?}"), outcome })
}

/// Puts a copy in place by a rename, so that readers see all of it or nothing. The copy is the
/// caller's own and closed to others: the server gets a copy of it in turn.
fn keep(data: &Path, copy: &Path) -> io::Result<()> {
    let shelf = copy.parent().unwrap_or(copy);
    DirBuilder::new().recursive(true).mode(0o700).create(shelf)?;
    let staging = tempfile::Builder::new().prefix(".initdb-").tempdir_in(shelf)?;
    let whole = staging.path().join("data");
    DirBuilder::new().mode(0o700).create(&whole)?;
    copy_tree(data, &whole, Account::Own)?;
    if copy.exists() && !is_whole(copy) {
        // What a cleaner left of an older copy.
        fs::rename(copy, staging.path().join("old"))?;
    }
    match fs::rename(&whole, copy) {
        // Another process was faster; its copy is as good.
        Err(_) if is_whole(copy) => Ok(()),
        outcome => outcome,
    }
}

/// Copies the contents of a directory with their modes, and gives them to `account`.
fn copy_tree(from: &Path, to: &Path, account: Account) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            DirBuilder::new().mode(entry.metadata()?.mode()).create(&target)?;
            copy_tree(&source, &target, account)?;
        } else {
            fs::copy(&source, &target)?;
        }
        account.give(&target)?;
    }
    Ok(())
}

fn empty(data: &Path, account: Account) -> Result<(), ClusterError> {
    let emptied = || {
        fs::remove_dir_all(data)?;
        DirBuilder::new().mode(0o700).create(data)?;
        account.give(data)
    };
    emptied().map_err(ClusterError::file("emptying", data))
}
