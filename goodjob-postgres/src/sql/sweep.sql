-- Gives back what this process owns and does not know of: claims that were committed while their answer
-- was lost with the session, or could not be read. Nobody runs them, and as long as the owner lives
-- nobody else would. As in release.sql they are as they were before, since no attempt began.
--
-- Runs on the lock session, where no claim is under way. `$2` are the jobs that the process knows. A
-- lock that is held means that the job is in somebody's hands. Rows are locked in id order.
WITH unknown AS MATERIALIZED (
  SELECT g.id FROM good_jobs g
  WHERE g.locked_by_id = $1::uuid AND g.finished_at IS NULL AND g.performed_at IS NOT NULL
    AND g.id <> ALL($2::uuid[])
    AND ('x' || substr(md5('good_jobs-' || g.id::text), 1, 16))::bit(64)::bigint
        NOT IN (SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
                WHERE locktype = 'advisory' AND objsubid = 1)
  ORDER BY g.id
  FOR NO KEY UPDATE OF g SKIP LOCKED
), released AS (
  UPDATE good_jobs g SET
    performed_at = NULL, executions_count = g.executions_count - 1,
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL, updated_at = now()
  WHERE g.id = ANY(ARRAY(SELECT id FROM unknown))
  RETURNING g.id, g.queue_name
), forgotten AS (
  DELETE FROM good_job_executions x
  WHERE x.active_job_id = ANY(ARRAY(SELECT id FROM released)) AND x.process_id = $1::uuid AND x.finished_at IS NULL
)
SELECT (SELECT count(*) FROM released) AS released,
       count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text)) AS sent
FROM (SELECT DISTINCT queue_name FROM released
      WHERE octet_length(COALESCE(queue_name, '')) < 1000) AS queues;
