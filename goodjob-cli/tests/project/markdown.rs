//! What a document consists of: its code blocks, its headings, its links.

/// A fenced block of code.
pub(crate) struct Block {
    /// What stands behind the fence: `rust,no_run`.
    pub(crate) kind: String,
    /// The line of its fence, counted from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Block {
    /// The language: `rust` of `rust,no_run`.
    pub(crate) fn language(&self) -> &str {
        self.kind.split(',').next().unwrap_or_default()
    }

    /// The command lines of a block for the shell, by the words as a shell splits them: without comments, with
    /// continued lines and quoted line ends in one, without variables that are set in front, redirections
    /// and what a pipe does with the output.
    #[allow(dead_code, reason = "this file is a module of two tests")]
    pub(crate) fn commands(&self) -> Vec<Vec<String>> {
        let mut commands = Vec::new();
        let mut pending = String::new();
        for line in self.text.lines() {
            pending.push_str(line.strip_suffix('\\').unwrap_or(line));
            pending.push('\n');
            if line.ends_with('\\') {
                continue;
            }
            if let Some(words) = shlex::split(&pending) {
                commands.extend(simple_commands(words));
                pending.clear();
            }
        }
        assert_eq!(pending, "", "line {}: a quote is not closed", self.line);
        commands
    }
}

/// The simple commands of a line: `a | b && c` is three.
#[allow(dead_code, reason = "this file is a module of two tests")]
fn simple_commands(words: Vec<String>) -> Vec<Vec<String>> {
    let parts = words.split(|word| matches!(word.as_str(), "|" | "&&" | "||" | ";" | "&"));
    let parts = parts.map(|part| {
        let part = part.iter().skip_while(|word| is_assignment(word));
        part.take_while(|word| !matches!(word.as_str(), ">" | ">>" | "2>" | "<")).cloned().collect()
    });
    parts.filter(|part: &Vec<String>| !part.is_empty()).collect()
}

#[allow(dead_code, reason = "this file is a module of two tests")]
fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The blocks of a document, in their order.
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, text) in (1..).zip(document.lines()) {
        let fence = text.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(kind)) => {
                open = Some(Block { kind: kind.trim().to_owned(), line, text: String::new() });
            }
            (None, None) => {}
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(text);
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a code block is not closed");
    blocks
}
