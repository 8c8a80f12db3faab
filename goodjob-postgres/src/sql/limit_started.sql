-- Tail of the count of attempts that started within `$5` seconds before one (`$2` its job, `$3` its start, `$4`
-- its execution), as the gem counts them (wire contract 10.3): without those that were put off by a throttle.
-- The while is that before its start, not before this moment: a worker that is busy judges it later.
-- Which of those still open stand before it is decided as in limit_running.sql. Also for how many seconds
-- the throttle lasts: until so many of them are too old that fewer than `$6` are left.
, started AS MATERIALIZED (
  SELECT e.created_at
  FROM scope j CROSS JOIN LATERAL (
    SELECT x.id, x.created_at, x.finished_at FROM good_job_executions x
    WHERE x.active_job_id = j.id AND x.created_at > $3::timestamptz - make_interval(secs => $5::float8)
      AND (x.error IS NULL OR x.error <> 'GoodJob::ActiveJobExtensions::Concurrency::ThrottleExceededError: GoodJob::ActiveJobExtensions::Concurrency::ThrottleExceededError')
    OFFSET 0) AS e
  WHERE j.updated_at > $3::timestamptz - make_interval(secs => $5::float8) AND e.id <> $4::uuid
    AND (e.finished_at IS NOT NULL OR j.locked_at IS DISTINCT FROM j.performed_at
         OR (e.created_at, j.id) < ($3::timestamptz, $2::uuid))
)
SELECT count(*), COALESCE((
  SELECT EXTRACT(EPOCH FROM (s.created_at + make_interval(secs => $5::float8) - now()))::float8
  FROM started s ORDER BY s.created_at
  OFFSET GREATEST(0, (SELECT count(*) FROM started) - $6::bigint) LIMIT 1), 0) AS wait
FROM started;
