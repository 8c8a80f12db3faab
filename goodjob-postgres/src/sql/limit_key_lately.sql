-- Head of what is counted by key over a while, finished jobs included: as limit_key.sql, with the condition of
-- index_goodjob_keys. No limit has a blank key.
WITH scope AS NOT MATERIALIZED (
  SELECT id, job_class, queue_name, priority, created_at, updated_at, scheduled_at, performed_at, finished_at, locked_at,
         locked_by_id, error
  FROM good_jobs WHERE concurrency_key = $1::text AND concurrency_key <> ''
)
