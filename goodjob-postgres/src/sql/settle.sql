-- Writes how attempts ended, each only while it is the current one (the fence: the row still carries
-- the attempt's `performed_at` and count, and no other process owns it). Every join is by the attempt,
-- not the job: an attempt that was fenced off and its successor may end in one statement.
--
-- Nobody is waited for: a row that somebody else has locked is reported as blocked, to be tried again,
-- and does not hold up the others. So is one that has changed its place meanwhile.
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
-- Tables are read in LATERAL and by places, never joined to what was computed: see claim_start.sql.
WITH ended AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::text[], $6::float8[],
                       $7::jsonb[], $8::text[], $9::smallint[], $10::jsonb[], $11::float8[])
    AS d(id, execution_id, performed_at, executions_count, fate, wait, payload, error, error_event,
         backtrace, seconds)
), present_now AS MATERIALIZED (
  SELECT d.*, g.place
  FROM ended d CROSS JOIN LATERAL (
    SELECT j.ctid AS place FROM good_jobs j
    WHERE j.id = d.id AND j.performed_at = d.performed_at AND j.executions_count = d.executions_count
      AND (j.locked_by_id = $12::uuid OR j.locked_by_id IS NULL)
      AND NOT EXISTS (SELECT FROM good_job_executions x
                      WHERE x.id = d.execution_id AND x.finished_at IS NOT NULL)
    OFFSET 0) AS g
), present AS MATERIALIZED (
  SELECT p.execution_id, p.fate, p.wait, p.payload, p.error, p.error_event, p.backtrace, p.seconds, p.place,
         g.id, g.job_class, g.queue_name, g.serialized_params, g.scheduled_at, g.performed_at
  FROM present_now p CROSS JOIN LATERAL (
    SELECT j.id, j.job_class, j.queue_name, j.serialized_params, j.scheduled_at, j.performed_at FROM good_jobs j
    WHERE j.id = p.id AND j.performed_at = p.performed_at AND j.executions_count = p.executions_count
      AND (j.locked_by_id = $12::uuid OR j.locked_by_id IS NULL)
    FOR NO KEY UPDATE SKIP LOCKED) AS g
), settled AS (
  UPDATE good_jobs g SET
    finished_at = CASE WHEN p.fate IN ('succeed', 'discard') THEN now() ELSE g.finished_at END,
    performed_at = CASE WHEN p.fate IN ('succeed', 'discard') OR g.finished_at IS NOT NULL
                        THEN g.performed_at END,
    scheduled_at = CASE WHEN p.fate = 'retry' AND g.finished_at IS NULL
                        THEN now() + make_interval(secs => p.wait) ELSE g.scheduled_at END,
    -- unless by_scheduled_at: created_at = CASE WHEN p.fate = 'retry' AND g.finished_at IS NULL THEN now() ELSE g.created_at END,
    serialized_params = CASE
      WHEN p.fate <> 'retry' OR g.finished_at IS NOT NULL THEN g.serialized_params
      WHEN jsonb_typeof(g.serialized_params) IS DISTINCT FROM 'object' THEN p.payload
      WHEN g.serialized_params ? 'scheduled_at' THEN g.serialized_params || p.payload || jsonb_build_object(
        'enqueued_at', to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US') || '000Z',
        'scheduled_at', to_char(now() + make_interval(secs => p.wait), 'YYYY-MM-DD"T"HH24:MI:SS.US') || '000Z')
      ELSE g.serialized_params || p.payload || jsonb_build_object(
        'enqueued_at', to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) END,
    error = CASE WHEN g.finished_at IS NULL THEN p.error ELSE COALESCE(p.error, g.error) END,
    error_event = CASE WHEN g.finished_at IS NULL THEN p.error_event
                       ELSE COALESCE(p.error_event, g.error_event) END,
    lock_type = NULL, -- if lock_type
    locked_by_id = NULL, locked_at = NULL, updated_at = now()
  FROM present p WHERE g.ctid = p.place
  RETURNING p.execution_id, p.id, p.job_class, p.serialized_params, p.scheduled_at AS was_due, p.performed_at,
            p.seconds, p.error, p.error_event, p.backtrace, g.queue_name, g.finished_at, g.scheduled_at,
            g.serialized_params->'good_job_notify' AS notify
), closed AS (
  INSERT INTO good_job_executions AS x
    (id, created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at,
     process_id, finished_at, duration, error, error_event, error_backtrace)
  SELECT execution_id, performed_at, now(), id, job_class, queue_name,
         CASE WHEN btrim((serialized_params->'executions')::text, '0123456789') = '' THEN serialized_params
              WHEN jsonb_typeof(serialized_params) IS DISTINCT FROM 'object' THEN '{}'
              ELSE serialized_params - 'executions' END,
         CASE WHEN isfinite(was_due) THEN was_due ELSE performed_at END,
         $12::uuid, now(), make_interval(secs => seconds), error, error_event,
         CASE WHEN error IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(backtrace)) END
  FROM settled
  ON CONFLICT (id) DO UPDATE SET
    finished_at = EXCLUDED.finished_at, duration = EXCLUDED.duration, error = EXCLUDED.error,
    error_event = EXCLUDED.error_event, updated_at = EXCLUDED.updated_at,
    error_backtrace = EXCLUDED.error_backtrace
), gone_on AS MATERIALIZED (
  SELECT d.*, g.job_class, g.queue_name, g.serialized_params, g.scheduled_at,
         g.executions_count > d.executions_count OR g.created_at <= d.performed_at AS is_ours,
         (SELECT x.ctid FROM good_job_executions x WHERE x.id = d.execution_id) AS written
  FROM ended d CROSS JOIN LATERAL (
    SELECT j.job_class, j.queue_name, j.serialized_params, j.scheduled_at, j.executions_count, j.created_at FROM good_jobs j
    WHERE j.id = d.id
      AND (j.performed_at, j.executions_count) IS DISTINCT FROM (d.performed_at, d.executions_count)
    OFFSET 0) AS g
  WHERE d.execution_id NOT IN (SELECT execution_id FROM present_now)
), overtaken AS (
  UPDATE good_job_executions x SET
    finished_at = now(), duration = make_interval(secs => d.seconds), error_event = 0, updated_at = now(),
    error = 'GoodJob::InterruptedError: Interrupted after starting perform at '''
            || to_char(d.performed_at, 'YYYY-MM-DD HH24:MI:SS') || ' UTC'''
  FROM gone_on d
  WHERE x.ctid = d.written AND x.finished_at IS NULL
), overtaken_unwritten AS (
  INSERT INTO good_job_executions
    (id, created_at, updated_at, active_job_id, job_class, queue_name, serialized_params, scheduled_at,
     process_id, finished_at, duration, error, error_event)
  SELECT d.execution_id, d.performed_at, now(), d.id, d.job_class, d.queue_name,
         CASE WHEN btrim((d.serialized_params->'executions')::text, '0123456789') = '' THEN d.serialized_params
              WHEN jsonb_typeof(d.serialized_params) IS DISTINCT FROM 'object' THEN '{}'
              ELSE d.serialized_params - 'executions' END,
         CASE WHEN isfinite(d.scheduled_at) THEN d.scheduled_at ELSE d.performed_at END,
         $12::uuid, now(), make_interval(secs => d.seconds),
         'GoodJob::InterruptedError: Interrupted after starting perform at '''
           || to_char(d.performed_at, 'YYYY-MM-DD HH24:MI:SS') || ' UTC''', 0
  FROM gone_on d
  -- A job that is younger than the attempt was stored anew under its id.
  WHERE written IS NULL AND is_ours AND (SELECT count(*) FROM good_job_executions x
                             WHERE x.active_job_id = d.id AND x.created_at = d.performed_at) = 0
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
         OR COALESCE((SELECT x.finished_at IS NOT NULL
                             AND (x.error_event = 0
                                  AND x.error ~ '^GoodJob::Interrupt[A-Za-z]*: Interrupted after starting perform at')
                                 IS NOT TRUE
                      FROM good_job_executions x WHERE x.id = d.execution_id), false) AS written,
       n.execution_id IS NOT NULL AND s.execution_id IS NULL AS blocked,
       (SELECT count(sent) FROM notices) AS sent
FROM ended d
LEFT JOIN present_now n ON n.execution_id = d.execution_id
LEFT JOIN settled s ON s.execution_id = d.execution_id;
