-- Writes what a batch is for, and nothing of its state.
UPDATE good_job_batches SET
  description = $2::text, serialized_properties = $3::jsonb, on_finish = $4::text, on_success = $5::text,
  on_discard = $6::text, callback_queue_name = $7::text, callback_priority = $8::int, updated_at = now()
WHERE id = $1::uuid
RETURNING id;
