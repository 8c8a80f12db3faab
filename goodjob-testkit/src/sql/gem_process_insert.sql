-- Wire contract 7.1: `lock_type` stays NULL, as outside development.
INSERT INTO good_job_processes (id, created_at, updated_at, state)
VALUES ($1::uuid, $2::timestamptz, $2::timestamptz, $3::jsonb)
ON CONFLICT (id) DO UPDATE SET updated_at = EXCLUDED.updated_at, state = EXCLUDED.state;
