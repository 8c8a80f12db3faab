-- Removes dead processes and frees their jobs, whose `performed_at` stays: the next claim sees the
-- interruption. Workers are told, since nobody else would tell them.
WITH dead AS (
  DELETE FROM good_job_processes WHERE id = ANY($1::uuid[])
), freed AS (
  UPDATE good_jobs SET locked_by_id = NULL, locked_at = NULL, lock_type = NULL
  WHERE locked_by_id = ANY($1::uuid[]) AND finished_at IS NULL
  RETURNING queue_name
)
SELECT (SELECT count(*) FROM freed) AS freed,
       count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text)) AS sent
FROM (SELECT DISTINCT queue_name FROM freed) AS queues;
