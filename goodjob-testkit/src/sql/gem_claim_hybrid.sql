-- Wire contract 3.6: both locks. `LIMIT 1` comes before the advisory lock is tried, so a first candidate
-- whose lock another holds hides the free ones behind it (H8).
WITH candidate AS MATERIALIZED (
  SELECT id FROM good_jobs
  WHERE finished_at IS NULL AND scheduled_at <= $1::timestamptz AND locked_by_id IS NULL
    AND CASE $2::text WHEN 'all' THEN true
                      WHEN 'only' THEN queue_name = ANY($3::text[])
                      ELSE queue_name <> ALL($3::text[]) OR queue_name IS NULL END
  ORDER BY priority ASC NULLS LAST, created_at ASC
  LIMIT 1
  FOR NO KEY UPDATE SKIP LOCKED)
UPDATE good_jobs SET locked_by_id = $4::uuid, locked_at = $1::timestamptz, lock_type = 2
FROM (SELECT id FROM candidate
      WHERE pg_try_advisory_lock(('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint)) locked
WHERE good_jobs.id = locked.id
RETURNING good_jobs.id, job_class, queue_name, priority, serialized_params, executions_count, error, cron_key,
          scheduled_at::timestamptz AS scheduled_at, performed_at::timestamptz AS performed_at,
          finished_at::timestamptz AS finished_at, created_at::timestamptz AS created_at;
