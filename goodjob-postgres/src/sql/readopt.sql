-- Takes the locks of running attempts again after the lock session was lost, for those that are still
-- the current attempt of their job and have not ended. It writes: a lock alone proves nothing, since a
-- standby grants advisory locks too (failure model M15). It waits for nobody: an attempt whose row or
-- lock is not to be had for a moment comes back with `locked` false, to be tried again; one that does
-- not come back at all is lost.
--
-- An attempt may end between this statement's snapshot and its lock on the row. A retry clears
-- `performed_at`; an end does not, so `finished_at` has to be as it was: a row that ended is owned by
-- nobody. One that was discarded by force while its attempt runs had it set before.
WITH running AS MATERIALIZED (
  SELECT d.execution_id, d.id, g.finished_at
  FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[])
    AS d(id, execution_id, performed_at, executions_count)
  JOIN good_jobs g ON g.id = d.id
  WHERE g.performed_at = d.performed_at AND g.executions_count = d.executions_count
    AND (g.locked_by_id = $5::uuid OR g.locked_by_id IS NULL)
    AND NOT EXISTS (SELECT FROM good_job_executions x
                    WHERE x.id = d.execution_id AND x.finished_at IS NOT NULL)
), present AS MATERIALIZED (
  SELECT d.execution_id, g.id
  FROM good_jobs g
  JOIN unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[])
    AS d(id, execution_id, performed_at, executions_count) ON d.id = g.id
  JOIN running r ON r.execution_id = d.execution_id
  WHERE g.finished_at IS NOT DISTINCT FROM r.finished_at
    AND g.performed_at = d.performed_at AND g.executions_count = d.executions_count
    AND (g.locked_by_id = $5::uuid OR g.locked_by_id IS NULL)
  ORDER BY g.id
  FOR NO KEY UPDATE OF g SKIP LOCKED
), locked AS MATERIALIZED (
  SELECT execution_id, id FROM present
  WHERE $6::smallint = 1
     OR pg_try_advisory_lock(('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint)
), adopted AS (
  UPDATE good_jobs g SET
    lock_type = $6::smallint, -- if lock_type
    locked_by_id = $5::uuid, locked_at = now()
  FROM locked l WHERE g.id = l.id
  RETURNING l.execution_id
)
SELECT r.execution_id, a.execution_id IS NOT NULL AS locked
FROM running r LEFT JOIN adopted a ON a.execution_id = r.execution_id;
