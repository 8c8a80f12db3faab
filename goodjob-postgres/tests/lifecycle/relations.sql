-- What masks hide: how the times, ids and counts of finished jobs and of their attempts hang together. Each
-- row is a relation that does not hold. `$1` is the process that ran them all, `$2` the wait of every retry.
WITH attempts AS (
  SELECT x.*, row_number() OVER w AS n, lag(x.finished_at) OVER w AS before
  FROM good_job_executions x
  WINDOW w AS (PARTITION BY x.active_job_id ORDER BY x.created_at)
)
SELECT j.job_class || ': ' || relation.what AS broken
FROM good_jobs j
JOIN LATERAL (
  SELECT max(x.created_at) AS begun, max(x.finished_at) AS ended, count(*) AS times,
         max(x.scheduled_at) AS due, count(*) FILTER (WHERE x.error_event = 3) AS retries
  FROM good_job_executions x WHERE x.active_job_id = j.id) AS a ON true
CROSS JOIN LATERAL (VALUES
  ('one id', j.id = j.active_job_id AND j.id::text = j.serialized_params->>'job_id'),
  ('the provider''s id is that of the job once it was retried',
   j.serialized_params->>'provider_job_id' IS NOT DISTINCT FROM CASE WHEN a.retries > 0 THEN j.id::text END),
  ('performed_at is the start of the last attempt', j.performed_at = a.begun),
  ('finished_at is the end of the last attempt', j.finished_at = a.ended),
  ('it ended after it began', j.finished_at >= j.performed_at),
  ('it was touched when it ended', j.updated_at = j.finished_at),
  ('it began when it was due', j.performed_at >= j.scheduled_at),
  ('it is due as its last attempt was', j.scheduled_at = a.due),
  ('every start is counted', j.executions_count = a.times),
  ('every retry is counted', (j.serialized_params->>'executions')::int = a.retries),
  ('an event comes with an error', (j.error IS NULL) = (j.error_event IS NULL)),
  ('nobody owns it', num_nonnulls(j.locked_by_id, j.locked_at, j.lock_type) = 0)
) AS relation(what, holds)
WHERE relation.holds IS NOT TRUE
UNION ALL
SELECT x.job_class || ', attempt ' || x.n || ': ' || relation.what
FROM attempts x
JOIN good_jobs j ON j.id = x.active_job_id
CROSS JOIN LATERAL (VALUES
  ('who ran it', x.process_id = $1::uuid),
  ('due at the enqueue, then a wait after the attempt before',
   x.scheduled_at = COALESCE(x.before + make_interval(secs => $2::float8), x.scheduled_at)
   AND (x.n > 1 OR x.scheduled_at <= x.created_at)),
  ('never before it was due', x.created_at >= x.scheduled_at),
  ('it ended after it began', x.finished_at >= x.created_at),
  ('it was touched when it ended', x.updated_at = x.finished_at),
  ('it took as long as it ran', x.duration >= interval '0' AND x.duration <= x.finished_at - x.created_at),
  ('error, event and backtrace come together',
   num_nulls(x.error, x.error_event, x.error_backtrace) IN (0, 3)),
  ('its envelope is that before the attempt', (x.serialized_params->>'executions')::int = x.n - 1),
  ('class and queue are those of the job',
   x.job_class = j.job_class AND x.queue_name IS NOT DISTINCT FROM j.queue_name)
) AS relation(what, holds)
WHERE relation.holds IS NOT TRUE
