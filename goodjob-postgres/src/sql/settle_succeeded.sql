-- Ends attempts that succeeded at jobs that are kept: what nearly every outcome is, and therefore in the
-- fewest steps. The fence is that of settle.sql, and nobody is waited for here either.
--
-- It tells what it has no answer for, which is left to settle.sql: a row that somebody holds or has changed
-- meanwhile, an attempt that was fenced off or has ended before, a job that was discarded by force.
-- The execution is written here, unless the attempt ran for so long that it is there already (ADR 0016). Only
-- where that may be is a conflict looked for, which costs a look at the index for each: not within 100 ms of
-- the start, and if the server's clock was set back since, settle.sql has the answer again.
-- Rows are written at their places, which spares a walk down the key's index. One that was changed before its
-- lock was had is at a place that this statement does not see.
-- Everything is written from the rows as they were locked, so that nothing is joined to what was computed: see
-- claim_start.sql; num_nulls keeps indexes of unfinished jobs out of it: see claim_candidates_lanes.sql.
WITH ended AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::float8[])
    AS d(id, execution_id, performed_at, executions_count, seconds)
), looked AS MATERIALIZED (
  SELECT d.execution_id, d.seconds, g.*, (SELECT true FROM good_jobs v WHERE v.ctid = g.place) AS is_found
  FROM ended d LEFT JOIN LATERAL (
    SELECT j.ctid AS place, j.id, j.job_class, j.queue_name, j.performed_at,
           CASE WHEN btrim((j.serialized_params->'executions')::text, '0123456789') = '' THEN j.serialized_params
                WHEN jsonb_typeof(j.serialized_params) IS DISTINCT FROM 'object' THEN '{}'
                ELSE j.serialized_params - 'executions' END AS serialized_params,
           CASE WHEN isfinite(j.scheduled_at) THEN j.scheduled_at ELSE j.performed_at END AS scheduled_at,
           j.concurrency_key IS NOT NULL OR j.performed_at <= now() - interval '100 ms' AS perhaps_there
    FROM good_jobs j
    WHERE j.id = d.id AND j.performed_at = d.performed_at AND j.executions_count = d.executions_count
      AND (j.locked_by_id = $6::uuid OR j.locked_by_id IS NULL) AND num_nulls(j.finished_at) = 1
    FOR NO KEY UPDATE SKIP LOCKED) AS g ON true
), settled AS (
  UPDATE good_jobs g SET
    finished_at = now(), error = NULL, error_event = NULL,
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL, updated_at = now()
  WHERE g.ctid = ANY(ARRAY(SELECT place FROM looked WHERE is_found))
), written AS (
  INSERT INTO good_job_executions
    (id, created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at,
     process_id, finished_at, duration)
  SELECT execution_id, performed_at, now(), id, job_class, queue_name, serialized_params, scheduled_at,
         $6::uuid, now(), make_interval(secs => seconds)
  FROM looked WHERE is_found AND NOT perhaps_there
), closed AS (
  INSERT INTO good_job_executions
    (id, created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at,
     process_id, finished_at, duration)
  SELECT execution_id, performed_at, now(), id, job_class, queue_name, serialized_params, scheduled_at,
         $6::uuid, now(), make_interval(secs => seconds)
  FROM looked WHERE is_found AND perhaps_there
  ON CONFLICT (id) DO UPDATE SET
    finished_at = EXCLUDED.finished_at, duration = EXCLUDED.duration, updated_at = EXCLUDED.updated_at
)
SELECT execution_id FROM looked WHERE is_found IS NULL;
