-- The limit that a worker is measured against: the claim of one lane in as few steps as Postgres allows, with
-- the same writes and locks as a worker's, and without what makes that right for every row: pauses, classes,
-- floors, suspects, vanished attempts. Good for jobs of the bench alone, which have none of these.
-- It reads what a worker would: the envelopes travel too. Locks are taken over rows that are locked already,
-- and the table is read by an array, as in claim_start.sql.
WITH candidate AS MATERIALIZED (
  SELECT g.id FROM good_jobs g
  WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.queue_name = $2::text AND g.priority = 0
    AND g.scheduled_at <= now()
  ORDER BY g.scheduled_at, g.id LIMIT $1::bigint FOR NO KEY UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
  SELECT id FROM candidate
  WHERE pg_try_advisory_lock(('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint)
), claimed AS (
  UPDATE good_jobs j SET
    locked_by_id = $3::uuid, locked_at = now(),
    lock_type = 2, -- if lock_type
    performed_at = now(), executions_count = COALESCE(j.executions_count, 0) + 1, updated_at = now()
  WHERE j.id = ANY(ARRAY(SELECT id FROM locked))
  RETURNING j.id, j.serialized_params
)
SELECT COALESCE(array_agg(id), '{}') AS ids, COALESCE(string_agg(serialized_params::text, ','), '') AS envelopes
FROM claimed;
