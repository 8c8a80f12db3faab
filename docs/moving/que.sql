-- Moves the unfinished jobs of Que (1.0 and later) into good_jobs, in one transaction: all of them or none.
--
-- Jobs that a worker of Que has locked are left to it, so Que may still run, and this may be run again. What
-- Que has finished or given up (finished_at, expired_at) stays where it is. The tables of goodjob have to be
-- there. The last statement answers with one row of counts.
BEGIN;
SET LOCAL TimeZone = 'UTC';  -- columns without a zone hold UTC

-- Nobody enqueues or locks a job of Que from here on. Locks that are held by now are seen below.
LOCK TABLE que_jobs IN ACCESS EXCLUSIVE MODE;

CREATE TEMPORARY TABLE unfinished ON COMMIT DROP AS
  SELECT
    que.*,
    to_jsonb(que) -> 'kwargs' AS keywords,  -- a column since Que 2
    que.job_class = 'ActiveJob::QueueAdapters::QueAdapter::JobWrapper' AS is_active_job,
    EXISTS (
      SELECT FROM pg_locks AS held
      WHERE held.locktype = 'advisory'
        AND held.objsubid = 1
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (held.classid::bigint << 32) | held.objid::bigint = que.id
    ) AS is_running
  FROM que_jobs AS que
  WHERE que.finished_at IS NULL AND que.expired_at IS NULL;

-- A job of Active Job keeps its id and its envelope. One of Que gets an id that is made of its number, so that
-- it cannot be moved twice, and its keywords become the last argument, marked as Active Job marks them.
CREATE TEMPORARY TABLE moving ON COMMIT DROP AS
  SELECT
    id AS que_id,
    CASE WHEN is_active_job THEN (args -> 0 ->> 'job_id')::uuid ELSE md5('que_jobs-' || id)::uuid END AS id,
    CASE WHEN is_active_job THEN args -> 0 ->> 'job_class' ELSE job_class END AS class,
    COALESCE(NULLIF(queue, ''), 'default') AS queue,
    priority,
    run_at,
    CASE WHEN is_active_job THEN args -> 0
    ELSE jsonb_build_object(
      'arguments',
      CASE WHEN COALESCE(keywords, '{}') = '{}' THEN args
      ELSE args || jsonb_build_array(keywords || jsonb_build_object(
        '_aj_ruby2_keywords', (SELECT jsonb_agg(name) FROM jsonb_object_keys(keywords) AS name)
      ))
      END,
      'executions', error_count,
      'exception_executions', '{}'::jsonb,
      'locale', 'en',
      'timezone', 'UTC'
    )
    END AS envelope,
    CASE WHEN error_count > 0 THEN last_error_message END AS error
  FROM unfinished
  WHERE NOT is_running;

INSERT INTO good_jobs (
  id, active_job_id, job_class, queue_name, priority, scheduled_at, created_at, updated_at, labels,
  error, error_event, serialized_params
)
SELECT
  id, id, class, queue, priority, run_at, now(), now(), ARRAY['moved:que'],
  error, CASE WHEN error IS NOT NULL THEN 3 END,
  envelope || jsonb_build_object('job_class', class, 'job_id', id, 'queue_name', queue, 'priority', priority)
FROM moving;

DELETE FROM que_jobs USING moving WHERE que_jobs.id = moving.que_id;

-- Every job that was unfinished is either here or left to its worker, or nothing has happened.
DO $$
DECLARE
  unfinished_before bigint := (SELECT count(*) FROM unfinished);
  running bigint := (SELECT count(*) FROM unfinished WHERE is_running);
  arrived bigint := (SELECT count(*) FROM good_jobs JOIN moving USING (id) WHERE labels @> ARRAY['moved:que']);
  left_there bigint := (SELECT count(*) FROM que_jobs WHERE finished_at IS NULL AND expired_at IS NULL);
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
  (SELECT count(*) FROM que_jobs WHERE finished_at IS NULL AND expired_at IS NULL) AS left_to_que
FROM pg_notify('good_job', '{}');

COMMIT;
