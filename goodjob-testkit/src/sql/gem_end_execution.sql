-- Wire contract 4.4, in T3.
UPDATE good_job_executions
SET updated_at = $2::timestamptz, finished_at = $2::timestamptz, duration = make_interval(secs => $3::float8),
    error = $4::text, error_event = $5::smallint, error_backtrace = $6::text[]
WHERE id = $1::uuid;
