//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// A file, by its path from the top.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn read(path: &str) -> File {
    let text = fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    File { path: path.to_owned(), text }
}

/// The files below `directory` with this extension, sorted. Build directories and hidden ones are
/// passed over.
pub(crate) fn files(directory: &str, extension: &str) -> Vec<File> {
    let mut found = Vec::new();
    collect(&top().join(directory), extension, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no .{extension} file below {directory:?}");
    let top = top();
    let paths = found.iter().map(|path| path.strip_prefix(&top).unwrap().to_str().unwrap());
    paths.map(read).collect()
}

fn collect(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

impl File {
    /// The code that ships: without the tests at the end of the file, comments and blank lines.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let shipped = self.text.split("\n#[cfg(test)]\n").next().unwrap();
        let numbered = shipped.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
        numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
    }
}
