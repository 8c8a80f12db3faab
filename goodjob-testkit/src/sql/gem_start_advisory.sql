-- Wire contract 4.1, in T1, for `advisory`: only now is the row stamped with its owner.
UPDATE good_jobs
SET performed_at = $2::timestamptz, updated_at = $2::timestamptz, executions_count = $3::integer,
    error = COALESCE($4::text, error), error_event = CASE WHEN $4::text IS NULL THEN error_event ELSE 0 END,
    locked_by_id = $5::uuid, locked_at = $2::timestamptz, lock_type = 0
WHERE id = $1::uuid;
