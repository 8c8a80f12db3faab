-- As `gem_end_job.sql`, on tables without `lock_type` (wire contract 3.7).
UPDATE good_jobs
SET locked_by_id = NULL, locked_at = NULL, updated_at = $2::timestamptz,
    finished_at = COALESCE($3::timestamptz, finished_at),
    performed_at = CASE WHEN $4::boolean THEN NULL ELSE performed_at END,
    error = CASE WHEN $5::boolean THEN $6::text ELSE error END,
    error_event = CASE WHEN $5::boolean THEN $7::smallint ELSE error_event END
WHERE id = $1::uuid;
