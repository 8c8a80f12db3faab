-- What a clean-up would delete, all batches of it together. Counted for a person who asked first, since
-- it reads every old row.
WITH old AS (
  SELECT id FROM good_jobs
  WHERE finished_at <= now() - make_interval(secs => $1::float8) AND (error IS NULL OR NOT $2::boolean)
)
SELECT (SELECT count(*) FROM old) AS jobs,
       (SELECT count(*) FROM good_job_executions x WHERE x.active_job_id IN (SELECT id FROM old)) AS executions,
       (SELECT count(*) FROM good_job_batches
        WHERE finished_at <= now() - make_interval(secs => $1::float8)
          AND (discarded_at IS NULL OR NOT $2::boolean)) AS batches;
