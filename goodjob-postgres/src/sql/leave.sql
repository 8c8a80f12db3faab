-- Unregisters this process. Whatever it may still own is free, in the same statement. A job that somebody
-- has locked is left to free_ghosts.sql of others: waiting for it would keep the process from ending, and
-- its row and its other jobs with it.
WITH gone AS (
  DELETE FROM good_job_processes WHERE id = $1::uuid
), owned AS MATERIALIZED (
  SELECT id FROM good_jobs WHERE locked_by_id = $1::uuid ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE good_jobs j SET
  lock_type = NULL, -- if lock_type
  locked_by_id = NULL, locked_at = NULL
FROM owned o WHERE j.id = o.id;
