-- Unregisters this process. Whatever it may still own is free, in the same statement.
WITH gone AS (DELETE FROM good_job_processes WHERE id = $1::uuid)
UPDATE good_jobs SET locked_by_id = NULL, locked_at = NULL, lock_type = NULL
WHERE locked_by_id = $1::uuid;
