-- As complete.sql, for a job that is not kept: it and its attempts go with the transaction of its body.
WITH present AS MATERIALIZED (
  SELECT g.id FROM good_jobs g
  WHERE g.id = $1::uuid AND g.performed_at = $2::timestamptz AND g.executions_count = $3::int
    AND (g.locked_by_id = $4::uuid OR g.locked_by_id IS NULL) AND g.finished_at IS NULL
  FOR UPDATE
), gone AS (
  DELETE FROM good_jobs g WHERE g.id = ANY(ARRAY(SELECT id FROM present)) RETURNING g.id
), attempts AS (
  DELETE FROM good_job_executions x WHERE x.active_job_id = ANY(ARRAY(SELECT id FROM gone))
)
SELECT CASE WHEN count(*) > 0 THEN 1
            ELSE ('the attempt is not the current one: goodjob found ' || count(*))::int END AS completed
FROM gone;
