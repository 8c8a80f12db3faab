-- Deletes finished jobs with their attempts.
, written AS (
  DELETE FROM good_jobs g USING locked l WHERE g.id = l.id
  RETURNING g.id
), attempts AS (
  DELETE FROM good_job_executions x USING written w WHERE x.active_job_id = w.id
)
