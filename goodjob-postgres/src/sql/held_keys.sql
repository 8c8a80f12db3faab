-- The advisory locks of this session, as keys: to be compared with what the process believes it holds.
SELECT (classid::bigint << 32) | objid::bigint AS key
FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
