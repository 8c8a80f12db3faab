-- The limit of writing down successes: job rows ended, executions written once, nothing looked at twice. There
-- is no fence, as nobody else takes these jobs.
WITH ended AS (
  UPDATE good_jobs SET
    finished_at = now(), updated_at = now(),
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL
  WHERE id = ANY($1::uuid[])
  RETURNING id, job_class, queue_name, serialized_params, scheduled_at, performed_at
)
INSERT INTO good_job_executions (created_at, updated_at, active_job_id, job_class, queue_name, serialized_params,
                                 scheduled_at, process_id, finished_at, duration)
SELECT performed_at, now(), id, job_class, queue_name, serialized_params, scheduled_at, $2::uuid, now(),
       interval '1 ms'
FROM ended;
