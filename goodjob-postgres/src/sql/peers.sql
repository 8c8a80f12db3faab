-- The other processes, and what speaks for their lives: their process lock, else the lock of one of
-- their jobs, else their heartbeat by the gem's own rule (wire contract 7.3).
-- pg_locks is read once, and the keys of owned jobs are computed once: asked pair by pair, twenty peers
-- with a hundred jobs each took four seconds.
WITH held AS MATERIALIZED (
  SELECT (classid::bigint << 32) | objid::bigint AS key
  FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
), lively AS MATERIALIZED (
  SELECT DISTINCT j.locked_by_id AS id
  FROM good_jobs j
  JOIN held ON held.key = ('x' || substr(md5('good_jobs-' || j.id::text), 1, 16))::bit(64)::bigint
  WHERE j.locked_by_id IS NOT NULL AND j.finished_at IS NULL
), peers AS MATERIALIZED (
  SELECT p.id, p.state, p.lock_type, p.updated_at, EXISTS (
           SELECT FROM held WHERE held.key =
             ('x' || substr(md5('good_job_processes-' || p.id::text), 1, 16))::bit(64)::bigint) AS locked
  FROM good_job_processes p WHERE p.id <> $1::uuid
)
SELECT p.id, p.state->'host_identity' AS host,
       p.locked OR EXISTS (SELECT FROM lively l WHERE l.id = p.id) AS locks_held,
       CASE WHEN p.lock_type = 0 THEN NOT p.locked
            WHEN p.lock_type IS NULL THEN p.updated_at < now() - interval '5 minutes'
            ELSE false END AS expired
FROM peers p;
