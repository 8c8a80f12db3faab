-- After the commit of the run's end, never inside it (wire contract 0, point 20).
SELECT pg_advisory_unlock(('x' || substr(md5('good_jobs-' || $1::uuid::text), 1, 16))::bit(64)::bigint) AS unlocked;
