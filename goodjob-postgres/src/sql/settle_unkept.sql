-- Ends attempts at jobs that are not kept: deletes the job and all its attempts, only while the attempt is
-- the current one. A statement beside settle.sql, which most workers need alone: as a part of it, it made
-- each outcome half as dear again. The fence is the same, and nobody is waited for here either.
--
-- What this neither deletes nor finds blocked is left to settle.sql: rows of cron, which are kept (wire
-- contract 4.4), and attempts that were fenced off or have ended before. A job that was discarded by force
-- meanwhile goes: the gem judges by how the attempt ended.
-- A job that is not there counts as written: the answer to its deletion may have been lost, nothing is
-- left to tell by, and it is as the outcome wants it. Rows are locked FOR UPDATE from the start, since a
-- weaker lock that DELETE had to raise could wait for a foreign key of the application's.
WITH ended AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[])
    AS d(id, execution_id, performed_at, executions_count)
), present_now AS MATERIALIZED (
  SELECT d.execution_id, d.id
  FROM ended d JOIN good_jobs g ON g.id = d.id
  WHERE g.performed_at = d.performed_at AND g.executions_count = d.executions_count
    AND (g.locked_by_id = $5::uuid OR g.locked_by_id IS NULL) AND g.cron_key IS NULL
    AND NOT EXISTS (SELECT FROM good_job_executions x
                    WHERE x.id = d.execution_id AND x.finished_at IS NOT NULL)
), present AS MATERIALIZED (
  SELECT d.execution_id, g.id
  FROM good_jobs g JOIN ended d ON d.id = g.id
  WHERE d.execution_id IN (SELECT execution_id FROM present_now)
    AND g.performed_at = d.performed_at AND g.executions_count = d.executions_count
    AND (g.locked_by_id = $5::uuid OR g.locked_by_id IS NULL)
  ORDER BY g.id
  FOR UPDATE OF g SKIP LOCKED
), gone AS (
  DELETE FROM good_jobs g USING present p WHERE g.id = p.id
  RETURNING p.execution_id, g.id
), attempts AS (
  DELETE FROM good_job_executions x USING gone o WHERE x.active_job_id = o.id
)
SELECT d.execution_id,
       o.execution_id IS NOT NULL OR NOT EXISTS (SELECT FROM good_jobs g WHERE g.id = d.id) AS written,
       n.execution_id IS NOT NULL AND o.execution_id IS NULL AS blocked
FROM ended d
LEFT JOIN present_now n ON n.execution_id = d.execution_id
LEFT JOIN gone o ON o.execution_id = d.execution_id;
