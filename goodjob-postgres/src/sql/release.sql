-- Gives back attempts that never began, as if they had not been claimed, and tells other workers.
-- Fenced like settle.sql, and by the attempt. Rows are locked in id order.
WITH given AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[])
    AS d(id, execution_id, performed_at, executions_count)
), present AS MATERIALIZED (
  SELECT d.execution_id, g.id
  FROM good_jobs g JOIN given d ON d.id = g.id
  WHERE g.performed_at = d.performed_at AND g.executions_count = d.executions_count
    AND (g.locked_by_id = $5::uuid OR g.locked_by_id IS NULL) AND g.finished_at IS NULL
    AND NOT EXISTS (SELECT FROM good_job_executions x
                    WHERE x.id = d.execution_id AND x.finished_at IS NOT NULL)
  ORDER BY g.id
  FOR NO KEY UPDATE OF g
), released AS (
  UPDATE good_jobs g SET
    performed_at = NULL, executions_count = g.executions_count - 1,
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL, updated_at = now()
  FROM present p WHERE g.id = p.id
  RETURNING p.execution_id, g.queue_name
), forgotten AS (
  DELETE FROM good_job_executions x USING released r WHERE x.id = r.execution_id
)
SELECT count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text)) AS sent
FROM (SELECT DISTINCT queue_name FROM released
      WHERE octet_length(COALESCE(queue_name, '')) < 1000) AS queues;
