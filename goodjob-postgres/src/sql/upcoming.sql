-- The next due times of waiting jobs. Asked at the start and after a gap in the notices, not per job,
-- so one statement with the selection as a parameter serves all pools.
SELECT scheduled_at::timestamptz AS scheduled_at
FROM good_jobs
WHERE finished_at IS NULL AND locked_by_id IS NULL AND scheduled_at > now()
  AND job_class = ANY($1::text[])
  AND CASE $2::text WHEN 'any' THEN true
                    WHEN 'except' THEN queue_name <> ALL($3::text[]) OR queue_name IS NULL
                    ELSE queue_name = ANY($3::text[]) END
ORDER BY scheduled_at
LIMIT $4::bigint;
