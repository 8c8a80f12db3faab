//! The documents as a book: built by mdBook as readers build it, and what it leads to is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use mdbook_driver::MDBook;
use mdbook_driver::book::{BookItem, Chapter};
use mdbook_driver::config::Config;
use tempfile::TempDir;

use crate::tree::{files, top};

/// The book as it is configured, to be built into `directory`.
fn book(directory: &Path) -> MDBook {
    let root = top().join("docs");
    let mut config = Config::from_disk(root.join("book.toml")).unwrap();
    config.build.build_dir = directory.to_owned();
    // This mdBook is compiled without it.
    config.set("output.html.search.enable", false).unwrap();
    MDBook::load_with_config(root, config).unwrap_or_else(|error| panic!("{error:#}"))
}

fn chapters(book: &MDBook) -> Vec<&Chapter> {
    let chapters = book.iter().filter_map(|item| match item {
        BookItem::Chapter(chapter) => Some(chapter),
        _ => None,
    });
    chapters.collect()
}

fn path(chapter: &Chapter) -> String {
    let path = chapter.source_path.as_ref();
    path.unwrap_or_else(|| panic!("{} has no page", chapter.name)).to_str().unwrap().to_owned()
}

#[test]
fn every_page_is_a_chapter_of_the_book_and_has_something_to_say() {
    let directory = TempDir::new().unwrap();
    let book = book(directory.path());
    let chapters = chapters(&book);

    let listed: BTreeSet<String> = chapters.iter().map(|chapter| path(chapter)).collect();
    assert_eq!(listed.len(), chapters.len(), "docs/SUMMARY.md lists a page twice");
    for page in files("docs", "md") {
        let page = page.path.trim_start_matches("docs/");
        assert!(page == "SUMMARY.md" || listed.contains(page), "docs/SUMMARY.md lacks {page}");
    }
    for chapter in chapters {
        let mut lines = chapter.content.lines();
        let heading = lines.next().unwrap_or_default();
        assert!(heading.starts_with("# "), "{}: opens with no heading", path(chapter));
        let words = lines.filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        assert!(words.count() > 20, "{}: is empty", path(chapter));
    }
}

#[test]
fn every_link_of_the_built_book_leads_somewhere() {
    let directory = TempDir::new().unwrap();
    let built = directory.path().canonicalize().unwrap();
    let book = book(&built);
    book.build().unwrap_or_else(|error| panic!("{error:#}"));

    let pages: BTreeMap<PathBuf, String> = chapters(&book)
        .into_iter()
        .map(|chapter| built.join(path(chapter)).with_extension("html"))
        .map(|page| (page.clone(), fs::read_to_string(&page).unwrap()))
        .collect();
    let mut wrong = Vec::new();
    for (page, html) in &pages {
        for link in links(html) {
            if !leads_somewhere(page, link, &pages, &built) {
                wrong.push(format!("{}: {link}", page.strip_prefix(&built).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these lead nowhere in the book:\n{}", wrong.join("\n"));
}

/// Where the elements of a page lead.
fn links(html: &str) -> impl Iterator<Item = &str> {
    let values =
        ["href=\"", "src=\""].into_iter().flat_map(|attribute| html.split(attribute).skip(1));
    values.filter_map(|rest| rest.split('"').next())
}

fn leads_somewhere(
    page: &Path,
    link: &str,
    pages: &BTreeMap<PathBuf, String>,
    built: &Path,
) -> bool {
    if link.contains("://") || link.starts_with("data:") || link.starts_with("javascript:") {
        return true;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => page.to_owned(),
        path => resolve(page.parent().unwrap(), path),
    };
    // What is not in the book is not on the web server.
    if !target.starts_with(built) || !target.exists() {
        return false;
    }
    anchor.is_empty()
        || pages.get(&target).is_some_and(|html| html.contains(&format!("id=\"{anchor}\"")))
}

/// `directory` and a relative path, without its dots.
fn resolve(directory: &Path, path: &str) -> PathBuf {
    let mut resolved = directory.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            Component::CurDir => {}
            part => resolved.push(part),
        }
    }
    resolved
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = built.join("Cargo.toml"); // any file that is there
    let pages = BTreeMap::from([(page.clone(), r#"<h2 id="there">"#.to_owned())]);
    let leads = |link| leads_somewhere(&page, link, &pages, built);
    assert!(leads("#there") && leads("src/main.rs") && leads("https://example.org/x"));
    assert!(!leads("#elsewhere") && !leads("src/none.rs") && !leads("../Cargo.toml"));
    assert_eq!(
        links(r#"<a href="a.html"><img src="b.png">"#).collect::<Vec<_>>(),
        ["a.html", "b.png"]
    );
}
