-- Deletes finished jobs that are old enough, the oldest first, with their attempts: one bounded batch,
-- so that nobody waits for a long statement, and with SKIP LOCKED, so that two processes which clean up
-- at once share the rows and a job that is being retried by hand is left alone.
--
-- Jobs go by their primary key. The gem goes by `active_job_id`, and a NULL there makes it delete every
-- row with one, finished or not (wire contract 12).
WITH old AS MATERIALIZED (
  SELECT id FROM good_jobs
  WHERE finished_at <= now() - make_interval(secs => $1::float8) AND (error IS NULL OR NOT $2::boolean)
  ORDER BY finished_at LIMIT $3::bigint
  FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM good_jobs g USING old o WHERE g.id = o.id RETURNING g.id
), attempts AS (
  DELETE FROM good_job_executions x USING gone g WHERE x.active_job_id = g.id RETURNING x.id
)
SELECT (SELECT count(*) FROM gone) AS jobs, (SELECT count(*) FROM attempts) AS executions;
