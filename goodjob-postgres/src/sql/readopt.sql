-- Takes the locks of running attempts again after the lock session was lost, for those that are still
-- the current attempt of their job. It writes: a lock alone proves nothing, since a standby grants
-- advisory locks too (failure model M15). What does not come back is lost.
WITH running AS MATERIALIZED (
  SELECT g.id
  FROM good_jobs g
  JOIN unnest($1::uuid[], $2::timestamptz[], $3::int[]) AS d(id, performed_at, executions_count) ON d.id = g.id
  WHERE g.performed_at = d.performed_at AND g.executions_count = d.executions_count
    AND (g.locked_by_id = $4::uuid OR g.locked_by_id IS NULL)
  ORDER BY g.id
  FOR NO KEY UPDATE OF g
), locked AS MATERIALIZED (
  SELECT id FROM running
  WHERE $5::smallint = 1
     OR pg_try_advisory_lock(('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint)
)
UPDATE good_jobs g SET locked_by_id = $4::uuid, locked_at = now(), lock_type = $5::smallint
FROM locked l WHERE g.id = l.id
RETURNING g.id;
