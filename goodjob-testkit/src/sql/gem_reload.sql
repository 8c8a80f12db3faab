-- Wire contract 3.4, the second step: the row as it is now that the lock is held. Whether it is there and
-- unfinished is all that is checked again.
SELECT id, job_class, queue_name, priority, serialized_params, executions_count, error, cron_key,
       scheduled_at::timestamptz AS scheduled_at, performed_at::timestamptz AS performed_at,
       finished_at::timestamptz AS finished_at, created_at::timestamptz AS created_at
FROM good_jobs WHERE id = $1::uuid;
