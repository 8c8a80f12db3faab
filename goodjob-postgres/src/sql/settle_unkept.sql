-- Ends attempts at jobs that are not kept: deletes the job and all its attempts, only while the attempt is
-- the current one. A statement beside settle.sql, which most workers need alone: as a part of it, it made
-- each outcome half as dear again. The fence is the same, and nobody is waited for here either.
--
-- It tells of those that it did not delete. What it does not find blocked or gone either is left to settle.sql:
-- rows of cron, which are kept (wire contract 4.4), and attempts that were fenced off or have ended before. A job
-- that was discarded by force meanwhile goes: the gem judges by how the attempt ended.
-- A job that is not there counts as written: the answer to its deletion may have been lost, nothing is
-- left to tell by, and it is as the outcome wants it. Rows are locked FOR UPDATE from the start, since a
-- weaker lock that DELETE had to raise could wait for a foreign key of the application's.
-- Rows are deleted at their places: see settle_succeeded.sql.
-- A first attempt that did not last has no execution yet (ADR 0016), and none is looked for.
-- Tables are read by arrays and in LATERAL, never joined to what was computed: see claim_start.sql.
WITH ended AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[])
    AS d(id, execution_id, performed_at, executions_count)
), looked AS MATERIALIZED (
  SELECT d.*, g.place, g.has_attempts, (SELECT true FROM good_jobs v WHERE v.ctid = g.place) AS is_found
  FROM ended d LEFT JOIN LATERAL (
    SELECT j.ctid AS place, j.executions_count > 1 OR j.concurrency_key IS NOT NULL
                 OR j.performed_at <= now() - interval '100 ms' AS has_attempts
    FROM good_jobs j
    WHERE j.id = d.id AND j.performed_at = d.performed_at AND j.executions_count = d.executions_count
      AND (j.locked_by_id = $5::uuid OR j.locked_by_id IS NULL) AND j.cron_key IS NULL
      AND (j.finished_at IS NULL
           OR NOT EXISTS (SELECT FROM good_job_executions x
                          WHERE x.id = d.execution_id AND x.finished_at IS NOT NULL))
    FOR UPDATE OF j SKIP LOCKED) AS g ON true
), gone AS (
  DELETE FROM good_jobs g WHERE g.ctid = ANY(ARRAY(SELECT place FROM looked WHERE is_found))
), attempts AS (
  DELETE FROM good_job_executions x
  WHERE x.active_job_id = ANY(ARRAY(SELECT id FROM looked WHERE is_found AND has_attempts))
)
SELECT l.execution_id, g.current IS NULL AS written, COALESCE(g.current, false) AS blocked
FROM looked l LEFT JOIN LATERAL (
  SELECT COALESCE(j.performed_at = l.performed_at AND j.executions_count = l.executions_count, false)
         AND (j.locked_by_id = $5::uuid OR j.locked_by_id IS NULL) AND j.cron_key IS NULL
         AND NOT EXISTS (SELECT FROM good_job_executions x
                         WHERE x.id = l.execution_id AND x.finished_at IS NOT NULL) AS current
  FROM good_jobs j WHERE j.id = l.id OFFSET 0) AS g ON true
WHERE l.is_found IS NULL;
