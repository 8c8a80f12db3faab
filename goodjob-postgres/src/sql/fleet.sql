-- How the other living processes lock. Ours say so in their row; of a Ruby process only the rows that it
-- holds at this moment tell. A process of ours is alive while its process lock is held.
SELECT p.id, p.state->>'lock_strategy' AS declared,
       -- unless lock_type: '{}'::smallint[] AS observed,
       ARRAY(SELECT DISTINCT j.lock_type FROM good_jobs j WHERE j.locked_by_id = p.id AND j.finished_at IS NULL AND j.lock_type IS NOT NULL) AS observed, -- if lock_type
       COALESCE(p.state->>'runtime', 'a Ruby process') AS runtime
FROM good_job_processes p
WHERE p.id <> $1::uuid
  AND CASE WHEN p.state ? 'lock_strategy' OR p.lock_type = 0
           THEN EXISTS (SELECT FROM pg_locks l
                        WHERE l.locktype = 'advisory' AND l.objsubid = 1
                          AND ((l.classid::bigint << 32) | l.objid::bigint) =
                              ('x' || substr(md5('good_job_processes-' || p.id::text), 1, 16))::bit(64)::bigint)
           ELSE p.updated_at > now() - interval '5 minutes' END;
