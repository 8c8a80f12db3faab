//! Every block of code in the documents is read, compiled or run by what would read it in earnest. Its language
//! says by what; what nothing can check is `text`. Command lines of `goodjob` are parsed by a test in
//! `goodjob-cli/src/args/documents.rs`.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use config::{Config, FileFormat};
use goodjob_testkit::Database;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::markdown::{Block, blocks};
use crate::tree::{File, files, read, top};

/// Pages that show a program in parts, and where it is compiled and tested.
const PROGRAMS: [(&str, &str); 2] = [
    ("docs/getting-started.md", "goodjob-cli/tests/project/beginning.rs"),
    ("docs/backends.md", "goodjob-testkit/examples/shelf.rs"),
];

/// Every block of every document, and where it is.
fn snippets() -> Vec<(File, Block)> {
    let documents = files("", "md").into_iter();
    documents
        .flat_map(|document| {
            let blocks = blocks(&document.text).into_iter();
            let file = |path: &String| File { path: path.clone(), text: String::new() };
            blocks.map(move |block| (file(&document.path), block)).collect::<Vec<_>>()
        })
        .collect()
}

/// What is wrong with a block; `None` if nothing is, or if that is checked elsewhere.
fn fault(block: &Block) -> Option<String> {
    let text = &block.text;
    match block.language() {
        "rust" => compiled(&block.kind),
        "toml" if is_manifest(text) => manifest(text),
        "toml" => settings(text),
        "json" => json(text),
        "yaml" => yaml(text),
        "ini" => ini(text),
        "dockerfile" => dockerfile(text),
        "sh" => shell(block),
        "python" => {
            interpreted("python3", &["-c", "import ast, sys; ast.parse(sys.stdin.read())"], text)
        }
        "ruby" => interpreted("ruby", &["-c"], text),
        "javascript" => interpreted("node", &["--input-type=module", "--check", "-"], text),
        // Run by `sql_runs_on_a_fresh_database`.
        "sql" => None,
        // Nothing can check it.
        "text" => None,
        other => Some(format!("nothing checks {other:?}: say text, or add a check here")),
    }
}

#[test]
fn every_block_is_checked() {
    let faults = snippets().into_iter().filter_map(|(document, block)| {
        Some(format!("{}:{}: {}", document.path, block.line, fault(&block)?))
    });
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_wrong_with_a_block_is_found() {
    let wrong = [
        ("", "x"),
        ("mermaid", "graph"),
        ("rust,ignore", "fn main() {}"),
        ("toml", "queues = \"mice:0\""),
        ("toml", "queus = \"mice\""),
        ("toml", "[dependencies]\ngoodjob-corn = \"0.1\""),
        ("toml", "[dependencies]\ngoodjob-core = \"7\""),
        ("json", "{\"a\": 1,}"),
        ("yaml", "a: [1"),
        ("ini", "Restart"),
        ("dockerfile", "RUM echo"),
        ("sh", "if true"),
        ("sh", "godjob start"),
        ("sh", "scripts/none"),
        ("sh", "cargo test -p goodjob-corn"),
    ];
    for (kind, text) in wrong {
        let block = Block { kind: kind.to_owned(), line: 1, text: format!("{text}\n") };
        assert!(fault(&block).is_some(), "{kind}: {text}");
    }
}

/// `ignore` is refused: what cannot be compiled is no code.
fn compiled(kind: &str) -> Option<String> {
    let kinds = ["rust", "rust,no_run", "rust,should_panic", "rust,compile_fail"];
    (!kinds.contains(&kind)).then(|| format!("{kind} is not compiled"))
}

#[test]
fn every_page_with_rust_is_compiled() {
    let lists = [read("goodjob-cli/src/lib.rs").text, read("goodjob-testkit/src/lib.rs").text];
    for (document, block) in snippets() {
        if block.language() != "rust" || !document.path.starts_with("docs/") {
            continue;
        }
        let place = format!("{}:{}", document.path, block.line);
        if let Some((_, program)) = PROGRAMS.iter().find(|(page, _)| *page == document.path) {
            assert!(read(program).text.contains(&block.text), "{place}: this is not in {program}");
            continue;
        }
        let entry = format!("include_str!(\"../../{}\")", document.path);
        let found = lists.iter().any(|list| list.contains(&entry));
        assert!(found, "{place}: is not compiled: add the page in goodjob-cli/src/lib.rs");
    }
}

fn toml(text: &str) -> Result<BTreeMap<String, Value>, String> {
    let file = config::File::from_str(text, FileFormat::Toml);
    let built = Config::builder().add_source(file).build();
    built.and_then(Config::try_deserialize).map_err(|error| error.to_string())
}

/// Whether it is of a Cargo.toml.
fn is_manifest(text: &str) -> bool {
    ["[dependencies]", "[dev-dependencies]"].iter().any(|table| text.contains(table))
}

/// Crates of ours have to be there, in this version, and those of others as they are used here.
fn manifest(text: &str) -> Option<String> {
    let (manifest, ours) = match (toml(text), toml(&read("Cargo.toml").text)) {
        (Ok(manifest), Ok(ours)) => (manifest, ours),
        (Err(error), _) | (_, Err(error)) => return Some(error),
    };
    let known = &ours["workspace"]["dependencies"];
    let version = |dependency: &Value| match dependency {
        Value::String(version) => Some(version.clone()),
        other => other["version"].as_str().map(str::to_owned),
    };
    let tables =
        ["dependencies", "dev-dependencies"].into_iter().filter_map(|name| manifest.get(name));
    tables.filter_map(Value::as_object).flatten().find_map(|(name, dependency)| {
        // Nobody here depends on the command.
        let known = match name.as_str() {
            "goodjob-cli" => &known["goodjob-core"],
            name => &known[name],
        };
        let (theirs, ours) = (version(dependency)?, version(known));
        let agree = ours.as_ref().is_some_and(|ours| ours.starts_with(&theirs));
        (!agree).then(|| format!("{name}: found {theirs}, used here is {ours:?}"))
    })
}

/// Read by `goodjob config check`, in a directory where the files are that it names.
fn settings(text: &str) -> Option<String> {
    let directory = TempDir::new().unwrap();
    let here = directory.path().to_str().unwrap();
    let text = text.replace("/run/secrets/", &format!("{here}/")).replace("/srv/app", here);
    for name in text.split(&format!("{here}/")).skip(1) {
        let name = name.split('"').next().unwrap();
        std::fs::write(directory.path().join(name), "secret").unwrap();
    }
    std::fs::write(directory.path().join("goodjob.toml"), text).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_goodjob"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    check.args(["config", "check"]).current_dir(directory.path()).env_clear().env("PATH", path);
    failure(&check.output().unwrap())
}

/// Values one after the other, as on a line each.
fn json(text: &str) -> Option<String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    values.find_map(|value| value.err().map(|error| error.to_string()))
}

