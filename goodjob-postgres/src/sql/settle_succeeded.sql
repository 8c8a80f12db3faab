-- Ends attempts that succeeded at jobs that are kept: what nearly every outcome is, and therefore in the
-- fewest steps. The fence is that of settle.sql, and nobody is waited for here either.
--
-- What it has no answer for is left to settle.sql: a row that somebody holds or has changed meanwhile, an
-- attempt that was fenced off or has ended before, a job that was discarded by force.
-- The execution is written here, unless the attempt ran for so long that it is there already (ADR 0016).
-- Tables are read by arrays and in LATERAL, never joined to what was computed: see claim_start.sql;
-- num_nulls keeps indexes of unfinished jobs out of it: see claim_candidates_lanes.sql.
WITH ended AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::float8[])
    AS d(id, execution_id, performed_at, executions_count, seconds)
), present AS MATERIALIZED (
  SELECT d.id, d.execution_id, d.seconds
  FROM ended d CROSS JOIN LATERAL (
    SELECT FROM good_jobs j
    WHERE j.id = d.id AND j.performed_at = d.performed_at AND j.executions_count = d.executions_count
      AND (j.locked_by_id = $6::uuid OR j.locked_by_id IS NULL) AND num_nulls(j.finished_at) = 1
    FOR NO KEY UPDATE SKIP LOCKED) AS g
), settled AS (
  UPDATE good_jobs g SET
    finished_at = now(), error = NULL, error_event = NULL,
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL, updated_at = now()
  WHERE g.id = ANY(ARRAY(SELECT id FROM present))
  RETURNING g.id, g.job_class, g.queue_name, g.serialized_params, g.scheduled_at, g.performed_at
), written AS (
  INSERT INTO good_job_executions AS x
    (id, created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at,
     process_id, finished_at, duration)
  SELECT execution_id, performed_at, now(), s.id, job_class, queue_name,
         CASE WHEN jsonb_typeof(serialized_params) IS DISTINCT FROM 'object' THEN '{}'
              WHEN serialized_params->>'executions' ~ '^[0-9]+$' AND jsonb_typeof(serialized_params->'executions') = 'number'
                   THEN serialized_params
              ELSE serialized_params - 'executions' END,
         CASE WHEN isfinite(scheduled_at) THEN scheduled_at ELSE performed_at END,
         $6::uuid, now(), make_interval(secs => seconds)
  FROM settled s JOIN present p ON p.id = s.id
  ON CONFLICT (id) DO UPDATE SET
    finished_at = EXCLUDED.finished_at, duration = EXCLUDED.duration, updated_at = EXCLUDED.updated_at
)
SELECT execution_id FROM settled s JOIN present p ON p.id = s.id;
