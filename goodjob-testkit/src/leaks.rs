//! What a test left behind in its database.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;

/// Sessions that are closing need a moment; one that is still there after this is a leak.
const PATIENCE: Duration = Duration::from_secs(5);

const LEAKS: &str = "
SELECT format('%s (pid %s): advisory lock %s', COALESCE(NULLIF(a.application_name, ''), 'unnamed'), l.pid,
              (l.classid::bigint << 32) | l.objid::bigint)
FROM pg_locks l JOIN pg_database d ON d.oid = l.database LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND d.datname = $1
UNION ALL
SELECT format('%s (pid %s): open transaction, %s: %s', COALESCE(NULLIF(application_name, ''), 'unnamed'),
              pid, state, left(query, 200))
FROM pg_stat_activity
WHERE datname = $1 AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'";

/// Waits until nothing is left; returns what still is after a while, a line each.
pub(crate) async fn wait_for_none(connection: &mut PgConnection, database: &str) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let leaks: Vec<String> = sqlx::query_scalar(LEAKS)
            .bind(database)
            .fetch_all(&mut *connection)
            .await
            .unwrap_or_else(|error| vec![format!("the server cannot be asked: {error}")]);
        if leaks.is_empty() || Instant::now() > deadline {
            return leaks;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
