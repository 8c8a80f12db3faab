-- Every job, with times as instants whatever the type of their columns. For tests: it has no bound.
SELECT id, job_class, queue_name, priority, serialized_params, labels,
       concurrency_key, batch_id, batch_callback_id, cron_key, cron_at::timestamptz AS cron_at,
       created_at::timestamptz AS created_at, scheduled_at::timestamptz AS scheduled_at,
       performed_at::timestamptz AS performed_at, finished_at::timestamptz AS finished_at,
       error, error_event, executions_count, locked_by_id
FROM good_jobs ORDER BY good_jobs.created_at, id;
