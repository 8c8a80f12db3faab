-- Writes how attempts ended, each only while it is the current one (the fence: the row still carries
-- the attempt's `performed_at` and count, and no other process owns it). Every join is by the attempt,
-- not the job: an attempt that was fenced off and its successor may end in one statement.
--
-- Nobody is waited for: a row that somebody else has locked is reported as blocked, to be tried again,
-- and does not hold up the others. Rows are locked in id order all the same.
-- Repeating the statement writes nothing twice: an attempt whose execution is finished is passed over.
-- It then counts as written if its execution says so, unless it was closed as interrupted by the next
-- attempt: that is how an outcome whose commit was in doubt is told from one that was fenced off.
-- To Active Job a retry is an enqueue: the envelope gets its times anew, in the form that it has them in
-- (wire contract 2.2: since Rails 7.1 with nine digits and with `scheduled_at`).
-- The execution is written here, or closed where the attempt ran for so long that it is there already (ADR
-- 0016), with the envelope as it was while the attempt ran.
-- An attempt that another one has overtaken closes its own execution, or writes it closed, as that one
-- should have: a Ruby worker that had lost its lock before it started writes over the row without a look at
-- who runs it (wire contract H4).
-- `finished_at` set meanwhile is a forced discard: the job stays over, and its error stays unless the
-- attempt brings one (wire contract 4.7). Unlocking is a statement of its own, after the commit.
WITH ended AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::text[], $6::float8[],
                       $7::jsonb[], $8::text[], $9::smallint[], $10::jsonb[], $11::float8[])
    AS d(id, execution_id, performed_at, executions_count, fate, wait, payload, error, error_event,
         backtrace, seconds)
), present_now AS MATERIALIZED (
  SELECT d.execution_id, d.id
  FROM ended d JOIN good_jobs g ON g.id = d.id
  WHERE g.performed_at = d.performed_at AND g.executions_count = d.executions_count
    AND (g.locked_by_id = $12::uuid OR g.locked_by_id IS NULL)
    AND NOT EXISTS (SELECT FROM good_job_executions x
                    WHERE x.id = d.execution_id AND x.finished_at IS NOT NULL)
), present AS MATERIALIZED (
  SELECT d.execution_id, g.id, g.job_class, g.queue_name, g.serialized_params, g.scheduled_at, g.performed_at
  FROM good_jobs g JOIN ended d ON d.id = g.id
  WHERE d.execution_id IN (SELECT execution_id FROM present_now)
    AND g.performed_at = d.performed_at AND g.executions_count = d.executions_count
    AND (g.locked_by_id = $12::uuid OR g.locked_by_id IS NULL)
  ORDER BY g.id
  FOR NO KEY UPDATE OF g SKIP LOCKED
), settled AS (
  UPDATE good_jobs g SET
    finished_at = CASE WHEN d.fate IN ('succeed', 'discard') THEN now() ELSE g.finished_at END,
    performed_at = CASE WHEN d.fate IN ('succeed', 'discard') OR g.finished_at IS NOT NULL
                        THEN g.performed_at END,
    scheduled_at = CASE WHEN d.fate = 'retry' AND g.finished_at IS NULL
                        THEN now() + make_interval(secs => d.wait) ELSE g.scheduled_at END,
    -- unless by_scheduled_at: created_at = CASE WHEN d.fate = 'retry' AND g.finished_at IS NULL THEN now() ELSE g.created_at END,
    serialized_params = CASE
      WHEN d.fate <> 'retry' OR g.finished_at IS NOT NULL THEN g.serialized_params
      WHEN jsonb_typeof(g.serialized_params) IS DISTINCT FROM 'object' THEN d.payload
      WHEN g.serialized_params ? 'scheduled_at' THEN g.serialized_params || d.payload || jsonb_build_object(
        'enqueued_at', to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US') || '000Z',
        'scheduled_at', to_char(now() + make_interval(secs => d.wait), 'YYYY-MM-DD"T"HH24:MI:SS.US') || '000Z')
      ELSE g.serialized_params || d.payload || jsonb_build_object(
        'enqueued_at', to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) END,
    error = CASE WHEN g.finished_at IS NULL THEN d.error ELSE COALESCE(d.error, g.error) END,
    error_event = CASE WHEN g.finished_at IS NULL THEN d.error_event
                       ELSE COALESCE(d.error_event, g.error_event) END,
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL, updated_at = now()
  FROM present p JOIN ended d ON d.execution_id = p.execution_id
  WHERE g.id = p.id
  RETURNING d.execution_id, g.queue_name, g.finished_at, g.scheduled_at,
            g.serialized_params->'good_job_notify' AS notify
), closed AS (
  INSERT INTO good_job_executions AS x
    (id, created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at,
     process_id, finished_at, duration, error, error_event, error_backtrace)
  SELECT d.execution_id, p.performed_at, now(), p.id, p.job_class, p.queue_name,
         CASE WHEN jsonb_typeof(p.serialized_params) IS DISTINCT FROM 'object' THEN '{}'
              WHEN p.serialized_params->>'executions' ~ '^[0-9]+$' AND jsonb_typeof(p.serialized_params->'executions') = 'number'
                   THEN p.serialized_params
              ELSE p.serialized_params - 'executions' END,
         CASE WHEN isfinite(p.scheduled_at) THEN p.scheduled_at ELSE p.performed_at END,
         $12::uuid, now(), make_interval(secs => d.seconds), d.error, d.error_event,
         CASE WHEN d.error IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(d.backtrace)) END
  FROM settled s JOIN present p ON p.execution_id = s.execution_id JOIN ended d ON d.execution_id = s.execution_id
  ON CONFLICT (id) DO UPDATE SET
    finished_at = EXCLUDED.finished_at, duration = EXCLUDED.duration, error = EXCLUDED.error,
    error_event = EXCLUDED.error_event, updated_at = EXCLUDED.updated_at,
    error_backtrace = EXCLUDED.error_backtrace
), overtaken AS (
  UPDATE good_job_executions x SET
    finished_at = now(), duration = make_interval(secs => d.seconds), error_event = 0, updated_at = now(),
    error = 'GoodJob::InterruptedError: Interrupted after starting perform at '''
            || to_char(d.performed_at, 'YYYY-MM-DD HH24:MI:SS') || ' UTC'''
  FROM ended d JOIN good_jobs g ON g.id = d.id
  WHERE x.id = d.execution_id AND x.finished_at IS NULL
    AND (g.performed_at, g.executions_count) IS DISTINCT FROM (d.performed_at, d.executions_count)
    AND d.execution_id NOT IN (SELECT execution_id FROM present_now)
), overtaken_unwritten AS (
  INSERT INTO good_job_executions
    (id, created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at,
     process_id, finished_at, duration, error, error_event)
  SELECT d.execution_id, d.performed_at, now(), g.id, g.job_class, g.queue_name,
         CASE WHEN jsonb_typeof(g.serialized_params) IS DISTINCT FROM 'object' THEN '{}'
              WHEN g.serialized_params->>'executions' ~ '^[0-9]+$' AND jsonb_typeof(g.serialized_params->'executions') = 'number'
                   THEN g.serialized_params
              ELSE g.serialized_params - 'executions' END,
         CASE WHEN isfinite(g.scheduled_at) THEN g.scheduled_at ELSE d.performed_at END,
         $12::uuid, now(), make_interval(secs => d.seconds),
         'GoodJob::InterruptedError: Interrupted after starting perform at '''
           || to_char(d.performed_at, 'YYYY-MM-DD HH24:MI:SS') || ' UTC''', 0
  FROM ended d JOIN good_jobs g ON g.id = d.id
  WHERE (g.performed_at, g.executions_count) IS DISTINCT FROM (d.performed_at, d.executions_count)
    AND d.execution_id NOT IN (SELECT execution_id FROM present_now)
    AND NOT EXISTS (SELECT FROM good_job_executions x
                    WHERE x.id = d.execution_id OR x.active_job_id = d.id AND x.created_at = d.performed_at)
  ON CONFLICT (id) DO NOTHING
), notices AS (
  SELECT pg_notify('good_job', jsonb_build_object('queue_name', queue_name, 'scheduled_at',
           to_char(date_trunc('milliseconds', scheduled_at + make_interval(secs => CASE WHEN scheduled_at > now() THEN 0.000999 ELSE 0 END)),
                   'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))::text) AS sent
  FROM settled
  -- A time to come is rounded up, as in insert_jobs.sql. A payload has to be shorter than 8,000 bytes; the
  -- job of such a queue is left to the polls.
  WHERE finished_at IS NULL AND octet_length(COALESCE(queue_name, '')) < 1000
    AND notify IS DISTINCT FROM 'false'
)
SELECT d.execution_id,
       s.execution_id IS NOT NULL
         OR COALESCE(x.finished_at IS NOT NULL
                     AND (x.error_event = 0
                          AND x.error ~ '^GoodJob::Interrupt[A-Za-z]*: Interrupted after starting perform at')
                         IS NOT TRUE, false) AS written,
       n.execution_id IS NOT NULL AND p.execution_id IS NULL AS blocked,
       (SELECT count(sent) FROM notices) AS sent
FROM ended d
LEFT JOIN present_now n ON n.execution_id = d.execution_id
LEFT JOIN present p ON p.execution_id = d.execution_id
LEFT JOIN settled s ON s.execution_id = d.execution_id
LEFT JOIN good_job_executions x ON x.id = d.execution_id;
