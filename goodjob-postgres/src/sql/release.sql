-- Gives back attempts that never began, as if they had not been claimed, and tells other workers.
-- Fenced like settle.sql, and by the attempt. Rows are locked in id order.
-- num_nulls keeps indexes of unfinished jobs out of it: see claim_candidates_lanes.sql.
WITH given AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[])
    AS d(id, execution_id, performed_at, executions_count)
), present AS MATERIALIZED (
  SELECT d.execution_id, d.id
  FROM (SELECT * FROM given ORDER BY id) AS d CROSS JOIN LATERAL (
    SELECT FROM good_jobs j
    WHERE j.id = d.id AND j.performed_at = d.performed_at AND j.executions_count = d.executions_count
      AND (j.locked_by_id = $5::uuid OR j.locked_by_id IS NULL) AND num_nulls(j.finished_at) = 1
      AND NOT EXISTS (SELECT FROM good_job_executions x
                      WHERE x.id = d.execution_id AND x.finished_at IS NOT NULL)
    FOR NO KEY UPDATE OF j) AS g
), released AS (
  UPDATE good_jobs g SET
    performed_at = NULL, executions_count = g.executions_count - 1,
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL, updated_at = now()
  WHERE g.id = ANY(ARRAY(SELECT id FROM present))
  RETURNING g.id, g.queue_name
), forgotten AS (
  DELETE FROM good_job_executions x
  WHERE x.id = ANY(ARRAY(SELECT p.execution_id FROM present p JOIN released r ON r.id = p.id))
)
SELECT count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text)) AS sent
FROM (SELECT DISTINCT queue_name FROM released
      WHERE octet_length(COALESCE(queue_name, '')) < 1000) AS queues;
