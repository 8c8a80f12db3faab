-- Stores jobs and tells workers, in one statement, on whatever connection or transaction it is run.
--
-- The jobs come as one JSON array. jsonb_populate_record casts each value to the type of its column,
-- so that the same statement is right for `timestamp` and `timestamptz` columns and on a caller's
-- connection whose TimeZone is not UTC: times are written as UTC text with an offset, which the first
-- type ignores and the second one heeds. "Now" is the server's, at the start of this statement.
-- A job whose id is there already is left alone, and so is one for a tick of cron that another process has
-- stored: the unique index on (cron_key, cron_at) is all that cron processes agree by (wire contract 8.3).
-- Tables without `lock_type` may be shared with a gem so old that it runs a job without `is_discrete` in
-- another way (wire contract 16.1).
-- NOTIFY leaves with the commit, once per queue and time. It has milliseconds: a time to come is rounded
-- up, since a timer of the gem that fires a moment early finds nothing, and looks again at its next poll. A job without `notify` is left to the polls,
-- and so is one whose queue's name would not fit into a payload.
WITH given AS MATERIALIZED (
  SELECT n, job,
         statement_timestamp() AS at,
         COALESCE((job->>'scheduled_at')::timestamptz,
                  statement_timestamp() + make_interval(secs => COALESCE((job->>'wait')::float8, 0))) AS due,
         job ? 'scheduled_at' OR job ? 'wait' AS later
  FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS jobs(job, n)
), timed AS (
  SELECT n, job, due, later,
         to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00' AS at_text,
         to_char(due AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00' AS due_text
  FROM given
), inserted AS (
  INSERT INTO good_jobs (
                         -- unless lock_type: is_discrete,
                         id, active_job_id, job_class, queue_name, priority, serialized_params, labels,
                         concurrency_key, batch_id, batch_callback_id, cron_key, cron_at,
                         scheduled_at, created_at, updated_at)
  SELECT
         -- unless lock_type: true,
         r.id, r.id, r.job_class, r.queue_name, r.priority, r.serialized_params, r.labels,
         r.concurrency_key, r.batch_id, r.batch_callback_id, r.cron_key, r.cron_at,
         r.scheduled_at, r.created_at, r.updated_at
  FROM timed, LATERAL jsonb_populate_record(NULL::good_jobs, job || jsonb_build_object(
         'scheduled_at', due_text, 'created_at', at_text, 'updated_at', at_text)) AS r
  ORDER BY n
  ON CONFLICT DO NOTHING
  RETURNING id
), notices AS (
  SELECT pg_notify('good_job', (jsonb_build_object('queue_name', job->>'queue_name', 'scheduled_at',
           to_char(date_trunc('milliseconds', due + make_interval(secs => CASE WHEN due > statement_timestamp() THEN 0.000999 ELSE 0 END))
                   AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
         || CASE WHEN count(*) > 1 THEN jsonb_build_object('count', count(*)) ELSE '{}' END)::text) AS sent
  FROM timed JOIN inserted ON inserted.id = (job->>'id')::uuid
  WHERE COALESCE((job->>'notify')::boolean, true) AND octet_length(job->>'queue_name') < 1000
  GROUP BY job->>'queue_name', due
)
SELECT id, (SELECT count(sent) FROM notices) AS sent FROM inserted;
