//! Makes the tables and indexes, in steps that each leave alone what is there already.
//!
//! goodjob keeps a ledger of its own, `goodjob_migrations`. On tables that Rails made, the steps add a few
//! indexes and that ledger, and only when they are run by name; on those of an older gem, the newer indexes
//! that workers use besides.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor, PgPool};

use crate::dialect::{self, Dialect};
use crate::sql;
use crate::tables::TableNames;

/// Time between asking whether another migration is done.
const TURN: Duration = Duration::from_millis(100);

/// Which indexes a database that goodjob makes is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indexes {
    /// Those that jobs need to run, by the gem's names. Claims and completions cost half as much.
    #[default]
    Lean,
    /// All of the gem's: for a database that its dashboard looks at.
    All,
}

/// What a database is given.
///
/// ```
/// use goodjob_postgres::migrate::{Indexes, Plan, steps};
/// let names = |plan: Plan| steps(plan).iter().map(|step| step.name).collect::<Vec<_>>();
/// assert_eq!(names(Indexes::Lean.into())[..2], ["0001_tables", "0002_lean_indexes"]);
/// assert!(names(Plan::from(Indexes::Lean).with_notes()).contains(&"goodjob_notes"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    indexes: Indexes,
    notes: bool,
}

impl Plan {
    /// With the table for what jobs say about themselves: progress and results.
    #[must_use]
    pub fn with_notes(mut self) -> Self {
        self.notes = true;
        self
    }
}

impl From<Indexes> for Plan {
    fn from(indexes: Indexes) -> Self {
        Self { indexes, notes: false }
    }
}

/// A step: plain SQL that may be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name in the ledger.
    pub name: &'static str,
    /// What it runs.
    pub sql: &'static str,
}

const TABLES: Step =
    Step { name: "0001_tables", sql: include_str!("../migrations/0001_tables.sql") };
const LEAN: Step =
    Step { name: "0002_lean_indexes", sql: include_str!("../migrations/0002_lean_indexes.sql") };
const LANES: Step = Step { name: "0003_lanes", sql: include_str!("../migrations/0003_lanes.sql") };
const ERRORED: Step =
    Step { name: "0004_errored", sql: include_str!("../migrations/0004_errored.sql") };
const OPEN_BATCHES: Step =
    Step { name: "0005_open_batches", sql: include_str!("../migrations/0005_open_batches.sql") };
const LIMITS: Step =
    Step { name: "0006_limits", sql: include_str!("../migrations/0006_limits.sql") };
const GEM: Step = Step { name: "gem_indexes", sql: include_str!("../migrations/gem_indexes.sql") };

const NOTES: Step =
    Step { name: "goodjob_notes", sql: include_str!("../migrations/goodjob_notes.sql") };

/// What is made before the first step: the schema, if one is named, and the ledger.
pub const FIRST: &str = "ledger";

/// Something that a migration would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The step that makes it; [`FIRST`] for what is made before all steps.
    pub step: &'static str,
    /// `table`, `index` or `schema`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Addition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// The SQL of a step for tables of these names.
#[must_use]
pub fn render(step: Step, tables: &TableNames) -> String {
    dialect::names(step.sql, tables)
}

/// The steps to such a database, in order.
#[must_use]
pub fn steps(plan: impl Into<Plan>) -> Vec<Step> {
    let Plan { indexes, notes } = plan.into();
    let gem = (indexes == Indexes::All).then_some(GEM);
    let ours = [TABLES, LEAN, LANES, ERRORED, OPEN_BATCHES, LIMITS].into_iter();
    ours.chain(gem).chain(notes.then_some(NOTES)).collect()
}

/// The steps that are not in the ledger yet, for tables with the usual names; for others there is
/// [`PgStore::pending_migrations`](crate::PgStore::pending_migrations).
///
/// # Errors
/// When the database cannot be asked.
pub async fn pending(pool: &PgPool, plan: impl Into<Plan>) -> sqlx::Result<Vec<Step>> {
    Migrations::default().pending(pool, plan.into()).await
}

