-- Wire contract 4.1, in T1: the run's own row.
INSERT INTO good_job_executions
  (created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at, process_id)
VALUES ($2::timestamptz, $2::timestamptz, $1::uuid, $3::text, $4::text, $5::jsonb, $6::timestamptz, $7::uuid)
RETURNING id;
