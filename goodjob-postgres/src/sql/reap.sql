-- Removes a dead process and frees its jobs, whose `performed_at` stays: the next claim sees the
-- interruption. Nobody is waited for who has locked one of them, perhaps a statement of the dead that the server
-- has not ended yet: then the process stays, for the next look of whoever looks. Without its row that job would be
-- left to free_ghosts.sql, which looks once a minute. Workers are told, since nobody else would tell them.
WITH owned AS MATERIALIZED (
  SELECT id FROM good_jobs WHERE locked_by_id = $1::uuid ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), freed AS (
  UPDATE good_jobs j SET
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL
  FROM owned o WHERE j.id = o.id
  RETURNING j.queue_name, j.finished_at
), gone AS (
  DELETE FROM good_job_processes p
  WHERE p.id = $1::uuid AND NOT EXISTS (
    SELECT FROM good_jobs j WHERE j.locked_by_id = $1::uuid AND j.id NOT IN (SELECT id FROM owned))
  RETURNING p.id
)
SELECT (SELECT count(*) FROM freed) AS freed, (SELECT count(*) FROM gone) > 0 AS gone,
       count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text)) AS sent
FROM (SELECT DISTINCT queue_name FROM freed
      WHERE finished_at IS NULL AND octet_length(COALESCE(queue_name, '')) < 1000) AS queues;
