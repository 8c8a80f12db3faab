-- How many jobs ended lately, by queue, and how long their last attempts ran. The jobs that ended last are read
-- by the index of their ends, no more than `$2` whatever their queue, and none that ended over `$1` seconds ago;
-- `reach` is how far back that was. Executions have no index of their times: each is read by its job.
WITH recent AS MATERIALIZED (
  SELECT id, queue_name, finished_at FROM good_jobs
  WHERE finished_at IS NOT NULL AND finished_at > now() - make_interval(secs => $1::float8)
  ORDER BY finished_at DESC LIMIT $2::bigint
), span AS MATERIALIZED (
  SELECT CASE WHEN count(*) < $2::bigint THEN $1::float8
              ELSE extract(epoch FROM now() - min(finished_at))::float8 END AS reach
  FROM recent
)
SELECT r.queue_name AS queue, span.reach, count(*) AS finished, count(e.seconds) AS measured,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY e.seconds) AS median,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY e.seconds) AS high
FROM recent r CROSS JOIN span LEFT JOIN LATERAL (
  SELECT extract(epoch FROM x.duration)::float8 AS seconds FROM good_job_executions x
  WHERE x.active_job_id = r.id AND x.finished_at IS NOT NULL
  ORDER BY x.created_at DESC LIMIT 1) e ON true
GROUP BY r.queue_name, span.reach
ORDER BY r.queue_name;
