-- The gem's continuation of a batch (wire contract 9.4), its steps B and C: `$1` is the batch. Run in a
-- transaction that holds the batch's lock. Whoever finds the last member finished writes the time and
-- enqueues the callback; the batch is over when the callback is.
WITH members AS (
  UPDATE good_job_batches b SET jobs_finished_at = now(), updated_at = now()
  WHERE b.id = $1 AND b.enqueued_at IS NOT NULL AND b.jobs_finished_at IS NULL
    AND NOT EXISTS (SELECT FROM good_jobs j WHERE j.batch_id = b.id AND j.finished_at IS NULL)
  RETURNING b.id, b.on_finish
), callback AS (
  INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params, scheduled_at,
                         created_at, updated_at, batch_callback_id)
  SELECT job.id, job.id, m.on_finish, 'default', 0,
         jsonb_build_object('job_class', m.on_finish, 'job_id', job.id, 'provider_job_id', NULL, 'queue_name', 'default',
           'priority', NULL, 'executions', 0, 'exception_executions', '{}'::jsonb, 'locale', 'en', 'timezone', 'UTC',
           'enqueued_at', NULL, 'arguments', jsonb_build_array(
             jsonb_build_object('_aj_globalid', 'gid://shop/GoodJob::Batch/' || m.id),
             jsonb_build_object('event', jsonb_build_object(
               '_aj_serialized', 'ActiveJob::Serializers::SymbolSerializer', 'value', 'finish'),
               '_aj_symbol_keys', jsonb_build_array('event')))),
         now(), now(), now(), m.id
  FROM members m, LATERAL (SELECT gen_random_uuid() AS id) AS job
), over AS (
  UPDATE good_job_batches b SET finished_at = now(), updated_at = now()
  WHERE b.id = $1 AND b.finished_at IS NULL AND b.jobs_finished_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM good_jobs j WHERE j.batch_callback_id = b.id AND j.finished_at IS NULL)
)
SELECT count(*) AS called_back FROM members
