-- Wire contract 4.5: what a vanished run left open is closed, before and outside the start's transaction.
UPDATE good_job_executions
SET error = $2::text, error_event = 0, finished_at = $3::timestamptz, duration = interval '0.00001 seconds'
WHERE active_job_id = $1::uuid AND finished_at IS NULL;
