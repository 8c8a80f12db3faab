-- Stores batches, in one JSON array and with times as in insert_jobs.sql, so that it is right on a caller's
-- connection, too. Their jobs follow in a statement of its own, in the same transaction.
-- What is known to be over when it is stored, as it is empty, is written so: nobody else can know the batch
-- yet, so that it needs no lock. One that is there already is left alone, so that the call may be repeated.
WITH given AS MATERIALIZED (
  SELECT n, batch,
         to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00' AS at_text
  FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS batches(batch, n)
)
INSERT INTO good_job_batches (
  id, description, serialized_properties, on_finish, on_success, on_discard,
  callback_queue_name, callback_priority, created_at, updated_at, enqueued_at,
  jobs_finished_at, -- if jobs_finished_at
  finished_at)
SELECT r.id, r.description, r.serialized_properties, r.on_finish, r.on_success, r.on_discard,
       r.callback_queue_name, r.callback_priority, r.created_at, r.updated_at, r.enqueued_at,
       r.jobs_finished_at, -- if jobs_finished_at
       r.finished_at
FROM given, LATERAL jsonb_populate_record(NULL::good_job_batches, batch || jsonb_build_object(
  'created_at', at_text, 'updated_at', at_text,
  'enqueued_at', CASE WHEN (batch->>'enqueued')::boolean THEN at_text END,
  'jobs_finished_at', CASE WHEN (batch->>'over')::boolean THEN at_text END, -- if jobs_finished_at
  'finished_at', CASE WHEN (batch->>'finished')::boolean THEN at_text END)) AS r -- if jobs_finished_at
  -- unless jobs_finished_at: 'finished_at', CASE WHEN (batch->>'over')::boolean THEN at_text END)) AS r
ORDER BY n
ON CONFLICT DO NOTHING;
