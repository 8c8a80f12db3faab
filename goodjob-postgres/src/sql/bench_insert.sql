-- The limit of storing one job where nobody is told: a bare INSERT of what a worker needs.
INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params, scheduled_at,
                       created_at, updated_at)
VALUES ($1::uuid, $1::uuid, $2::text, $3::text, 0, $4::jsonb, now(), now(), now());
