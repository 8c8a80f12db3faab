-- The attempts at one job, oldest first.
SELECT id, active_job_id, process_id, scheduled_at::timestamptz AS scheduled_at,
       created_at::timestamptz AS created_at, finished_at::timestamptz AS finished_at,
       extract(epoch FROM duration)::float8 AS seconds, error, error_event, error_backtrace
FROM good_job_executions WHERE active_job_id = $1::uuid ORDER BY created_at, id;
