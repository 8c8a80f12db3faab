//! The project as a whole: the rules that ARCHITECTURE.md names, what the documents say.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

#[path = "project/architecture.rs"]
mod architecture;
#[path = "project/beginning.rs"]
mod beginning;
#[path = "project/book.rs"]
mod book;
#[path = "project/documents.rs"]
mod documents;
#[path = "project/markdown.rs"]
mod markdown;
#[path = "project/moving.rs"]
mod moving;
#[path = "project/snippets.rs"]
mod snippets;
#[path = "project/tree.rs"]
mod tree;
