-- Wire contract 4.1, in T1, for the strategies that own the row since the claim. `$4` is the error of an
-- interrupted start, else NULL.
UPDATE good_jobs
SET performed_at = $2::timestamptz, updated_at = $2::timestamptz, executions_count = $3::integer,
    error = COALESCE($4::text, error), error_event = CASE WHEN $4::text IS NULL THEN error_event ELSE 0 END
WHERE id = $1::uuid;
