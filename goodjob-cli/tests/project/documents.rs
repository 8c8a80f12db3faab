//! The documents say what is there: links lead somewhere, paths exist, the README shows real code.

use crate::tree::{File, files, read, top};

/// Every document of the repository.
fn documents() -> Vec<File> {
    files("", "md")
}

/// The code blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let blocks = crate::markdown::blocks(text).into_iter();
    blocks.filter(|block| block.kind == language).map(|block| block.text).collect()
}

#[test]
fn the_readme_shows_the_examples_as_they_are_compiled() {
    let examples = files("goodjob-cli/examples", "rs");
    let readme = read("README.md").text;
    let blocks = blocks(&readme, "rust");
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let found = examples.iter().any(|example| example.text.contains(&block));
        assert!(found, "this is not in goodjob-cli/examples:\n{block}");
    }
}

#[test]
fn the_readmes_commands_are_those_that_ci_runs() {
    let (readme, ci) = (read("README.md").text, read(".ci/run").text);
    for command in ["scripts/demo", "scripts/test"] {
        assert!(blocks(&readme, "sh").iter().any(|b| b.lines().any(|line| line == command)));
        assert!(ci.lines().any(|line| line.contains(command)), "CI does not run {command}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let directory = top().join(&document.path).parent().unwrap().to_owned();
        for target in document.text.split("](").skip(1) {
            let target = target.split(')').next().unwrap();
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            if path.contains("://") {
                continue;
            }
            let file =
                if path.is_empty() { top().join(&document.path) } else { directory.join(path) };
            assert!(file.exists(), "{}: {target} leads nowhere", document.path);
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&file).unwrap();
                let found = text.lines().filter(|l| l.starts_with('#')).any(|l| slug(l) == heading);
                assert!(found, "{}: {target} names no heading", document.path);
            }
        }
    }
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_path_that_a_document_names_exists() {
    let tops = [
        "goodjob-core/",
        "goodjob-postgres/",
        "goodjob-cli/",
        "goodjob-testkit/",
        "scripts/",
        "docs/",
        "examples/",
        "bench/",
    ];
    for document in documents() {
        for quoted in document.text.split('`').skip(1).step_by(2) {
            if tops.iter().any(|top| quoted.starts_with(top)) && !quoted.contains([' ', '*', '{']) {
                assert!(top().join(quoted).exists(), "{}: {quoted} is not there", document.path);
            }
        }
    }
}
