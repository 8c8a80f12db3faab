-- The job that is asked about, its lock columns, and the time by which all is judged.
SELECT id, job_class, queue_name, priority, serialized_params, labels,
       concurrency_key, batch_id, batch_callback_id, cron_key, cron_at::timestamptz AS cron_at,
       created_at::timestamptz AS created_at, scheduled_at::timestamptz AS scheduled_at,
       performed_at::timestamptz AS performed_at, finished_at::timestamptz AS finished_at,
       left(error, 1000) AS error, error_event, executions_count, locked_by_id,
       COALESCE(locked_at, performed_at, updated_at)::timestamptz AS owned_since,
       lock_type, -- if lock_type
       -- unless lock_type: NULL::smallint AS lock_type,
       now() AS now
FROM good_jobs WHERE id = $1::uuid;
