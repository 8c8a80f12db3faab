-- A claim of plain jobs, those that were not begun before and have no concurrency key, in one lane. Nearly all are
-- plain and nearly every claim visits one lane, and then this does, from the candidates to what is written, what
-- claim_candidates_lanes.sql and claim_start.sql do, without what others need: no order over lanes, no attempt to be
-- closed or counted, no execution. Starting their longer plan costs a claim of one job twice as much, and a claim of
-- many a fifth more.
--
-- `$10` and `$11` are the lane's queue and priority, `$12` and `$13` its floor. Each row is locked where it is found, and
-- only when it is wanted (`$14`); those that others are just taking are passed over, and do not count. How far the lane
-- was read follows from what was taken.
--
-- If any of the candidates is another job it takes none, so that the order is kept. That it saw some and took nothing
-- shows in `contended`: then they are claimed by the other files. `$8` asks for suspects, which are no plain jobs; `$3`
-- and `$4` have no say and are named for their types.
, candidate AS MATERIALIZED (
  SELECT g.id, g.ctid AS place, g.performed_at IS NULL AND g.concurrency_key IS NULL AS is_plain
  FROM good_jobs g
  WHERE g.queue_name = $10::text AND g.priority = $11::int
    AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
    AND (g.scheduled_at, g.id)
        >= (COALESCE($12::timestamptz, '-infinity'), COALESCE($13::uuid, '00000000-0000-0000-0000-000000000000'))
    AND g.job_class = ANY($1::text[]) AND (g.performed_at IS NULL OR g.id <> ALL($9::uuid[]))
    AND CASE WHEN (SELECT something FROM paused)
             THEN (g.job_class = ANY((SELECT classes FROM paused)::text[])
                   OR g.queue_name = ANY((SELECT queues FROM paused)::text[])
                   OR g.labels && (SELECT labels FROM paused)::text[]) IS NOT TRUE
             ELSE true END
    AND $3::bigint IS NOT NULL AND $4::text[] IS NULL
    AND ($6::smallint = 1 OR current_setting('goodjob.session', true) = $7::text)
  ORDER BY g.scheduled_at, g.id LIMIT $14::bigint FOR NO KEY UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
  SELECT id, place FROM candidate
  WHERE CASE WHEN $8::boolean OR (SELECT NOT bool_and(is_plain) FROM candidate)
                  OR (SELECT true FROM good_jobs g WHERE g.ctid = place) IS NULL THEN false
             ELSE $6::smallint = 1
               OR pg_try_advisory_lock(('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint) END
  LIMIT $2::bigint
), claimed AS (
  UPDATE good_jobs j SET
    locked_by_id = $5::uuid, locked_at = now(),
    lock_type = $6::smallint, -- if lock_type
    performed_at = now(), executions_count = LEAST(COALESCE(j.executions_count, 0), 2147483646) + 1, updated_at = now()
  WHERE j.ctid = ANY(ARRAY(SELECT place FROM locked))
  RETURNING j.id, j.job_class, j.queue_name, j.priority, j.serialized_params, j.labels, j.created_at, j.scheduled_at,
            j.concurrency_key, j.batch_id, j.batch_callback_id, j.cron_key, j.cron_at,
            j.performed_at, j.error, j.error_event, j.executions_count
), contention AS (
  SELECT (SELECT count(*) FROM candidate) - (SELECT count(*) FROM locked) AS contended,
         (SELECT something FROM paused) AS paused
)
SELECT contention.contended, 0::bigint AS suspects, contention.paused, now() AS at, NULL::text AS exhausted,
       c.id, c.job_class, c.queue_name, c.priority, c.serialized_params, c.labels,
       c.concurrency_key, c.batch_id, c.batch_callback_id, c.cron_key, c.cron_at::timestamptz AS cron_at,
       c.created_at::timestamptz AS created_at, c.scheduled_at::timestamptz AS scheduled_at,
       c.performed_at::timestamptz AS performed_at, c.error, c.error_event, c.executions_count,
       NULL::bigint AS interruptions, NULL::uuid AS execution_id
FROM contention LEFT JOIN claimed c ON true;
