-- One page, newest first as on the gem's dashboard. A page begins after a job and not at a number, so
-- that what comes or goes meanwhile shifts nothing. Sorted by the column itself, which has an index among
-- the gem's. The outer join brings the server's time back even with an empty page.
SELECT clock.now, page.*
FROM (SELECT now() AS now) AS clock LEFT JOIN (
  SELECT j.id, j.job_class, j.queue_name, j.priority, j.state, j.labels,
         j.created_at::timestamptz AS created_at, j.scheduled_at::timestamptz AS scheduled_at,
         j.performed_at::timestamptz AS performed_at, j.finished_at::timestamptz AS finished_at,
         left(j.error, 1000) AS error, j.error_event, j.executions_count, j.locked_by_id,
         j.batch_id, j.cron_key
  FROM matching j
  WHERE $16::timestamptz IS NULL OR (j.created_at, j.id) < ($16::timestamptz, $17::uuid)
  ORDER BY j.created_at DESC, j.id DESC
  LIMIT $18::bigint
) AS page ON true
ORDER BY page.created_at DESC, page.id DESC;