fn yaml(text: &str) -> Option<String> {
    let mut events = saphyr_parser::Parser::new_from_str(text);
    events.find_map(|event| event.err().map(|error| error.to_string()))
}

/// Sections, and keys with values; a value may go on in the next line.
fn ini(text: &str) -> Option<String> {
    let is_fine = |line: &str| {
        line.is_empty()
            || line.starts_with(['#', ';'])
            || (line.starts_with('[') && line.ends_with(']'))
            || line.split_once('=').is_some_and(|(key, _)| !key.is_empty() && !key.contains(' '))
    };
    let wrong = text.replace("\\\n", " ").lines().find(|line| !is_fine(line)).map(str::to_owned);
    wrong.map(|line| format!("{line:?} is no line of an INI file"))
}

fn dockerfile(text: &str) -> Option<String> {
    const INSTRUCTIONS: [&str; 17] = [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ];
    let joined = text.replace("\\\n", " ");
    let mut lines = joined.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let wrong = lines.find(|line| !INSTRUCTIONS.contains(&line.split(' ').next().unwrap()))?;
    Some(format!("{wrong:?} begins with no instruction"))
}

/// Its syntax, and that the programs are known here and what it names of this repository is there.
fn shell(block: &Block) -> Option<String> {
    const PROGRAMS: [&str; 14] = [
        "goodjob",
        "my-worker",
        "export",
        "psql",
        "curl",
        "mdbook",
        "cd",
        "createdb",
        "docker",
        "kubectl",
        "systemctl",
        "journalctl",
        "kill",
        "echo",
    ];
    let syntax = interpreted("sh", &["-n"], &block.text);
    syntax.or_else(|| {
        block.commands().iter().find_map(|words| match words[0].as_str() {
            "cargo" => cargo(&words[1..]),
            script if script.starts_with("scripts/") || script == ".ci/run" => {
                (!top().join(script).exists()).then(|| format!("{script} is not there"))
            }
            program if PROGRAMS.contains(&program) => None,
            program => Some(format!("{program} is no program of these documents")),
        })
    })
}

/// The packages, tests and examples that it names are there, or are its reader's own.
fn cargo(words: &[String]) -> Option<String> {
    let after =
        |flag: &str| words.windows(2).find(|pair| pair[0] == flag).map(|pair| pair[1].as_str());
    let package = after("-p").filter(|package| package.starts_with("goodjob"));
    let is_there = |path: String| top().join(path).exists();
    if let Some(package) = package.filter(|package| !is_there(format!("{package}/Cargo.toml"))) {
        return Some(format!("there is no package {package}"));
    }
    let package = package?;
    let named = [("--test", "tests"), ("--example", "examples"), ("--bench", "benches")];
    named.into_iter().find_map(|(flag, directory)| {
        let name = after(flag)?;
        let found = is_there(format!("{package}/{directory}/{name}.rs"));
        (!found).then(|| format!("{package} has no {flag} {name}"))
    })
}

/// Whether an interpreter takes it. What is not installed is passed over, and that is told.
fn interpreted(program: &str, args: &[&str], text: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("SKIPPED: {program} is not installed, so what documents show of it was not read");
        return None;
    };
    // One that has seen enough closes its input.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    failure(&child.wait_with_output().unwrap())
}

fn failure(output: &std::process::Output) -> Option<String> {
    let told =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    // A warning, as of a mistyped key, is a fault of a document.
    let fine = output.status.success() && !told[1].contains("warning");
    (!fine).then(|| told.concat())
}

/// The SQL of each page in its order, on tables as `goodjob migrate` makes them.
#[tokio::test]
async fn sql_runs_on_a_fresh_database() {
    for document in files("docs", "md") {
        let sql: Vec<Block> =
            blocks(&document.text).into_iter().filter(|block| block.language() == "sql").collect();
        if sql.is_empty() {
            continue;
        }
        let database = Database::fresh().await;
        let pool = database.pool().await;
        for block in sql {
            let run = sqlx::raw_sql(AssertSqlSafe(block.text)).execute(&pool).await;
            run.unwrap_or_else(|error| panic!("{}:{}: {error}", document.path, block.line));
        }
        pool.close().await;
    }
}
