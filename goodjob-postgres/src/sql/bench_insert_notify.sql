-- The limit of storing one job and telling of it in the same round trip: the INSERT of bench_insert.sql and a
-- notice that leaves with its commit.
WITH inserted AS (
  INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params, scheduled_at,
                         created_at, updated_at)
  VALUES ($1::uuid, $1::uuid, $2::text, $3::text, 0, $4::jsonb, now(), now(), now())
  RETURNING id
)
SELECT pg_notify('good_job', jsonb_build_object('queue_name', $3::text)::text)::text AS told FROM inserted;
