-- Writes a job's success in the transaction of its own body: what settle_succeeded.sql writes, with the same
-- fence. It waits for the row, as everything else that the transaction writes; and the time is that of the
-- clock, since `now()` is when the transaction began, perhaps before the attempt did.
--
-- An attempt that was taken over is refused by an error, so that its transaction cannot commit even if the
-- answer is ignored. Nothing of ours in the database could raise one: a cast that must fail does. Its text
-- hangs on a count, lest the planner try it beforehand.
WITH present AS MATERIALIZED (
  SELECT g.id FROM good_jobs g
  WHERE g.id = $1::uuid AND g.performed_at = $3::timestamptz AND g.executions_count = $4::int
    AND (g.locked_by_id = $6::uuid OR g.locked_by_id IS NULL) AND g.finished_at IS NULL
  FOR NO KEY UPDATE
), settled AS (
  UPDATE good_jobs g SET
    finished_at = clock_timestamp(), error = NULL, error_event = NULL,
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL, updated_at = clock_timestamp()
  WHERE g.id = ANY(ARRAY(SELECT id FROM present))
  RETURNING g.id, g.job_class, g.queue_name, g.serialized_params, g.scheduled_at, g.performed_at, g.finished_at
), written AS (
  INSERT INTO good_job_executions AS x
    (id, created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at,
     process_id, finished_at, duration)
  SELECT $2::uuid, performed_at, finished_at, id, job_class, queue_name,
         CASE WHEN btrim((serialized_params->'executions')::text, '0123456789') = '' THEN serialized_params
              WHEN jsonb_typeof(serialized_params) IS DISTINCT FROM 'object' THEN '{}'
              ELSE serialized_params - 'executions' END,
         CASE WHEN isfinite(scheduled_at) THEN scheduled_at ELSE performed_at END,
         $6::uuid, finished_at, make_interval(secs => $5::float8)
  FROM settled
  ON CONFLICT (id) DO UPDATE SET
    finished_at = EXCLUDED.finished_at, duration = EXCLUDED.duration, updated_at = EXCLUDED.updated_at
)
SELECT CASE WHEN count(*) > 0 THEN 1
            ELSE ('the attempt is not the current one: goodjob found ' || count(*))::int END AS completed
FROM settled;
