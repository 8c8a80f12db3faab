-- Writes the executions of attempts that have run for a while (ADR 0016), if they are still the current ones.
-- The rows are locked against whoever ends or gives back the attempt in this moment: his row would stand
-- before ours, or be deleted without it. What is being ended needs none any more and is passed over.
-- num_nulls keeps indexes of unfinished jobs out of it: see claim_candidates_lanes.sql.
INSERT INTO good_job_executions (id, created_at, updated_at, active_job_id, job_class, queue_name,
                                 serialized_params, scheduled_at, process_id)
SELECT execution_id, performed_at, performed_at, id, job_class, queue_name,
       CASE WHEN btrim((serialized_params->'executions')::text, '0123456789') = '' THEN serialized_params
            WHEN jsonb_typeof(serialized_params) IS DISTINCT FROM 'object' THEN '{}'
            ELSE serialized_params - 'executions' END,
       CASE WHEN isfinite(scheduled_at) THEN scheduled_at ELSE performed_at END, $5::uuid
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[])
  AS d(job_id, execution_id, started_at, count)
CROSS JOIN LATERAL (
  SELECT g.performed_at, g.id, g.job_class, g.queue_name, g.serialized_params, g.scheduled_at
  FROM good_jobs g
  WHERE g.id = d.job_id AND g.performed_at = d.started_at AND g.executions_count = d.count
    AND (g.locked_by_id = $5::uuid OR g.locked_by_id IS NULL) AND num_nulls(g.finished_at) = 1
  FOR SHARE SKIP LOCKED
) AS running
ON CONFLICT (id) DO NOTHING;
