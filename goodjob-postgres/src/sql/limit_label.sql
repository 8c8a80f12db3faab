-- Head of what is counted for a limit by label: the jobs that have it among theirs. The index is the gem's.
WITH scope AS NOT MATERIALIZED (
  SELECT id, job_class, queue_name, priority, created_at, updated_at, scheduled_at, performed_at, finished_at, locked_at,
         locked_by_id, error
  FROM good_jobs WHERE labels && ARRAY[$1::text]
)
