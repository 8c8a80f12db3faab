-- Deletes finished batches that are old enough, as clean_up_jobs.sql does with jobs. One with a discarded
-- job is kept for as long as that. No index serves it, so it runs only when few old jobs are left.
WITH old AS MATERIALIZED (
  SELECT id FROM good_job_batches
  WHERE finished_at <= now() - make_interval(secs => $1::float8)
    AND (discarded_at IS NULL OR NOT $2::boolean)
  LIMIT $3::bigint
  FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM good_job_batches b USING old o WHERE b.id = o.id RETURNING b.id
)
SELECT count(*) AS batches FROM gone;
