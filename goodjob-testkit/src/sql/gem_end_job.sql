-- Wire contract 4.4, in T3: by id alone, whoever owns the row by now (H4). Only what the run has changed is
-- written: `$3` is the job's end if it is over, `$4` makes it claimable again, `$5` says whether the error
-- is another than the one that was loaded.
UPDATE good_jobs
SET locked_by_id = NULL, locked_at = NULL, lock_type = NULL, updated_at = $2::timestamptz,
    finished_at = COALESCE($3::timestamptz, finished_at),
    performed_at = CASE WHEN $4::boolean THEN NULL ELSE performed_at END,
    error = CASE WHEN $5::boolean THEN $6::text ELSE error END,
    error_event = CASE WHEN $5::boolean THEN $7::smallint ELSE error_event END
WHERE id = $1::uuid;
