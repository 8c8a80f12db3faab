-- The sessions that hold a job's advisory lock, or wait for it. What pg_stat_activity says of another
-- user's session may be NULL.
SELECT l.pid, a.application_name AS application, host(a.client_addr) AS client, l.granted AS held
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) =
      ('x' || substr(md5('good_jobs-' || $1::uuid::text), 1, 16))::bit(64)::bigint
ORDER BY l.granted DESC, l.pid;
