-- Tail of the count of jobs that are not finished (wire contract 10.2). With `$2` those that somebody has
-- locked in either way are left out, as in the gem where an enqueue limit is set; the keys of locks are
-- read once, and only then.
, held AS MATERIALIZED (
  SELECT ((l.classid::bigint << 32) | l.objid::bigint) AS key
  FROM pg_locks l WHERE $2::boolean AND l.locktype = 'advisory' AND l.objsubid = 1
)
SELECT count(*) FROM scope j
WHERE j.finished_at IS NULL
  AND NOT ($2::boolean AND (
    j.locked_by_id IS NOT NULL
    OR ('x' || substr(md5('good_jobs-' || j.id::text), 1, 16))::bit(64)::bigint IN (SELECT key FROM held)));
