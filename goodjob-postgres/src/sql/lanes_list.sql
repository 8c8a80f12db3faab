-- Each lane, and where its waiting rows begin.
SELECT queue_name, priority, scheduled_at::timestamptz AS scheduled_at, id, turn FROM every;
