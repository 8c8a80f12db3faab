-- Moves the unfinished jobs of Delayed::Job (4) into good_jobs, in one transaction: all of them or none.
--
-- Jobs that a worker has locked within its max_run_time, 4 hours unless the application set another, are left
-- to it, so its workers may still run, and this may be run again. What has failed for good (failed_at) stays
-- where it is. The tables of goodjob have to be there. The last statement answers with one row of counts.
BEGIN;
SET LOCAL TimeZone = 'UTC';  -- Rails writes UTC into columns without a zone

-- Nobody enqueues or locks a job of Delayed::Job from here on.
LOCK TABLE delayed_jobs IN ACCESS EXCLUSIVE MODE;

CREATE TEMPORARY TABLE unfinished ON COMMIT DROP AS
  SELECT *, COALESCE(locked_at > now() - interval '4 hours', false) AS is_running
  FROM delayed_jobs
  WHERE failed_at IS NULL;

-- SQL cannot read the object in YAML, so that it travels as it is, in a job of the class DelayedJob, beside the
-- name of what it is an object of: of the job that Active Job wrapped, else of its first line. The id is made
-- of the old number, so that no job can be moved twice.
CREATE TEMPORARY TABLE moving ON COMMIT DROP AS
  SELECT
    id AS delayed_id,
    md5('delayed_jobs-' || id)::uuid AS id,
    COALESCE(NULLIF(queue, ''), 'default') AS queue,
    priority,
    COALESCE(run_at, created_at, now()) AS run_at,
    attempts,
    jsonb_build_object(
      'class', COALESCE(
        substring(handler FROM '^--- !ruby/object:ActiveJob::[^\n]*\njob_data:\n(?:  [^\n]*\n)*?  job_class: ([^\n]+)'),
        substring(handler FROM '^--- !ruby/(?:object|struct):([^\s]+)'),
        'unknown'
      ),
      'handler', handler,
      '_aj_ruby2_keywords', jsonb_build_array('class', 'handler')
    ) AS arguments,
    CASE WHEN attempts > 0 THEN 'DelayedJob: ' || split_part(last_error, E'\n', 1) END AS error
  FROM unfinished
  WHERE NOT is_running;

INSERT INTO good_jobs (
  id, active_job_id, job_class, queue_name, priority, scheduled_at, created_at, updated_at, labels,
  error, error_event, serialized_params
)
SELECT
  id, id, 'DelayedJob', queue, priority, run_at, now(), now(), ARRAY['moved:delayed_job'],
  error, CASE WHEN error IS NOT NULL THEN 3 END,
  jsonb_build_object(
    'job_class', 'DelayedJob', 'job_id', id, 'queue_name', queue, 'priority', priority,
    'arguments', jsonb_build_array(arguments), 'executions', attempts,
    'exception_executions', '{}'::jsonb, 'locale', 'en', 'timezone', 'UTC'
  )
FROM moving;

DELETE FROM delayed_jobs USING moving WHERE delayed_jobs.id = moving.delayed_id;

-- Every job that was unfinished is either here or left to its worker, or nothing has happened.
DO $$
DECLARE
  unfinished_before bigint := (SELECT count(*) FROM unfinished);
  running bigint := (SELECT count(*) FROM unfinished WHERE is_running);
  arrived bigint :=
    (SELECT count(*) FROM good_jobs JOIN moving USING (id) WHERE labels @> ARRAY['moved:delayed_job']);
  left_there bigint := (SELECT count(*) FROM delayed_jobs WHERE failed_at IS NULL);
BEGIN
  IF arrived + running <> unfinished_before OR left_there <> running THEN
    RAISE EXCEPTION '% were unfinished, % arrived, % run, % are left',
      unfinished_before, arrived, running, left_there;
  END IF;
END $$;

-- Workers are told at the commit.
SELECT
  (SELECT count(*) FROM unfinished) AS unfinished,
  (SELECT count(*) FROM moving) AS moved,
  (SELECT count(*) FROM delayed_jobs WHERE failed_at IS NULL) AS left_to_delayed_job
FROM pg_notify('good_job', '{}');

COMMIT;
