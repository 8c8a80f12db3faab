-- Begins the state of a batch anew, under its lock: it is enqueued, for the first time or again (`$2`), or its
-- discarded jobs were retried. Unlike in the gem, what was discarded before the first time still counts.
UPDATE good_job_batches b SET
  discarded_at = CASE WHEN $2::boolean AND b.enqueued_at IS NULL THEN b.discarded_at END,
  jobs_finished_at = NULL, -- if jobs_finished_at
  finished_at = NULL,
  enqueued_at = CASE WHEN $2::boolean THEN statement_timestamp() ELSE b.enqueued_at END,
  updated_at = statement_timestamp()
WHERE b.id = $1::uuid
RETURNING b.id;
