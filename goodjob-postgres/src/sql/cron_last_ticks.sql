-- The job of the last tick of each key. For each key the unique index on (cron_key, cron_at) is entered at
-- its end, however many ticks are kept; one grouped query would read them all.
SELECT j.*
FROM unnest($1::text[]) AS keys(key),
     LATERAL (
       SELECT id, job_class, queue_name, priority, serialized_params, labels,
              concurrency_key, batch_id, batch_callback_id, cron_key, cron_at::timestamptz AS cron_at,
              created_at::timestamptz AS created_at, scheduled_at::timestamptz AS scheduled_at,
              performed_at::timestamptz AS performed_at, finished_at::timestamptz AS finished_at,
              error, error_event, executions_count, locked_by_id
       FROM good_jobs
       WHERE cron_key = key AND good_jobs.cron_at IS NOT NULL
       ORDER BY good_jobs.cron_at DESC LIMIT 1
     ) AS j;
