-- The processes, the given one first, and what speaks for their lives: how old their last beat is, and whether
-- somebody holds their process lock. pg_locks is read once. Dead rows may pile up where nobody cleans up, so
-- no more than `$2` are read, those that beat last.
WITH held AS MATERIALIZED (
  SELECT (classid::bigint << 32) | objid::bigint AS key
  FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
)
SELECT p.id, COALESCE(p.state, '{}') AS state, p.lock_type,
       extract(epoch FROM now() - p.updated_at)::float8 AS beat_seconds_ago,
       EXISTS (SELECT FROM held WHERE held.key =
         ('x' || substr(md5('good_job_processes-' || p.id::text), 1, 16))::bit(64)::bigint) AS locked
FROM good_job_processes p
ORDER BY p.id IS NOT DISTINCT FROM $1::uuid DESC, p.updated_at DESC
LIMIT $2::bigint;
