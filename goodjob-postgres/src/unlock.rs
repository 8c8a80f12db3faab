//! Releasing the advisory locks of jobs.

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::key::advisory_key;
use crate::options::PgOptions;
use crate::sql;
use crate::tables::{HashFunction, TableNames};

/// Releases the advisory locks of these jobs. The server takes three times as long where it makes the keys itself.
pub(crate) fn unlock<'q>(
    options: &PgOptions,
    dialect: &Dialect,
    jobs: &[Uuid],
) -> Query<'q, Postgres, PgArguments> {
    match options.hash_function {
        HashFunction::Md5 => {
            sqlx::query(dialect.sql(sql::UNLOCK_KEYS)).bind(job_keys(&options.tables, jobs))
        }
        _ => sqlx::query(dialect.sql(sql::UNLOCK)).bind(jobs.to_vec()),
    }
}

/// The keys of these jobs, where tables have these names and keys are made by MD5.
fn job_keys(tables: &TableNames, jobs: &[Uuid]) -> Vec<i64> {
    let mut name = tables.lock_name("good_jobs-");
    let begun = name.len();
    let key = |job: &Uuid| {
        name.truncate(begun);
        name.push_str(job.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        advisory_key(&name)
    };
    jobs.iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_jobs_are_of_their_names() {
        let jobs = [Uuid::from_u128(0), Uuid::from_u128(u128::MAX)];
        for prefix in ["", "acme_"] {
            let tables = TableNames::default().with_prefix(prefix).unwrap();
            let named = jobs.map(|job| advisory_key(&format!("{prefix}good_jobs-{job}")));
            assert_eq!(job_keys(&tables, &jobs), named);
        }
    }
}
