-- Removes a dead process and frees its jobs, whose `performed_at` stays: the next claim sees the
-- interruption. A job that somebody has locked is left to free_ghosts.sql, so that nobody is waited for.
-- Workers are told, since nobody else would tell them.
WITH dead AS (
  DELETE FROM good_job_processes WHERE id = $1::uuid
), owned AS MATERIALIZED (
  SELECT id FROM good_jobs WHERE locked_by_id = $1::uuid ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), freed AS (
  UPDATE good_jobs j SET
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL
  FROM owned o WHERE j.id = o.id
  RETURNING j.queue_name, j.finished_at
)
SELECT (SELECT count(*) FROM freed) AS freed,
       count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text)) AS sent
FROM (SELECT DISTINCT queue_name FROM freed
      WHERE finished_at IS NULL AND octet_length(COALESCE(queue_name, '')) < 1000) AS queues;
