//! Whether the tables are there, and what they lack.

use std::collections::HashSet;

use sqlx::PgPool;

use crate::dialect::Columns;
use crate::error::ConnectError;
use crate::migrate::Migrations;
use crate::sql;

const TABLES: [&str; 5] = [
    "good_jobs",
    "good_job_executions",
    "good_job_processes",
    "good_job_batches",
    "good_job_settings",
];

/// The columns that the statements of this crate need, beside those of every Rails table.
const NEEDED: [(&str, &[&str]); 4] = [
    (
        "good_jobs",
        &[
            "active_job_id",
            "job_class",
            "queue_name",
            "priority",
            "serialized_params",
            "labels",
            "scheduled_at",
            "performed_at",
            "finished_at",
            "error",
            "error_event",
            "executions_count",
            "locked_by_id",
            "locked_at",
            "batch_id",
            "batch_callback_id",
        ],
    ),
    (
        "good_job_executions",
        &[
            "active_job_id",
            "job_class",
            "queue_name",
            "serialized_params",
            "scheduled_at",
            "finished_at",
            "error",
            "error_event",
            "error_backtrace",
            "process_id",
            "duration",
        ],
    ),
    ("good_job_processes", &["state", "lock_type"]),
    (
        "good_job_batches",
        &[
            "description",
            "serialized_properties",
            "on_finish",
            "on_success",
            "on_discard",
            "callback_queue_name",
            "callback_priority",
            "enqueued_at",
            "discarded_at",
            "finished_at",
        ],
    ),
];

/// Looks at the tables, and refuses those that this version cannot work with. The oldest that it can
/// are those of the gem's v4.0.0.
pub(crate) async fn check(
    pool: &PgPool,
    migrations: &Migrations,
    target: &str,
) -> Result<Columns, ConnectError> {
    let failed = |error| ConnectError::from_sqlx(&error, target.to_owned());
    let names: Vec<String> =
        TABLES.iter().map(|table| migrations.tables.qualified(table)).collect();
    let found: Vec<(i64, String)> =
        sqlx::query_as(sql::COLUMNS).bind(names).fetch_all(pool).await.map_err(failed)?;
    let target = target.to_owned();
    let found: HashSet<(&str, &str)> = found
        .iter()
        .filter_map(|(table, column)| {
            Some((*TABLES.get(usize::try_from(*table).ok()?)?, column.as_str()))
        })
        .collect();
    if !found.iter().any(|(table, _)| *table == "good_jobs") {
        return Err(ConnectError::SchemaMissing { target });
    }
    let missing: Vec<String> = NEEDED
        .iter()
        .flat_map(|(table, columns)| columns.iter().map(move |column| (*table, *column)))
        .filter(|needed| !found.contains(needed))
        .map(|(table, column)| format!("{table}.{column}"))
        .collect();
    if !missing.is_empty() {
        return Err(ConnectError::SchemaOld { target, missing });
    }
    let unknown = migrations.unknown(pool).await.map_err(failed)?;
    if !unknown.is_empty() {
        return Err(ConnectError::SchemaNew { target, unknown });
    }
    Ok(Columns {
        lock_type: found.contains(&("good_jobs", "lock_type")),
        jobs_finished_at: found.contains(&("good_job_batches", "jobs_finished_at")),
    })
}
