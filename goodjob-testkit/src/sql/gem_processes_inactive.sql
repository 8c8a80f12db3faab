-- Wire contract 7.3: judged by the reader's clock, or by the process's own lock.
SELECT p.id FROM good_job_processes p
LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.objsubid = 1
  AND ((l.classid::bigint << 32) | l.objid::bigint)
      = ('x' || substr(md5('good_job_processes-' || p.id::text), 1, 16))::bit(64)::bigint
WHERE (p.lock_type = 0 AND l.locktype IS NULL)
   OR (p.lock_type IS NULL AND p.updated_at < $1::timestamptz - interval '5 minutes')
ORDER BY p.id LIMIT 1000;