/// Runs the steps that are not in the ledger yet, and returns them. Two processes may call it at
/// once; one waits for the other. Needs the right to create tables, nothing more.
///
/// Indexes of a table in use are built concurrently, so that its writers are not locked out. For tables
/// with a prefix or in a schema there is [`PgStore::migrate`](crate::PgStore::migrate).
///
/// ```no_run
/// # async fn example(pool: sqlx::PgPool) -> sqlx::Result<()> {
/// use goodjob_postgres::migrate::{self, Indexes};
/// migrate::run(&pool, Indexes::Lean).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// When the database refuses a step. Those before it stay applied.
pub async fn run(pool: &PgPool, plan: impl Into<Plan>) -> sqlx::Result<Vec<Step>> {
    Migrations::default().run(pool, plan.into()).await
}

/// The steps for tables of these names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Migrations {
    pub(crate) dialect: Dialect,
    pub(crate) tables: TableNames,
}

impl Migrations {
    pub(crate) async fn pending(&self, pool: &PgPool, plan: Plan) -> sqlx::Result<Vec<Step>> {
        let applied = self.applied(&mut *pool.acquire().await?).await?;
        Ok(without(&applied, plan))
    }

    pub(crate) async fn run(&self, pool: &PgPool, plan: Plan) -> sqlx::Result<Vec<Step>> {
        let mut connection = pool.acquire().await?;
        // Closed at the end, or when this future is dropped: the lock must not go back into the pool.
        connection.close_on_drop();
        while !sqlx::query_scalar::<_, bool>(sql::MIGRATION_LOCK)
            .fetch_one(&mut *connection)
            .await?
        {
            tokio::time::sleep(TURN).await;
        }
        let ran = self.run_locked(&mut connection, plan).await;
        sqlx::query(sql::MIGRATION_UNLOCK).execute(&mut *connection).await?;
        ran
    }

    /// Applied steps that this version has never heard of: a newer one has been here.
    pub(crate) async fn unknown(&self, pool: &PgPool) -> sqlx::Result<Vec<String>> {
        let known = steps(Plan::from(Indexes::All).with_notes());
        let applied = self.applied(&mut *pool.acquire().await?).await?;
        Ok(applied.into_iter().filter(|name| !known.iter().any(|step| step.name == name)).collect())
    }

    /// What the pending steps would make.
    pub(crate) async fn additions(&self, pool: &PgPool, plan: Plan) -> sqlx::Result<Vec<Addition>> {
        let mut wanted = Vec::new();
        if let Some(schema) = self.tables.schema() {
            wanted.push(Addition { step: FIRST, kind: "schema", name: schema.to_owned() });
        }
        let ledger = self.tables.qualified("goodjob_migrations");
        wanted.push(Addition { step: FIRST, kind: "table", name: ledger });
        let pending = self.pending(pool, plan).await?;
        let tables = pending.iter().flat_map(|step| {
            table_names(*step).into_iter().map(|name| Addition {
                step: step.name,
                kind: "table",
                name: self.tables.qualified(name),
            })
        });
        wanted.extend(tables);
        let kinds: Vec<&str> = wanted.iter().map(|addition| addition.kind).collect();
        let names: Vec<&str> = wanted.iter().map(|addition| addition.name.as_str()).collect();
        let query = sqlx::query_scalar(self.dialect.sql(sql::MISSING)).bind(kinds).bind(names);
        let missing: Vec<i64> = query.fetch_all(pool).await?;
        let missing: HashSet<usize> =
            missing.into_iter().filter_map(|place| usize::try_from(place).ok()).collect();
        let added = wanted.into_iter().enumerate().filter(|(place, _)| missing.contains(place));
        let mut added: Vec<Addition> = added.map(|(_, addition)| addition).collect();
        for step in pending {
            let missing =
                missing_indexes(pool, &self.dialect, &self.tables, &index_names(step)).await?;
            added.extend(missing.into_iter().map(|name| Addition {
                step: step.name,
                kind: "index",
                name: self.tables.index(name),
            }));
        }
        Ok(added)
    }

    async fn run_locked(
        &self,
        connection: &mut PgConnection,
        plan: Plan,
    ) -> sqlx::Result<Vec<Step>> {
        if let Some(schema) = self.tables.schema() {
            let making: Option<String> = sqlx::query_scalar(sql::MISSING_SCHEMA)
                .bind(schema)
                .fetch_optional(&mut *connection)
                .await?;
            if let Some(statement) = making {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
            }
        }
        sqlx::raw_sql(self.dialect.sql(sql::LEDGER_TABLE)).execute(&mut *connection).await?;
        let applied = self.applied(connection).await?;
        let pending = without(&applied, plan);
        for step in &pending {
            self.apply(connection, *step).await?;
            let noting = sqlx::query(self.dialect.sql(sql::LEDGER_ADD)).bind(step.name);
            noting.execute(&mut *connection).await?;
        }
        Ok(pending)
    }

