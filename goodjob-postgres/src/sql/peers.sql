-- The other processes, and what speaks for their lives: their process lock, else the lock of one of
-- their jobs, else their heartbeat by the gem's own rule (wire contract 7.3).
SELECT p.id, p.state->'host_identity' AS host,
       EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
               AND ((l.classid::bigint << 32) | l.objid::bigint) =
                   ('x' || substr(md5('good_job_processes-' || p.id::text), 1, 16))::bit(64)::bigint)
       OR EXISTS (SELECT FROM good_jobs j JOIN pg_locks l ON l.locktype = 'advisory' AND l.objsubid = 1
               AND ((l.classid::bigint << 32) | l.objid::bigint) =
                   ('x' || substr(md5('good_jobs-' || j.id::text), 1, 16))::bit(64)::bigint
               WHERE j.locked_by_id = p.id) AS locks_held,
       CASE WHEN p.lock_type = 0 THEN NOT EXISTS (
              SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
              AND ((l.classid::bigint << 32) | l.objid::bigint) =
                  ('x' || substr(md5('good_job_processes-' || p.id::text), 1, 16))::bit(64)::bigint)
            WHEN p.lock_type IS NULL THEN p.updated_at < now() - interval '5 minutes'
            ELSE false END AS expired
FROM good_job_processes p
WHERE p.id <> $1::uuid;
