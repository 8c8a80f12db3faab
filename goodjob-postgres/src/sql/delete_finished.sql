-- Deletes finished jobs and their attempts. One that is not finished is left alone, whoever asks.
WITH gone AS (
  DELETE FROM good_jobs WHERE id = ANY($1::uuid[]) AND finished_at IS NOT NULL RETURNING id
), attempts AS (
  DELETE FROM good_job_executions x USING gone g WHERE x.active_job_id = g.id
)
SELECT count(*) AS deleted FROM gone;
