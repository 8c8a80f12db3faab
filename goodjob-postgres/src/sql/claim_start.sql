-- Tail of every claim: takes the advisory locks and writes the owner.
--
-- pg_try_advisory_lock stands in a materialised CTE over rows that are row-locked already: evaluated
-- next to an updated table it may run twice for a row and leak a lock (wire contract F5, failure model
-- M7). One UPDATE and not two, because each one enters the row into every index again. It finds the rows by
-- their places, which spares a walk down the key's index. A row that was changed before its lock was had is locked at
-- a place that this statement does not see: it is passed over before its advisory lock is taken.
-- Tables are read by arrays and in LATERAL, never joined to what was computed: the plan is made once, perhaps
-- while they are empty, and a join may then start from all rows that there will be.
--
-- An attempt's execution is not written here but when it ends, or has run for a while (ADR 0016), unless the
-- job has a concurrency key: Ruby's throttles count the executions of its kind (wire contract 10). A row
-- whose `performed_at` was set belonged to an attempt that vanished: its execution is closed as the gem
-- closes it, or written closed where it had none yet. The vanished attempts in a row are counted for the
-- poison limit: this one, and those before it. Their text is matched from its start, and not by LIKE, whose
-- % would span the colon: a poisoned job's own error quotes it. Whoever ran beside a job that kills its
-- process vanished with it: so that they are not given up together, those that vanished twice are taken by
-- themselves, one at a time (`$8`), and passed over otherwise. `suspects` says how many of them were seen on the
-- way, also by a full catch: under a backlog every one is full, and they would wait for its end.
-- The attempt's copy of the envelope loses a count that is none, and a job that is due since ever is due
-- now: the gem's page of the job fails on the one, and on how long the attempt waited in the other.
-- A count of starts that could not grow stays, and a start at no time is named as it is: an error here would
-- cost every job that is claimed with the row.
--
-- The outer join brings `contended` back even when nothing was taken. It counts the candidates without
-- an owner whose lock was held all the same: somebody is just taking or ending them. After a full catch
-- it stays 0, so that no further row is pulled for it.
, counted AS MATERIALIZED (
  SELECT row_number() OVER () AS n, c.id, c.place, c.before, c.unowned, CASE WHEN c.before IS NULL THEN 0 ELSE 1 + (
    SELECT count(*) FROM good_job_executions e
    WHERE e.active_job_id = c.id AND e.created_at <> c.before
      AND e.error_event = 0 AND e.error ~ '^GoodJob::Interrupt[A-Za-z]*: Interrupted after starting perform at'
      AND NOT EXISTS (
        SELECT FROM good_job_executions x
        WHERE x.active_job_id = c.id AND x.created_at >= e.created_at AND x.finished_at IS NOT NULL
          AND (x.error_event = 0 AND x.error ~ '^GoodJob::Interrupt[A-Za-z]*: Interrupted after starting perform at') IS NOT TRUE)) END AS times
  FROM candidate c
), locked AS MATERIALIZED (
  -- CASE, because AND may try the lock first and then leave it on a row that is passed over. No EXISTS, which might
  -- be planned as a hash of the whole table.
  SELECT n, id, place, before, unowned, times FROM counted
  WHERE CASE WHEN (SELECT true FROM good_jobs g WHERE g.ctid = place) IS NULL THEN false
             WHEN (times >= 2) = $8::boolean THEN $6::smallint = 1
               OR pg_try_advisory_lock(('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint)
             ELSE false END
  LIMIT $2::bigint
), claimed AS (
  UPDATE good_jobs j SET
    locked_by_id = $5::uuid, locked_at = now(),
    lock_type = $6::smallint, -- if lock_type
    performed_at = now(), executions_count = LEAST(COALESCE(j.executions_count, 0), 2147483646) + 1, updated_at = now(),
    error = CASE WHEN j.performed_at IS NULL THEN j.error
                 ELSE 'GoodJob::InterruptedError: Interrupted after starting perform at '''
                      || COALESCE(to_char(j.performed_at, 'YYYY-MM-DD HH24:MI:SS'), j.performed_at::text) || ' UTC''' END,
    error_event = CASE WHEN j.performed_at IS NULL THEN j.error_event ELSE 0 END
  WHERE j.ctid = ANY(ARRAY(SELECT place FROM locked))
  RETURNING j.id, j.job_class, j.queue_name, j.priority, j.serialized_params, j.labels, j.created_at, j.scheduled_at,
            j.concurrency_key, j.batch_id, j.batch_callback_id, j.cron_key, j.cron_at,
            j.performed_at, j.error, j.error_event, j.executions_count,
            CASE WHEN j.concurrency_key IS NOT NULL THEN gen_random_uuid() END AS execution_id
), resumed AS MATERIALIZED (
  SELECT c.*, l.before, l.times
  FROM (SELECT id, before, times FROM locked WHERE before IS NOT NULL) l JOIN claimed c ON c.id = l.id
), interrupted AS (
  UPDATE good_job_executions e
  SET error = c.error, error_event = 0, finished_at = c.performed_at, duration = interval '0'
  FROM resumed c CROSS JOIN LATERAL (
    SELECT x.ctid AS place FROM good_job_executions x
    WHERE x.active_job_id = c.id AND x.finished_at IS NULL OFFSET 0) AS unfinished
  WHERE e.ctid = unfinished.place AND e.finished_at IS NULL
), vanished AS (
  INSERT INTO good_job_executions (id, created_at, updated_at, active_job_id, job_class, queue_name,
                                   serialized_params, scheduled_at, finished_at, duration, error, error_event)
  SELECT gen_random_uuid(), CASE WHEN isfinite(c.before) THEN c.before ELSE c.performed_at END, c.performed_at, c.id, c.job_class, c.queue_name,
         CASE WHEN btrim((c.serialized_params->'executions')::text, '0123456789') = '' THEN c.serialized_params
              WHEN jsonb_typeof(c.serialized_params) IS DISTINCT FROM 'object' THEN '{}'
              ELSE c.serialized_params - 'executions' END,
         CASE WHEN isfinite(c.scheduled_at) THEN c.scheduled_at WHEN isfinite(c.before) THEN c.before ELSE c.performed_at END,
         c.performed_at, interval '0', c.error, 0
  FROM resumed c
  WHERE (
    SELECT count(*) FROM good_job_executions e
    WHERE e.active_job_id = c.id AND (e.finished_at IS NULL OR e.created_at = c.before)) = 0
), started AS (
  INSERT INTO good_job_executions (id, created_at, updated_at, active_job_id, job_class, queue_name,
                                   serialized_params, scheduled_at, process_id)
  SELECT execution_id, performed_at, performed_at, id, job_class, queue_name,
         CASE WHEN btrim((serialized_params->'executions')::text, '0123456789') = '' THEN serialized_params
              WHEN jsonb_typeof(serialized_params) IS DISTINCT FROM 'object' THEN '{}'
              ELSE serialized_params - 'executions' END,
         CASE WHEN isfinite(scheduled_at) THEN scheduled_at ELSE performed_at END, $5::uuid
  FROM claimed WHERE execution_id IS NOT NULL
), contention AS (
  SELECT CASE WHEN (SELECT count(*) FROM locked) < $2::bigint
              THEN (SELECT count(*) FROM candidate WHERE unowned) - (SELECT count(*) FROM locked WHERE unowned)
              ELSE 0 END AS contended,
         -- The limit, because what comes after the last one taken must not be pulled.
         (SELECT count(*) FILTER (WHERE times >= 2) FROM (
            SELECT times FROM counted
            LIMIT CASE WHEN (SELECT count(*) FROM locked) >= $2::bigint
                       THEN (SELECT max(n) FROM locked) END) AS pulled) AS suspects,
         (SELECT something FROM paused) AS paused, (SELECT exhausted FROM rest) AS exhausted
)
SELECT contention.contended, contention.suspects, contention.paused, now() AS at,
       CASE WHEN j.id IS NOT DISTINCT FROM (SELECT id FROM claimed LIMIT 1) THEN contention.exhausted END AS exhausted, j.*
FROM contention LEFT JOIN (
  SELECT c.id, c.job_class, c.queue_name, c.priority, c.serialized_params, c.labels,
         c.concurrency_key, c.batch_id, c.batch_callback_id, c.cron_key, c.cron_at::timestamptz AS cron_at,
         c.created_at::timestamptz AS created_at, c.scheduled_at::timestamptz AS scheduled_at,
         c.performed_at::timestamptz AS performed_at, c.error, c.error_event, c.executions_count,
         r.times AS interruptions, c.execution_id
  FROM claimed c LEFT JOIN resumed r ON r.id = c.id
) j ON true;
