-- Head of what is counted for a limit by key: the jobs of the key. Inlined into each statement, so that its
-- conditions are those of index_goodjob_keys_running or index_goodjob_keys_waiting.
WITH scope AS NOT MATERIALIZED (
  SELECT id, job_class, queue_name, priority, created_at, updated_at, scheduled_at, performed_at, finished_at, locked_at,
         locked_by_id, error
  FROM good_jobs WHERE concurrency_key = $1::text
)
