//! The tables that a test's database has: goodjob's, or those of a Rails application.

use goodjob_postgres::migrate::{self, Indexes, Step};
use goodjob_postgres::{PgOptions, PgStore, TableNames};
use sqlx::{AssertSqlSafe, PgPool};

const GEM_V4_0: &str = include_str!("sql/gem_v4_0.sql");
const TIMESTAMPTZ: &str = include_str!("sql/timestamptz.sql");

/// The migrations that make goodjob's own indexes, which no Rails application has.
const OURS: [&str; 4] = ["0003_lanes", "0004_errored", "0005_open_batches", "0006_limits"];

/// Which tables and indexes a [`Database`](crate::Database) is given.
///
/// ```
/// use goodjob_testkit::Schema;
///
/// let newest = Schema::GEM;
/// let zoned = Schema::GEM.timestamptz().time_zone("Asia/Tokyo");
/// let elsewhere = Schema::GEM_V4_0.prefixed("acme_").in_schema("jobs");
/// # let _ = (newest, zoned, elsewhere);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schema {
    tables: Tables,
    timestamptz: bool,
    time_zone: Option<&'static str>,
    prefix: &'static str,
    namespace: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tables {
    Lean,
    Gem,
    GemV4_0,
}

impl Schema {
    /// What `goodjob migrate` makes: the gem's tables, the indexes that jobs need to run, and goodjob's
    /// ledger of its migrations.
    pub const LEAN: Self = Self::of(Tables::Lean);
    /// What Rails makes for the gem v4.19: the same tables with all of the gem's indexes, without
    /// goodjob's own ones and without its ledger.
    pub const GEM: Self = Self::of(Tables::Gem);
    /// What Rails made for the gem v4.0.0: no `good_jobs.lock_type`, no
    /// `good_job_batches.jobs_finished_at`, fewer indexes (wire contract 16.2).
    pub const GEM_V4_0: Self = Self::of(Tables::GemV4_0);

    const fn of(tables: Tables) -> Self {
        Self { tables, timestamptz: false, time_zone: None, prefix: "", namespace: "public" }
    }

    /// With `timestamptz` for every time, as Rails makes them with `datetime_type = :timestamptz`.
    #[must_use]
    pub const fn timestamptz(self) -> Self {
        Self { timestamptz: true, ..self }
    }

    /// In a database whose sessions begin in this zone, unless they ask for another; without it, in
    /// that of the server. sqlx always asks for UTC, psql and most other clients do not.
    #[must_use]
    pub const fn time_zone(self, zone: &'static str) -> Self {
        Self { time_zone: Some(zone), ..self }
    }

    /// With this before the name of every table, as Rails' `table_name_prefix` has it.
    #[must_use]
    pub const fn prefixed(self, prefix: &'static str) -> Self {
        Self { prefix, ..self }
    }

    /// With the tables in this schema instead of `public`. No search path leads there: that is a
    /// setting of whoever connects.
    #[must_use]
    pub const fn in_schema(self, name: &'static str) -> Self {
        Self { namespace: name, ..self }
    }

    /// What the tables are called.
    pub(crate) fn table_names(&self) -> TableNames {
        let names = TableNames::default().with_prefix(self.prefix);
        let names = names.and_then(|names| match self.namespace {
            "public" => Ok(names),
            schema => names.in_schema(schema),
        });
        names.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The zone that belongs to the database and not to its tables.
    pub(crate) fn zone(&self) -> Option<&'static str> {
        self.time_zone
    }

    /// What is run to make the tables, in order.
    fn statements(&self) -> Vec<String> {
        let indexes = if self.tables == Tables::Lean { Indexes::Lean } else { Indexes::All };
        let steps = migrate::steps(indexes).into_iter();
        let steps = steps.filter(|step| self.tables == Tables::Lean || !OURS.contains(&step.name));
        let later = [(self.tables == Tables::GemV4_0, GEM_V4_0), (self.timestamptz, TIMESTAMPTZ)];
        let later = later.into_iter().filter(|(wanted, _)| *wanted);
        let later = later.map(|(_, sql)| Step { name: "", sql });
        let names = self.table_names();
        steps.chain(later).map(|step| migrate::render(step, &names)).collect()
    }

    /// The name of a template with these tables; another one when what makes them has changed.
    pub(crate) fn template(&self) -> String {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (self.tables, self.prefix, self.namespace, self.statements()).hash(&mut hasher);
        format!("goodjob_template_{:016x}", hasher.finish())
    }

    /// Makes the tables in an empty database.
    pub(crate) async fn make(&self, pool: &PgPool, mut options: PgOptions) -> sqlx::Result<()> {
        let mut statements = self.statements();
        if self.tables == Tables::Lean {
            // With the ledger, which only a migration writes.
            options.tables = self.table_names();
            let store = PgStore::lazy(options);
            store.migrate(Indexes::Lean).await?;
            store.close().await;
            statements.drain(..migrate::steps(Indexes::Lean).len());
        }
        let mut connection = pool.acquire().await?;
        if self.namespace != "public" {
            // An index is dropped by its name alone, which has to be found.
            let statement = format!(
                "CREATE SCHEMA IF NOT EXISTS \"{0}\"; SET search_path = \"{0}\"",
                self.namespace
            );
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_schema_is_another_template() {
        let schemas = [
            Schema::LEAN,
            Schema::GEM,
            Schema::GEM_V4_0,
            Schema::GEM.timestamptz(),
            Schema::GEM.prefixed("acme_"),
            Schema::GEM.prefixed("acme_").in_schema("jobs"),
        ];
        let mut names: Vec<_> = schemas.iter().map(Schema::template).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), schemas.len());
        // The zone is of the database, which is cloned from the same tables.
        assert_eq!(Schema::GEM.time_zone("Asia/Tokyo").template(), Schema::GEM.template());
    }
}
