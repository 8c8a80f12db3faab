-- Gives back what this process owns and does not know of: claims that were committed while their answer
-- was lost with the session, or could not be read. Nobody runs them, and as long as the owner lives
-- nobody else would. As in release.sql they are as they were before, since no attempt began.
--
-- `$2` are the jobs that the process does know. A lock held by another means that the job is in its
-- hands already. Rows are locked in id order.
WITH unknown AS MATERIALIZED (
  SELECT g.id FROM good_jobs g
  WHERE g.locked_by_id = $1::uuid AND g.finished_at IS NULL AND g.performed_at IS NOT NULL
    AND g.id <> ALL($2::uuid[])
    AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
                    AND ((l.classid::bigint << 32) | l.objid::bigint) =
                        ('x' || substr(md5('good_jobs-' || g.id::text), 1, 16))::bit(64)::bigint)
  ORDER BY g.id
  FOR NO KEY UPDATE OF g SKIP LOCKED
), released AS (
  UPDATE good_jobs g SET
    performed_at = NULL, executions_count = g.executions_count - 1,
    locked_by_id = NULL, locked_at = NULL, lock_type = NULL, updated_at = now()
  FROM unknown u WHERE g.id = u.id
  RETURNING g.id, g.queue_name
), forgotten AS (
  DELETE FROM good_job_executions x
  USING released r
  WHERE x.active_job_id = r.id AND x.process_id = $1::uuid AND x.finished_at IS NULL
)
SELECT (SELECT count(*) FROM released) AS released,
       count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text)) AS sent
FROM (SELECT DISTINCT queue_name FROM released) AS queues;
