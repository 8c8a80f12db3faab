-- The processes, and when each last said that it lives.
SELECT id, COALESCE(state, '{}') AS state,
       extract(epoch FROM now() - updated_at)::float8 AS beat_seconds_ago,
       extract(epoch FROM now() - created_at)::float8 AS up_seconds,
       CASE WHEN lock_type = 0 THEN EXISTS (
              SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
              AND ((l.classid::bigint << 32) | l.objid::bigint) =
                  ('x' || substr(md5('good_job_processes-' || id::text), 1, 16))::bit(64)::bigint)
            ELSE updated_at > now() - interval '5 minutes' END AS alive
FROM good_job_processes
ORDER BY created_at;
