-- Writes how batches went on, under their locks. The time is that of the statement: the transaction may have
-- waited for a lock.
UPDATE good_job_batches b SET
  discarded_at = CASE WHEN w.discarded THEN statement_timestamp() ELSE b.discarded_at END,
  jobs_finished_at = CASE WHEN w.jobs_finished THEN statement_timestamp() ELSE b.jobs_finished_at END, -- if jobs_finished_at
  finished_at = CASE WHEN w.finished THEN statement_timestamp() ELSE b.finished_at END, -- if jobs_finished_at
  -- unless jobs_finished_at: finished_at = CASE WHEN w.jobs_finished THEN statement_timestamp() ELSE b.finished_at END,
  updated_at = statement_timestamp()
FROM unnest($1::uuid[], $2::boolean[], $3::boolean[], $4::boolean[]) AS w(id, discarded, jobs_finished, finished)
WHERE b.id = w.id;
