-- Wire contract 3.4: a lock may have been taken more than once, so the gem asks before and after it unlocks.
SELECT EXISTS (
  SELECT FROM pg_locks
  WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid()
    AND ((classid::bigint << 32) | objid::bigint)
        = ('x' || substr(md5('good_jobs-' || $1::uuid::text), 1, 16))::bit(64)::bigint
) AS held;
