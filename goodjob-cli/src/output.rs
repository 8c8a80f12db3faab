//! Results on stdout, as JSON or for people; everything else on stderr.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// A result: as JSON, or as `text` says it.
    pub(crate) fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json { print_json(value) } else { print(&text()) }
    }

    /// A list of results: as one line of JSON each, or as `text` says it.
    pub(crate) fn list(
        self,
        values: impl IntoIterator<Item: Serialize>,
        text: impl FnOnce() -> String,
    ) {
        if self.json {
            values.into_iter().for_each(|value| print_json(&value));
        } else {
            print(&text());
        }
    }
}

fn print_json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(json) => print(&json),
        // Our values have string keys and no parts that fail.
        Err(error) => tell("error", &error),
    }
}

/// Writes to stdout. Whoever reads it may have gone, as `head` does; that is no failure.
pub(crate) fn print(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{}", text.trim_end());
}

/// One line for the person at the terminal or the log's reader.
pub(crate) fn tell(kind: &str, message: &impl Display) {
    let _ = writeln!(io::stderr().lock(), "goodjob: {kind}: {message}");
}

/// Columns without borders, which survive `cut` and `awk`.
pub(crate) fn table<const N: usize>(
    headers: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(headers);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
