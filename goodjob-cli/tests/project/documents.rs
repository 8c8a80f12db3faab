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

/// The words of a text, without quotes, commas and brackets around them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let around = |c: char| matches!(c, '"' | ',' | '[' | ']' | '`');
    text.split_whitespace().map(move |word| word.trim_matches(around))
}

#[test]
fn what_the_files_for_supervisors_say_is_there() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_goodjob"))
        .args(["start", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let names = ["goodjob.service", "Dockerfile", "kubernetes.yaml", "Procfile"];
    let explained = read("docs/deploying.md").text;
    let mut flags = 0;
    for name in names {
        let text = read(&format!("docs/deploy/{name}")).text;
        assert!(explained.contains(&format!("(deploy/{name})")), "{name} is not explained");
        let not_ours = |line: &&str| line.contains("apt-get") || line.contains("cargo build");
        let lines = text.lines().filter(|l| !l.starts_with("COPY") && !not_ours(l));
        let ours = lines.filter(|l| !l.starts_with('#') && !l.trim_start().starts_with("&&"));
        for line in ours.filter(|line| !line.starts_with("HEALTHCHECK")) {
            for word in words(line).filter(|word| word.starts_with("--") && *word != "---") {
                let flag = word.split('=').next().unwrap();
                assert!(help.contains(&format!("{flag} ")), "{name}: goodjob start has no {flag}");
                flags += 1;
            }
        }
        for path in words(&text).filter(|word| word.starts_with("/status")) {
            let routes = read("goodjob-cli/src/probe.rs").text;
            assert!(routes.contains(&format!("\"{path}\"")), "{name}: no probe answers {path}");
        }
    }
    assert!(flags > 8, "{flags} flags were found");
}

#[test]
fn every_metric_is_documented() {
    let documented = read("docs/deploying.md").text;
    let mut found = 0;
    for path in ["goodjob-core/src/capsule/meter.rs", "goodjob-cli/src/probe/samples.rs"] {
        let file = read(path);
        for name in file.text.split('"').filter(|text| text.starts_with("goodjob_")) {
            assert!(documented.contains(&format!("`{name}`")), "docs/deploying.md lacks {name}");
            found += 1;
        }
    }
    assert!(found > 30, "{found} names");
}
