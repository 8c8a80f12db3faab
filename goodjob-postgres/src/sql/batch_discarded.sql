-- The discarded jobs of a batch, for them to be retried.
SELECT id FROM good_jobs WHERE batch_id = $1::uuid AND finished_at IS NOT NULL AND error IS NOT NULL;
