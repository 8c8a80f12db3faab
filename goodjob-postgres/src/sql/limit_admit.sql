-- Marks an attempt as begun, if it is still the current one: see limit_running.sql. The column is in no index,
-- so that the row stays where it is in all of them. A row of somebody who knows nothing of keys gets its key.
UPDATE good_jobs SET
  locked_at = GREATEST(clock_timestamp(), performed_at::timestamptz + interval '1 microsecond'),
  concurrency_key = COALESCE(concurrency_key, $4::text)
WHERE id = $1::uuid AND performed_at = $2::timestamptz AND executions_count = $3::int AND finished_at IS NULL
RETURNING id;
