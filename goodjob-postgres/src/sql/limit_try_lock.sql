-- As limit_lock.sql, for a worker: without waiting, since somebody's long transaction may hold the lock, and
-- whoever waits keeps a connection.
SELECT bool_and(pg_try_advisory_xact_lock(key)) AS locked FROM (
  SELECT DISTINCT ('x' || substr(md5(name), 1, 16))::bit(64)::bigint AS key
  FROM unnest($1::text[]) AS name ORDER BY key) AS keys;