    async fn apply(&self, connection: &mut PgConnection, step: Step) -> sqlx::Result<()> {
        if step == TABLES || step == NOTES {
            let mut tx = connection.begin().await?;
            sqlx::raw_sql(AssertSqlSafe(render(step, &self.tables))).execute(&mut *tx).await?;
            return tx.commit().await;
        }
        let names: Vec<String> =
            index_names(step).into_iter().map(|name| self.tables.index(name)).collect();
        let unfinished: Vec<String> = sqlx::query_scalar(self.dialect.sql(sql::INVALID_INDEXES))
            .bind(names)
            .fetch_all(&mut *connection)
            .await?;
        let missing =
            missing_indexes(&mut *connection, &self.dialect, &self.tables, &index_names(step))
                .await?;
        let in_use = sqlx::query_scalar(self.dialect.sql(sql::JOBS_EXIST));
        let in_use: bool = in_use.fetch_one(&mut *connection).await?;
        let wanted = step.sql.split_inclusive(";\n").filter(|statement| {
            names_after(statement, INDEX).iter().any(|name| missing.contains(name))
        });
        let wanted = wanted.map(|statement| {
            let rendered = dialect::names(statement, &self.tables);
            match in_use {
                true => rendered.replace("INDEX IF NOT", "INDEX CONCURRENTLY IF NOT"),
                false => rendered,
            }
        });
        // CREATE INDEX CONCURRENTLY stands alone: no transaction, one statement at a time.
        for statement in unfinished.into_iter().chain(wanted) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
        Ok(())
    }

    async fn applied(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
        let exists = sqlx::query_scalar(self.dialect.sql(sql::LEDGER_EXISTS));
        if !exists.fetch_one(&mut *connection).await? {
            return Ok(Vec::new());
        }
        sqlx::query_scalar(self.dialect.sql(sql::LEDGER)).fetch_all(connection).await
    }
}

fn without(applied: &[String], plan: Plan) -> Vec<Step> {
    steps(plan).into_iter().filter(|step| !applied.iter().any(|name| name == step.name)).collect()
}

/// What stands before the name of an index that a step makes.
const INDEX: &str = "INDEX IF NOT EXISTS ";

/// The names of the indexes that a step makes.
pub(crate) fn index_names(step: Step) -> Vec<&'static str> {
    names_after(step.sql, INDEX)
}

/// The names of the tables that a step makes.
fn table_names(step: Step) -> Vec<&'static str> {
    names_after(step.sql, "TABLE IF NOT EXISTS ")
}

fn names_after<'a>(sql: &'a str, words: &str) -> Vec<&'a str> {
    let after = sql.split(words).skip(1);
    after.filter_map(|rest| rest.split_ascii_whitespace().next()).collect()
}

/// Which of these indexes are not there, or cannot be used. On tables with a prefix one may be there under
/// either name: Rails gives the prefix to tables, and not to the indexes that a migration names.
pub(crate) async fn missing_indexes<'a, 'c>(
    executor: impl PgExecutor<'c>,
    dialect: &Dialect,
    tables: &TableNames,
    wanted: &[&'a str],
) -> sqlx::Result<Vec<&'a str>> {
    let named = |name: &str| [name.to_owned(), tables.index(name)];
    let names: Vec<String> = wanted.iter().flat_map(|name| named(name)).collect();
    let query = sqlx::query_as(dialect.sql(sql::INDEXES)).bind(names);
    let found: Vec<(String, bool)> = query.fetch_all(executor).await?;
    let is_there = |name: &String| found.iter().any(|(found, valid)| found == name && *valid);
    Ok(wanted.iter().copied().filter(|name| !named(name).iter().any(is_there)).collect())
}

/// The steps whose indexes a worker is better off with.
pub(crate) fn recommended() -> Vec<&'static str> {
    [LEAN, LANES, ERRORED, OPEN_BATCHES, LIMITS].into_iter().flat_map(index_names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_read_from_the_step() {
        assert_eq!(index_names(LANES), ["index_goodjob_lanes"]);
        assert_eq!(
            recommended().len() + index_names(GEM).len(),
            33,
            "the gem has 27, ours are six"
        );
    }
}
