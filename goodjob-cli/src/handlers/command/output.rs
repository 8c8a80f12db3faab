//! What is kept of a command's output: the end of it, in bounded memory, however much there was.

use crate::handlers::answer::LONGEST_TEXT;

/// The longest line that is logged whole, in bytes. A longer one becomes several.
const LONGEST_LINE: usize = 8 * 1024;
/// How much of one attempt's stderr is logged, in bytes: a command in a loop must not fill the disk.
const LONGEST_LOG: usize = 1024 * 1024;

/// The last bytes of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    most: usize,
}

impl Tail {
    pub(super) fn of(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(self.most)..]);
        // Cutting at twice the size keeps the moving cheap.
        if self.bytes.len() > 2 * self.most {
            self.bytes.drain(..self.bytes.len() - self.most);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.bytes.len().saturating_sub(self.most)..]
    }

    /// The last line that is not blank, if it is no longer than `most`.
    pub(super) fn last_line(&self, most: usize) -> &[u8] {
        let text = self.bytes().trim_ascii_end();
        let start = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let line = &text[start..];
        if line.len() <= most { line } else { &[] }
    }
}

/// A command's stderr: logged line by line, and its end kept for the error's text.
#[derive(Debug)]
pub(super) struct Report {
    line: Vec<u8>,
    tail: Tail,
    logged: usize,
}

impl Default for Report {
    fn default() -> Self {
        Self { line: Vec::new(), tail: Tail::of(LONGEST_TEXT), logged: 0 }
    }
}

impl Report {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LONGEST_LINE) {
                if self.line.len() + part.len() > LONGEST_LINE {
                    self.end_line();
                }
                self.line.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// The end of what was written, without its lines about progress.
    pub(super) fn end(mut self) -> String {
        self.end_line();
        String::from_utf8_lossy(self.tail.bytes()).trim().to_owned()
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end();
        match progress(line) {
            Some((percent, text)) => tracing::info!(progress = percent, "{text}"),
            None if line.is_empty() => {}
            None => self.log(line),
        }
        if progress(line).is_none() {
            self.tail.push(&bytes);
        }
    }

    fn log(&mut self, line: &str) {
        let silent = self.logged > LONGEST_LOG;
        self.logged = self.logged.saturating_add(line.len());
        match (silent, self.logged > LONGEST_LOG) {
            (false, false) => tracing::info!(stream = "stderr", "{line}"),
            (false, true) => tracing::warn!("the command writes too much: the rest is not logged"),
            (true, _) => {}
        }
    }
}

/// `::progress 40 resizing::`, the percentage and the text.
fn progress(line: &str) -> Option<(u8, &str)> {
    let inner = line.strip_prefix("::progress ")?.strip_suffix("::")?;
    let (percent, text) = inner.split_once(' ').unwrap_or((inner, ""));
    let percent = percent.parse().ok().filter(|percent| *percent <= 100)?;
    Some((percent, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_line_is_found_behind_any_amount_of_text() {
        let mut tail = Tail::of(12);
        for piece in ["a long start\n", "{\"a\":1}", "\r\n\n"] {
            tail.push(piece.as_bytes());
        }
        assert_eq!(tail.last_line(10), b"{\"a\":1}");
        assert_eq!(tail.last_line(3), b"", "too long");
        assert_eq!(Tail::of(9).last_line(9), b"");
    }

    #[test]
    fn progress_is_a_percentage_and_a_text() {
        assert_eq!(progress("::progress 40 half of it::"), Some((40, "half of it")));
        assert_eq!(progress("::progress 100::"), Some((100, "")));
        for no in ["::progress 101 x::", "::progress -1 x::", "::progress 40 x", "progress 40"] {
            assert_eq!(progress(no), None, "{no}");
        }
    }

    #[test]
    fn a_report_ends_with_the_last_lines_but_not_with_progress() {
        let mut report = Report::default();
        report.push(b"one\n::progress 9 x::\ntw");
        report.push(b"o \xff\0\nthree");
        assert_eq!(report.end(), "one\ntwo \u{fffd}\0\nthree");
    }

    proptest! {
        #[test]
        fn memory_is_bounded(pieces in prop::collection::vec((any::<u8>(), 0..40_000usize), 0..9)) {
            let mut report = Report::default();
            for (byte, count) in pieces {
                report.push(&vec![byte; count]);
                prop_assert!(report.line.len() <= LONGEST_LINE);
                prop_assert!(report.tail.bytes.len() <= 2 * LONGEST_TEXT);
            }
            prop_assert!(report.end().len() <= 3 * LONGEST_TEXT);
        }

        #[test]
        fn a_tail_is_the_end_of_all(pieces in prop::collection::vec("[a-z\n]{0,9}", 0..20)) {
            let mut tail = Tail::of(8);
            pieces.iter().for_each(|piece| tail.push(piece.as_bytes()));
            let all = pieces.concat();
            prop_assert_eq!(tail.bytes(), &all.as_bytes()[all.len().saturating_sub(8)..]);
        }
    }
}
