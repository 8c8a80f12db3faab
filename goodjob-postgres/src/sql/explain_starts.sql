-- The last starts of jobs that share the job's key or one of its labels, without those that the throttle
-- itself turned away (`$4`): what the gem counts (wire contract 10.3). No index of the lean set leads to a key,
-- so they are looked for among `$5` jobs that ended last, and those that run.
WITH recent AS MATERIALIZED (
  (SELECT id, concurrency_key, labels FROM good_jobs
   WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT $5::bigint)
  UNION ALL
  (SELECT id, concurrency_key, labels FROM good_jobs
   WHERE locked_by_id IS NOT NULL AND finished_at IS NULL LIMIT $5::bigint)
)
SELECT e.id, e.class, e.started_at, e.process
FROM recent r CROSS JOIN LATERAL (
  SELECT x.active_job_id AS id, x.job_class AS class, x.created_at::timestamptz AS started_at,
         x.process_id AS process
  FROM good_job_executions x
  WHERE x.active_job_id = r.id AND (x.error IS NULL OR x.error NOT LIKE $4::text || '%')
  ORDER BY x.created_at DESC LIMIT $6::bigint) e
WHERE r.id <> $1::uuid AND (r.concurrency_key = $2::text OR r.labels && $3::text[])
ORDER BY e.started_at DESC, e.id
LIMIT $6::bigint;
