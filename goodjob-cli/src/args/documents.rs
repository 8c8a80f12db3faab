//! The command lines that documents show are those that this command takes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use super::Cli;

// The blocks of a document, as the tests of the project read them.
#[path = "../../tests/project/markdown.rs"]
mod markdown;

fn documents() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let mut found = vec![top.join("README.md"), top.join("CONTRIBUTING.md")];
    for directory in ["docs", "docs/adr"] {
        let entries = fs::read_dir(top.join(directory)).expect("documents");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|found| found == "md")));
    }
    found
}

/// What a command line gives to this command: that of the stock binary, of a worker of one's own, or of one
/// that cargo runs.
fn arguments(words: &[String]) -> Option<&[String]> {
    let program = words.first()?.rsplit('/').next()?;
    match program {
        "goodjob" | "my-worker" => Some(&words[1..]),
        "cargo" if words.get(1).is_some_and(|word| word == "run") => {
            let separator = words.iter().position(|word| word == "--")?;
            Some(&words[separator + 1..])
        }
        _ => None,
    }
}

/// Why the command would refuse it.
fn refusal(arguments: &[String]) -> Option<String> {
    let line = std::iter::once("goodjob").chain(arguments.iter().map(String::as_str));
    let error = Cli::try_parse_from(line).err()?;
    let is_asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    (!is_asked_for).then(|| error.to_string())
}

#[test]
fn every_command_line_in_the_documents_is_one() {
    let mut lines = 0;
    let mut refusals = Vec::new();
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document");
        for block in markdown::blocks(&text) {
            let commands = match block.language() {
                "sh" => block.commands(),
                "ini" => started(&block.text),
                _ => continue,
            };
            for arguments in commands.iter().filter_map(|words| arguments(words)) {
                lines += 1;
                if let Some(refusal) = refusal(arguments) {
                    refusals.push(format!("{}:{}: {refusal}", path.display(), block.line));
                }
            }
        }
    }
    assert!(refusals.is_empty(), "{}", refusals.join("\n"));
    assert!(lines > 50, "only {lines} were found");
}

/// What units of systemd start.
fn started(unit: &str) -> Vec<Vec<String>> {
    let lines = unit.lines().filter(|line| line.starts_with("Exec"));
    lines.filter_map(|line| shlex::split(line.split_once('=')?.1)).collect()
}

#[test]
fn a_wrong_command_line_is_found() {
    let wrong =
        "```sh\nDATABASE_URL=x goodjob start --queus mice | sort > \\\n  out # and so on\n```\n";
    let block = &markdown::blocks(wrong)[0];
    assert_eq!(block.text.lines().count(), 2);
    let commands = block.commands();
    assert_eq!(commands, [vec!["goodjob", "start", "--queus", "mice"], vec!["sort"]]);
    assert!(refusal(arguments(&commands[0]).expect("it is ours")).is_some());
    assert_eq!(arguments(&commands[1]), None);
    assert_eq!(started("ExecStart=/usr/bin/goodjob start\n"), [["/usr/bin/goodjob", "start"]]);
}
