-- Rows that are only in the way: jobs of a class that no worker has, `$1` of them in `$2` queues whose names
-- begin with `$3`, due in `$5` seconds from now and later by a second for every thousand; finished, with an
-- execution each, if `$6`. Their ids begin with the present millisecond like those of other jobs, so that they
-- are found again by a range of the primary key.
WITH made AS MATERIALIZED (
  SELECT n, (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
             || substr(md5(random()::text || n), 1, 3) || '8' || substr(md5(n || random()::text), 1, 15))::uuid AS id,
         now() + make_interval(secs => $5::float8 + n / 1000) AS due
  FROM generate_series(1, $1::bigint) AS n
), jobs AS (
  INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params, scheduled_at,
                         created_at, updated_at, performed_at, finished_at, executions_count)
  SELECT id, id, $4::text, $3::text || n % $2::bigint, 0, '{"executions": 0, "arguments": []}', due, now(), now(),
         CASE WHEN $6::boolean THEN now() END, CASE WHEN $6::boolean THEN now() END, CASE WHEN $6::boolean THEN 1 END
  FROM made
)
INSERT INTO good_job_executions (active_job_id, created_at, updated_at, job_class, serialized_params, finished_at)
SELECT id, now(), now(), $4::text, '{"executions": 0, "arguments": []}', now() FROM made WHERE $6::boolean;
