-- Tail of a claim of one lane for plain jobs: those that were not begun before and have no concurrency key. Nearly all
-- are, and need none of what claim_start.sql does for the others: no attempt to be closed or counted, no execution.
-- It takes its locks and writes as that does. Starting the longer plan cost a claim of one job a quarter, and a
-- claim of many a tenth.
--
-- If there is any other job among those that it would take, it takes none, so that the order is kept. That it saw some
-- and took nothing shows in `contended`: then they are claimed with the other tail. For that it looks at all
-- candidates first, and `$14` is no more than is wanted. `$8` asks for suspects, which are no plain jobs.
, locked AS MATERIALIZED (
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
