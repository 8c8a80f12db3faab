-- The lock that says, beside the heartbeat, that the process lives. Held by the notify session.
SELECT pg_try_advisory_lock(
  ('x' || substr(md5('good_job_processes-' || $1::uuid::text), 1, 16))::bit(64)::bigint) AS held;
