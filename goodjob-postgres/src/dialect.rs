//! The statements as one database wants them.
//!
//! The files under `sql/` are written for the usual case and are valid as they stand. Where a database
//! differs, they are rendered once, when the store connects:
//!
//! - table names get their prefix and schema, and lock names the prefix;
//! - the expression of a lock's key gets another hash function;
//! - a line that ends in `-- if WORD` is left out where WORD does not hold;
//! - a line that begins with `-- unless WORD:` is put in there.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::options::{DequeueOrder, PgOptions};
use crate::sql;
use crate::tables::{HashFunction, TABLES, TableNames};

/// How a key is written in the files.
const KEY: (&str, &str) = ("('x' || substr(md5(", "), 1, 16))::bit(64)::bigint");
/// How a notice is written in the files, and what is there instead when none are to be sent.
const NOTIFY: (&str, &str) = ("pg_notify('good_job', ", "concat(NULL::text, ");

/// Renders statements for one database. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialect {
    /// `None` where the files are right as they are.
    rendered: Option<Arc<HashMap<&'static str, Arc<str>>>>,
}

/// What the database's tables have beyond the oldest that are supported (v4.0.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// `good_jobs.lock_type`, since the gem's 4.15.
    pub(crate) lock_type: bool,
    /// `good_job_batches.jobs_finished_at`, since the gem's 4.3.
    pub(crate) jobs_finished_at: bool,
}

impl Default for Columns {
    fn default() -> Self {
        Self { lock_type: true, jobs_finished_at: true }
    }
}

impl Dialect {
    pub(crate) fn of(options: &PgOptions, columns: Columns) -> Self {
        let usual = options.tables.are_plain()
            && options.hash_function == HashFunction::Md5
            && options.order == DequeueOrder::ScheduledAt
            && options.listen_notify
            && columns == Columns::default();
        if usual {
            return Self::default();
        }
        let words = |word: &str| match word {
            "lock_type" => columns.lock_type,
            "jobs_finished_at" => columns.jobs_finished_at,
            "by_scheduled_at" => options.order == DequeueOrder::ScheduledAt,
            _ => true,
        };
        let render = |text: &'static str| {
            let mut rendered = lines(text, words);
            if options.hash_function != HashFunction::Md5 {
                rendered = keys(&rendered, options.hash_function);
            }
            if !options.listen_notify {
                rendered = rendered.replace(NOTIFY.0, NOTIFY.1);
            }
            (text, Arc::from(names(&rendered, &options.tables)))
        };
        let rendered = sql::ALL.iter().map(|(_, text)| render(text)).collect();
        Self { rendered: Some(Arc::new(rendered)) }
    }

    /// The statement as this database wants it.
    pub(crate) fn sql(&self, statement: &'static str) -> SqlStr {
        match self.rendered.as_ref().and_then(|rendered| rendered.get(statement)) {
            // Made of our own files and of names that were checked.
            Some(rendered) => AssertSqlSafe(Arc::clone(rendered)).into_sql_str(),
            None => statement.into_sql_str(),
        }
    }
}

/// Leaves out and puts in the lines that depend on a word.
fn lines(text: &str, holds: impl Fn(&str) -> bool) -> String {
    let mut kept = Vec::new();
    for line in text.lines() {
        if let Some((_, word)) = line.rsplit_once(" -- if ") {
            if holds(word.trim()) {
                kept.push(line);
            }
        } else if let Some((word, put_in)) =
            line.trim_start().strip_prefix("-- unless ").and_then(|rest| rest.split_once(": "))
        {
            if !holds(word) {
                kept.push(put_in);
            }
        } else {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// Replaces the hash function in every key.
fn keys(text: &str, function: HashFunction) -> String {
    let mut parts = text.split(KEY.0);
    let mut rendered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(KEY.1) {
            Some((name, rest)) => {
                rendered.push_str(&function.key(name));
                rendered.push_str(rest);
            }
            None => {
                rendered.push_str(KEY.0);
                rendered.push_str(part);
            }
        }
    }
    rendered
}

/// Gives tables and locks their names, and indexes theirs. `good_jobs-` is the beginning of a lock's
/// name, everything else with a table's name in it is that table.
pub(crate) fn names(text: &str, tables: &TableNames) -> String {
    if tables.are_plain() {
        return text.to_owned();
    }
    let mut rendered = String::with_capacity(text.len() + 256);
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| is_word(c)) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !is_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        rendered.push_str(before);
        if TABLES.contains(&word) {
            rendered.push_str(&match after.starts_with('-') {
                true => tables.lock_name(word),
                false => tables.qualified(word),
            });
        } else if word.starts_with("index_good") {
            rendered.push_str(&tables.index(word));
        } else {
            rendered.push_str(word);
        }
        rest = after;
    }
    rendered + rest
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_depend_on_words() {
        let text = "a,\nb, -- if lock_type\n  -- unless lock_type: c,\n-- unless we say so\nd";
        assert_eq!(lines(text, |_| true), "a,\nb, -- if lock_type\n-- unless we say so\nd");
        assert_eq!(lines(text, |_| false), "a,\nc,\n-- unless we say so\nd");
    }

    #[test]
    fn names_get_their_prefix_and_locks_theirs() {
        let tables = TableNames::default().with_prefix("x_").unwrap().in_schema("S").unwrap();
        assert_eq!(
            names(
                "FROM good_jobs g, 'good_jobs-' || id, index_good_jobs_on_id, my_good_jobs",
                &tables
            ),
            "FROM \"S\".x_good_jobs g, 'x_good_jobs-' || id, index_x_good_jobs_on_id, my_good_jobs"
        );
    }

    #[test]
    fn every_key_gets_the_hash_function() {
        let key = "('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint";
        assert_eq!(
            keys(&format!("a {key} b {key}"), HashFunction::Hashtext),
            "a hashtext('good_jobs-' || id::text)::bigint b hashtext('good_jobs-' || id::text)::bigint"
        );
        for (name, text) in sql::ALL {
            assert!(!keys(text, HashFunction::Sha256).contains("('x' || substr(md5("), "{name}");
        }
    }
}
