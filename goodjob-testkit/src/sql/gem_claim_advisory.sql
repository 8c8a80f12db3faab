-- Wire contract 3.4, the first of two steps: only the lock excludes, `locked_by_id` is not looked at, and
-- nothing is written. Candidates are bounded by `queue_select_limit`, and running jobs are among them.
SELECT id, job_class, queue_name, priority, serialized_params, executions_count, error, cron_key,
       scheduled_at::timestamptz AS scheduled_at, performed_at::timestamptz AS performed_at,
       finished_at::timestamptz AS finished_at, created_at::timestamptz AS created_at
FROM good_jobs
WHERE id IN (
  WITH rows AS MATERIALIZED (
    SELECT id FROM good_jobs
    WHERE finished_at IS NULL AND scheduled_at <= $1::timestamptz
      AND CASE $2::text WHEN 'all' THEN true
                        WHEN 'only' THEN queue_name = ANY($3::text[])
                        ELSE queue_name <> ALL($3::text[]) OR queue_name IS NULL END
    ORDER BY priority ASC NULLS LAST, created_at ASC
    LIMIT $4::bigint)
  SELECT rows.id FROM rows
  WHERE pg_try_advisory_lock(('x' || substr(md5('good_jobs-' || rows.id::text), 1, 16))::bit(64)::bigint)
  LIMIT 1)
ORDER BY priority ASC NULLS LAST, created_at ASC;
