//! The fifty are all here, once, and the document lists them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn crate_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_fact_has_one_test_and_one_line_in_the_document() {
    let mut tests: BTreeMap<u32, u32> = BTreeMap::new();
    let files = std::fs::read_dir(crate_directory().join("tests/facts")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    for file in files.filter(|path: &PathBuf| path.extension().is_some_and(|e| e == "rs")) {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let Some(name) = line.strip_prefix("async fn fact_") else { continue };
            *tests.entry(name[..2].parse().unwrap()).or_default() += 1;
        }
    }
    let once: BTreeMap<u32, u32> = (1..=50).map(|number| (number, 1)).collect();
    assert_eq!(tests, once);
    let document = crate_directory().join("../docs/compatibility.md");
    let document = std::fs::read_to_string(document).unwrap();
    let table = document.split("## Fifty facts").nth(1).unwrap();
    let listed =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok());
    assert_eq!(listed.collect::<Vec<u32>>(), (1..=50).collect::<Vec<u32>>());
}
