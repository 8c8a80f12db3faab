-- What there is to see around batches by who holds their locks: the rows, and whether jobs and callbacks
-- are open. The inner queries are fenced by OFFSET 0, so that they go by the index on the batch: for a
-- LIMIT 1 the planner may else walk over every unfinished job of others until one fits.
-- An error counts since the batch was enqueued: one that was enqueued again begins anew. It is looked for
-- only when the last job is over, since it reads all of them.
SELECT b.id, b.description, b.serialized_properties, b.on_finish, b.on_success, b.on_discard,
       b.callback_queue_name, b.callback_priority,
       b.created_at::timestamptz AS created_at, b.updated_at::timestamptz AS updated_at,
       b.enqueued_at::timestamptz AS enqueued_at, b.discarded_at::timestamptz AS discarded_at,
       b.jobs_finished_at::timestamptz AS jobs_finished_at, -- if jobs_finished_at
       -- unless jobs_finished_at: b.finished_at::timestamptz AS jobs_finished_at,
       b.finished_at::timestamptz AS finished_at,
       jobs.open AS open_jobs,
       EXISTS (SELECT FROM (
         SELECT j.finished_at FROM good_jobs j WHERE j.batch_callback_id = b.id OFFSET 0) AS c
         WHERE c.finished_at IS NULL) AS open_callbacks,
       CASE WHEN jobs.open THEN false ELSE EXISTS (SELECT FROM (
         SELECT j.finished_at, j.error FROM good_jobs j WHERE j.batch_id = b.id OFFSET 0) AS m
         WHERE m.error IS NOT NULL AND m.finished_at >= b.enqueued_at) END AS errors
FROM good_job_batches b
CROSS JOIN LATERAL (
  SELECT EXISTS (SELECT FROM (
    SELECT j.finished_at FROM good_jobs j WHERE j.batch_id = b.id OFFSET 0) AS m
    WHERE m.finished_at IS NULL) AS open) AS jobs
WHERE b.id = ANY($1::uuid[]);
