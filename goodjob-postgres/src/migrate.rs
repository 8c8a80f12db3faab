//! Makes the tables and indexes, in steps that each leave alone what is there already.
//!
//! goodjob keeps a ledger of its own, `goodjob_migrations`. On tables that Rails made, the steps add
//! one index and that ledger, and only when they are run by name.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

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
const GEM: Step = Step { name: "gem_indexes", sql: include_str!("../migrations/gem_indexes.sql") };

/// The steps to a database with these indexes, in order.
#[must_use]
pub fn steps(indexes: Indexes) -> Vec<Step> {
    match indexes {
        Indexes::Lean => vec![TABLES, LEAN, LANES],
        Indexes::All => vec![TABLES, LEAN, LANES, GEM],
    }
}

/// The steps that are not in the ledger yet, for tables with the usual names; for others there is
/// [`PgStore::pending_migrations`](crate::PgStore::pending_migrations).
///
/// # Errors
/// When the database cannot be asked.
pub async fn pending(pool: &PgPool, indexes: Indexes) -> sqlx::Result<Vec<Step>> {
    Migrations::default().pending(pool, indexes).await
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
pub async fn run(pool: &PgPool, indexes: Indexes) -> sqlx::Result<Vec<Step>> {
    Migrations::default().run(pool, indexes).await
}

/// The steps for tables of these names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Migrations {
    pub(crate) dialect: Dialect,
    pub(crate) tables: TableNames,
}

impl Migrations {
    pub(crate) async fn pending(&self, pool: &PgPool, indexes: Indexes) -> sqlx::Result<Vec<Step>> {
        let applied = self.applied(&mut *pool.acquire().await?).await?;
        Ok(without(&applied, indexes))
    }

    pub(crate) async fn run(&self, pool: &PgPool, indexes: Indexes) -> sqlx::Result<Vec<Step>> {
        let mut connection = pool.acquire().await?;
        // Closed at the end, or when this future is dropped: the lock must not go back into the pool.
        connection.close_on_drop();
        while !sqlx::query_scalar::<_, bool>(sql::MIGRATION_LOCK)
            .fetch_one(&mut *connection)
            .await?
        {
            tokio::time::sleep(TURN).await;
        }
        let ran = self.run_locked(&mut connection, indexes).await;
        sqlx::query(sql::MIGRATION_UNLOCK).execute(&mut *connection).await?;
        ran
    }

    /// Applied steps that this version has never heard of: a newer one has been here.
    pub(crate) async fn unknown(&self, pool: &PgPool) -> sqlx::Result<Vec<String>> {
        let known = steps(Indexes::All);
        let applied = self.applied(&mut *pool.acquire().await?).await?;
        Ok(applied.into_iter().filter(|name| !known.iter().any(|step| step.name == name)).collect())
    }

    /// The SQL of a step under the names of these tables.
    pub(crate) fn render(&self, step: Step) -> String {
        dialect::names(step.sql, &self.tables)
    }

    async fn run_locked(
        &self,
        connection: &mut PgConnection,
        indexes: Indexes,
    ) -> sqlx::Result<Vec<Step>> {
        if let Some(schema) = self.tables.schema() {
            // Asked first: IF NOT EXISTS needs the right to create one even where it is there.
            let is_there: bool = sqlx::query_scalar(sql::SCHEMA_EXISTS)
                .bind(schema)
                .fetch_one(&mut *connection)
                .await?;
            if !is_there {
                let statement = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"");
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
            }
        }
        sqlx::raw_sql(self.dialect.sql(sql::LEDGER_TABLE)).execute(&mut *connection).await?;
        let applied = self.applied(connection).await?;
        let pending = without(&applied, indexes);
        for step in &pending {
            self.apply(connection, *step).await?;
            let noting = sqlx::query(self.dialect.sql(sql::LEDGER_ADD)).bind(step.name);
            noting.execute(&mut *connection).await?;
        }
        Ok(pending)
    }

    async fn apply(&self, connection: &mut PgConnection, step: Step) -> sqlx::Result<()> {
        let in_use = sqlx::query_scalar(self.dialect.sql(sql::JOBS_EXIST));
        if step == TABLES || !in_use.fetch_one(&mut *connection).await? {
            let mut tx = connection.begin().await?;
            sqlx::raw_sql(AssertSqlSafe(self.render(step))).execute(&mut *tx).await?;
            return tx.commit().await;
        }
        let names: Vec<String> =
            index_names(step).into_iter().map(|name| self.tables.index(name)).collect();
        let unfinished: Vec<String> = sqlx::query_scalar(self.dialect.sql(sql::INVALID_INDEXES))
            .bind(names)
            .fetch_all(&mut *connection)
            .await?;
        // CREATE INDEX CONCURRENTLY stands alone: no transaction, one statement at a time.
        let rendered = self.render(step);
        let wanted = rendered.split_inclusive(";\n");
        let wanted = wanted.map(|sql| sql.replace("INDEX IF NOT", "INDEX CONCURRENTLY IF NOT"));
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

fn without(applied: &[String], indexes: Indexes) -> Vec<Step> {
    steps(indexes)
        .into_iter()
        .filter(|step| !applied.iter().any(|name| name == step.name))
        .collect()
}

/// The names of the indexes that a step makes.
pub(crate) fn index_names(step: Step) -> Vec<&'static str> {
    let after_name = step.sql.split("IF NOT EXISTS ").skip(1);
    after_name.filter_map(|rest| rest.split_ascii_whitespace().next()).collect()
}

/// The steps whose indexes a worker is better off with.
pub(crate) fn recommended() -> Vec<&'static str> {
    [LEAN, LANES].into_iter().flat_map(index_names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_read_from_the_step() {
        assert_eq!(index_names(LANES), ["index_goodjob_lanes"]);
        assert_eq!(recommended().len() + index_names(GEM).len(), 28, "the gem has 27, ours is one");
    }
}
