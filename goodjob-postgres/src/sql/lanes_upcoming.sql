-- The next due times of waiting jobs, as upcoming.sql, read lane by lane from the first that is to come.
SELECT u.scheduled_at::timestamptz AS scheduled_at
FROM every e CROSS JOIN LATERAL (
  SELECT scheduled_at FROM (
    SELECT g.scheduled_at FROM good_jobs g
    WHERE g.queue_name = e.queue_name AND g.priority = e.priority
      AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at > now()
      AND g.job_class = ANY($3::text[])
    ORDER BY g.scheduled_at LIMIT $4::bigint) AS of_both
  UNION ALL
  SELECT scheduled_at FROM (
    SELECT g.scheduled_at FROM good_jobs g
    WHERE (e.priority IS NULL AND g.queue_name = e.queue_name AND g.priority IS NULL
           OR e.queue_name IS NULL AND g.queue_name IS NULL)
      AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at > now()
      AND g.job_class = ANY($3::text[]) AND (e.queue_name IS NULL OR e.priority IS NULL)
    ORDER BY g.scheduled_at LIMIT $4::bigint) AS of_one
) AS u
ORDER BY u.scheduled_at
LIMIT $4::bigint;
