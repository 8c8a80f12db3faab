//! The process record as the gem's dashboard renders it.

use goodjob_core::{PoolReport, Preserve, ProcessRecord, Timestamp};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::options::PgOptions;

/// The `state` of a process row: the gem's keys with their types (wire contract 7.2), and ours. The
/// dashboard fails on a row without a numeric `memory`, and on `schedulers` that is no array.
pub(crate) fn state(process: &ProcessRecord, options: &PgOptions, pool: &PgPool) -> Value {
    let sum = |count: fn(&PoolReport) -> u64| process.pools.iter().map(count).sum::<u64>();
    json!({
        "hostname": process.host.hostname,
        "pid": process.host.pid,
        "memory": process.memory_kb,
        "proctitle": process.title,
        "preserve_job_records": preserve(process.preserve),
        "retry_on_unhandled_error": process.retry_on_unhandled_error,
        "schedulers": process.pools.iter().map(scheduler).collect::<Vec<_>>(),
        "cron_enabled": process.cron_enabled,
        "total_succeeded_executions_count": sum(|pool| pool.succeeded),
        "total_errored_executions_count": sum(|pool| pool.errored),
        "database_connection_pool": connections(pool),
        "lock_strategy": options.lock_strategy.to_string(),
        "runtime": concat!("goodjob ", env!("CARGO_PKG_VERSION")),
        "host_identity": process.host,
        "job_classes": process.classes,
    })
}

fn scheduler(pool: &PoolReport) -> Value {
    json!({
        "name": format!("goodjob(queues={} max_threads={})", pool.queues, pool.max_threads),
        "queues": pool.queues,
        "max_threads": pool.max_threads,
        "active_threads": pool.active,
        "available_threads": pool.max_threads.saturating_sub(pool.active),
        "max_cache": pool.max_cache,
        "active_cache": pool.cached,
        "available_cache": pool.max_cache.saturating_sub(pool.cached),
        "empty_executions_count": pool.empty,
        "errored_executions_count": pool.errored,
        "succeeded_executions_count": pool.succeeded,
        "total_executions_count": pool.errored + pool.succeeded,
        "execution_at": pool.last_execution_at.map(iso8601),
        "check_queue_at": pool.last_search_at.map(iso8601),
    })
}

/// In the gem's words, which renders a function as an empty object.
fn preserve(preserve: Preserve) -> Value {
    match preserve {
        Preserve::Always => json!(true),
        Preserve::Never => json!(false),
        Preserve::OnUnhandledError => json!("on_unhandled_error"),
        Preserve::When(_) => json!({}),
    }
}

/// How many connections the pool may have, and how many are in use now. The two sessions are not of it.
fn connections(pool: &PgPool) -> Value {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    json!({
        "size": pool.options().get_max_connections(),
        "active": pool.size().saturating_sub(idle),
    })
}

fn iso8601(at: Timestamp) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
