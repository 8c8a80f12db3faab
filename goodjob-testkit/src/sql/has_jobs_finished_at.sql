-- Whether batches have the column, which the gem added in its 4.3.
SELECT EXISTS (
  SELECT FROM pg_attribute
  WHERE attrelid = 'good_job_batches'::regclass AND attname = 'jobs_finished_at' AND NOT attisdropped
) AS found;
