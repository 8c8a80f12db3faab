-- The advisory locks of this session that none of the given jobs explains, as keys: a statement that was
-- cancelled keeps the locks that it had taken (failure model M6).
SELECT key
FROM (SELECT (classid::bigint << 32) | objid::bigint AS key
      FROM pg_locks
      WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS held
WHERE key NOT IN (SELECT ('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint
                  FROM unnest($1::uuid[]) AS id);
