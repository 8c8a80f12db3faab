-- One batch, with times as instants whatever the type of their columns.
SELECT b.id, b.description, b.serialized_properties, b.on_finish, b.on_success, b.on_discard,
       b.callback_queue_name, b.callback_priority,
       b.created_at::timestamptz AS created_at, b.updated_at::timestamptz AS updated_at,
       b.enqueued_at::timestamptz AS enqueued_at, b.discarded_at::timestamptz AS discarded_at,
       b.jobs_finished_at::timestamptz AS jobs_finished_at, -- if jobs_finished_at
       -- unless jobs_finished_at: b.finished_at::timestamptz AS jobs_finished_at,
       b.finished_at::timestamptz AS finished_at
FROM good_job_batches b WHERE b.id = $1::uuid;
