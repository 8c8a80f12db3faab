-- The limit of storing many jobs in one call: one statement, an array for each column that differs.
INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params, scheduled_at,
                       created_at, updated_at)
SELECT id, id, $2::text, $3::text, 0, envelope, now(), now(), now()
FROM unnest($1::uuid[], $4::jsonb[]) AS jobs(id, envelope);
