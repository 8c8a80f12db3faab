-- Frees jobs whose owner has no process row: nobody else ever would (wire contract H6). Owners that
-- hold a lock on their job are alive whatever the row says; finished jobs count too, since nobody could
-- retry or delete one that has an owner; those without (`skiplocked`) get 5 minutes.
WITH ghosts AS MATERIALIZED (
  SELECT j.id FROM good_jobs j
  WHERE j.locked_by_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM good_job_processes p WHERE p.id = j.locked_by_id)
    AND ('x' || substr(md5('good_jobs-' || j.id::text), 1, 16))::bit(64)::bigint
        NOT IN (SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
                WHERE locktype = 'advisory' AND objsubid = 1)
    AND (COALESCE(j.locked_at, j.performed_at, j.updated_at) < now() - interval '5 minutes'
         OR j.lock_type IN (0, 2) AND COALESCE(j.locked_at, j.performed_at, j.updated_at) < now() - interval '15 seconds' -- if lock_type
        )
  ORDER BY j.id
  FOR NO KEY UPDATE SKIP LOCKED
), freed AS (
  UPDATE good_jobs j SET
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL
  FROM ghosts g WHERE j.id = g.id
  RETURNING j.queue_name, j.finished_at
)
SELECT (SELECT count(*) FROM freed) AS freed,
       count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text)) AS sent
FROM (SELECT DISTINCT queue_name FROM freed
      WHERE finished_at IS NULL AND octet_length(COALESCE(queue_name, '')) < 1000) AS queues;
